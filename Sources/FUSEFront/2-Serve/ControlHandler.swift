public import VFS

/// Answers `ioctl(2)` on files of a mount: how a mounted volume is asked and told things beside its files.
public protocol ControlHandler: AnyObject, Sendable {
    /// - Parameters:
    ///   - command: as given to `ioctl(2)`; its direction and size bits say what `input` and `outputBytes` are.
    ///   - outputBytes: the room for an answer.
    /// - Throws: `ENOTTY` for a command that is none, `EPERM` for a caller who may not.
    func control(
        _ command: UInt32, on node: NodeID, by caller: Caller, _ input: UnsafeRawBufferPointer, outputBytes: Int
    ) throws(VFSError) -> [UInt8]
}
