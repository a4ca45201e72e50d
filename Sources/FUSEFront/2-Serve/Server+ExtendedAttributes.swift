import CFUSE
import Glibc
import VFS

/// Extended attributes, `xattr(7)`.
///
/// `ENOSYS` would make the kernel stop asking for the whole mount, other filesystems in it included; it becomes
/// `ENOTSUP`.
extension Server {
    func extendedAttribute(_ raw: OpaquePointer?, _ node: UInt64, _ name: UnsafePointer<CChar>?, _ size: Int) {
        serve(raw, "getxattr \(node) \(Self.quoted(name)) \(size)") { request throws(VFSError) in
            let name = try attributeName(name)
            let node = nodes.node(node)
            let value = try supported { () throws(VFSError) in try filesystem.extendedAttribute(name, of: node) }
            try Self.reply(value, size, request)
        }
    }

    func extendedAttributeNames(_ raw: OpaquePointer?, _ node: UInt64, _ size: Int) {
        serve(raw, "listxattr \(node) \(size)") { request throws(VFSError) in
            let node = nodes.node(node)
            let names = try supported { () throws(VFSError) in try filesystem.extendedAttributeNames(of: node) }
            try Self.reply(Array(names.map { $0 + [0] }.joined()), size, request)
        }
    }

    func setExtendedAttribute(
        _ raw: OpaquePointer?, _ node: UInt64, _ name: UnsafePointer<CChar>?, _ value: UnsafeRawBufferPointer,
        _ flags: Int32
    ) {
        serve(raw, "setxattr \(node) \(Self.quoted(name)) \(value.count)") { request throws(VFSError) in
            let name = try attributeName(name)
            let mode: AttributeWriteMode
            switch flags {
            case 0: mode = .createOrReplace
            case 1: mode = .create
            case 2: mode = .replace
            default: throw VFSError(.invalidArgument)
            }
            let node = nodes.node(node)
            try supported { () throws(VFSError) in
                try filesystem.setExtendedAttribute(name, of: node, to: Array(value), mode)
            }
            if name == AccessControlList.accessName, request.caller.user != 0 {
                try filesystem.dropForeignSetGroup(of: node, by: request.callerWithGroups)
            }
            request.succeed()
        }
    }

    func removeExtendedAttribute(_ raw: OpaquePointer?, _ node: UInt64, _ name: UnsafePointer<CChar>?) {
        serve(raw, "removexattr \(node) \(Self.quoted(name))") { request throws(VFSError) in
            let name = try attributeName(name)
            let node = nodes.node(node)
            try supported { () throws(VFSError) in try filesystem.removeExtendedAttribute(name, of: node) }
            request.succeed()
        }
    }

    /// An access control list that nobody enforces must not look stored.
    private func attributeName(_ text: UnsafePointer<CChar>?) throws(VFSError) -> [UInt8] {
        let name = Self.bytes(text)
        guard !name.starts(with: "system.".utf8) || enforcesLists.load(ordering: .acquiring) else {
            throw VFSError(.notSupported)
        }
        return name
    }

    private func supported<Result>(_ body: () throws(VFSError) -> Result) throws(VFSError) -> Result {
        do throws(VFSError) { return try body() } catch {
            throw error.errno == .noFunction ? VFSError(.notSupported, fault: error.fault) : error
        }
    }

    /// A size of 0 asks how much room is needed.
    private static func reply(_ value: [UInt8], _ size: Int, _ request: Request) throws(VFSError) {
        if size == 0 { return request.reply(size: value.count) }
        guard value.count <= size else { throw VFSError(.outOfRange) }
        value.withUnsafeBytes { request.reply($0) }
    }
}
