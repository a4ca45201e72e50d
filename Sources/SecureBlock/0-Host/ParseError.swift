/// Why stored bytes are not what they should be. Every parser of host bytes throws this and nothing traps.
public enum ParseError: Error, Hashable, Sendable {
    /// `wanted` bytes at `position` do not fit in what there is.
    case pastEnd(position: Int, wanted: Int)
    /// A field holds a value that no writer of this format produces.
    case unexpected(field: String, position: Int)
}
