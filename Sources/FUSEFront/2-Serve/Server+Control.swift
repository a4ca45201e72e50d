import CFUSE
import Glibc
import VFS

/// `ioctl(2)`: one command of our own, the rest the control handler's.
extension Server {
    func control(
        _ raw: OpaquePointer?, _ node: UInt64, _ command: UInt32, _ input: UnsafeRawBufferPointer,
        _ outputBytes: Int
    ) {
        serve(raw, "ioctl \(node) \(String(command, radix: 16))") { request throws(VFSError) in
            let node = nodes.node(node)
            if command == ClosingNotice.command, nodes.isRoot(node) {
                return request.reply(control: try closingAddress(request.caller))
            }
            guard let control else { throw VFSError(.inappropriateIOCTLForDevice) }
            let output = try control.control(
                command, on: node, by: request.caller, input, outputBytes: outputBytes)
            guard output.count <= outputBytes else { throw VFSError(.outOfRange) }
            request.reply(control: output)
        }
    }

    private func closingAddress(_ caller: Caller) throws(VFSError) -> [UInt8] {
        guard caller.user == 0 || caller.user == geteuid() else { throw VFSError(.notPermitted) }
        guard let closing else { throw VFSError(.notSupported) }
        return closing.address
    }
}
