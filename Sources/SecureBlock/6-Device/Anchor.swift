/// The newest commit of a volume, as remembered outside it.
public struct AnchorValue: Hashable, Sendable {
    public var volume: VolumeIdentifier
    /// The last commit that was acknowledged.
    public var sequence: SequenceNumber
    /// That commit's tag.
    public var tag: Tag

    public init(volume: VolumeIdentifier, sequence: SequenceNumber, tag: Tag) {
        self.volume = volume
        self.sequence = sequence
        self.tag = tag
    }
}

/// A small memory that the host of the volume cannot turn back: what makes an acknowledged commit irreversible.
///
/// Calls may come from any thread; the device makes one at a time.
public protocol Anchor: AnyObject, Sendable, CustomStringConvertible {
    /// What kind of anchor and where, for `info`: for example `file /mnt/usb/vault.anchor`.
    var description: String { get }

    /// The value last stored; `nil` when there never was one.
    func load() throws(AnchorError) -> AnchorValue?

    /// Replaces `expected` by `new`; durable on return.
    /// - Throws: ``AnchorError/conflict(found:)`` when something else is stored; nothing is then changed. After
    ///   ``AnchorError/unavailable(_:)`` either value may be stored.
    func compareAndSwap(expected: AnchorValue?, new: AnchorValue) throws(AnchorError)
}

/// What an anchor fails with.
public enum AnchorError: Error, Hashable, Sendable {
    /// It cannot be reached or written; the text names the call and why.
    case unavailable(String)
    /// It holds something that is not a value.
    case damaged(String)
    /// Somebody else stored another value.
    case conflict(found: AnchorValue?)
}
