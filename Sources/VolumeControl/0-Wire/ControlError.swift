/// Why a conversation on the control socket ended. What the volume says is no such error but a reply.
package enum ControlError: Error, Hashable, Sendable {
    /// Bytes that no peer of this version sends; the text says which rule they break.
    case malformed(String)
    /// The other side speaks another version of the protocol.
    case version(UInt16)
    /// The peer is neither root nor the mount's owner.
    case stranger(user: UInt32)
    /// The peer closed, or died.
    case closed
    /// The peer took too long.
    case timedOut
    case system(call: String, errno: Int32)
}
