import SecureBlock

/// The unit of a conversation, little-endian:
///
///     0  u32  length of the payload, within the limit of its kind
///     4  u8   kind
///     5  …    payload
///
/// The client sends one `request` and one `secrets` frame. The daemon sends any number of `progress` and `note` frames,
/// then either `text` frames and one `done`, or one `failure`, and closes.
package enum ControlFrame: UInt8, Sendable, CaseIterable {
    /// Version, token, and what is asked for: ``ControlRequest``.
    case request = 1
    /// A ``FUSEFront/SecretParcel``, often empty.
    case secrets = 2
    /// How far long work is: u64 done, u64 total.
    case progress = 3
    /// A warning, for standard error.
    case note = 4
    /// A piece of the result, for standard output.
    case text = 5
    /// The end of a success: u8 exit status.
    case done = 6
    /// The end of a failure: ``ControlReply``.
    case failure = 7

    package static let headerBytes = 5

    /// The longest payload that is taken, in bytes.
    package var limitBytes: Int {
        switch self {
        case .request: 8 << 10
        case .secrets: 32 << 10
        case .progress: 16
        case .note, .failure: 16 << 10
        case .text: 64 << 10
        case .done: 1
        }
    }

    /// The header of a frame with `byteCount` bytes.
    package func header(_ byteCount: Int) -> [UInt8] {
        precondition(byteCount <= limitBytes, "a frame past its limit")
        let count = UInt32(byteCount)
        return (0..<4).map { UInt8(truncatingIfNeeded: count >> (8 * $0)) } + [rawValue]
    }

    /// What a header announces.
    /// - Throws: ``ControlError/malformed(_:)`` for a kind that is none, or a length past its limit.
    package static func parse(header: [UInt8]) throws(ControlError) -> (ControlFrame, byteCount: Int) {
        var fields = FieldReader(header)
        let count = try fields.u32()
        guard let kind = ControlFrame(rawValue: try fields.u8()) else { throw .malformed("a frame of no kind") }
        try fields.finish()
        guard count <= kind.limitBytes else { throw .malformed("a frame of \(count) bytes") }
        return (kind, Int(count))
    }
}
