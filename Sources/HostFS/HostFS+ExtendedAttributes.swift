import CLinux
import Glibc
public import VFS

/// The host's extended attributes as they are, those of symbolic links as well.
extension HostFS {
    private static let maximumValueBytes = 65_536

    private func holder(_ node: NodeID) throws(VFSError) -> Descriptor {
        try table.descriptor(of: try self.node(node))
    }

    private func validate(_ name: [UInt8]) throws(VFSError) {
        guard (1...255).contains(name.count) else { throw VFSError(.outOfRange) }
        guard !name.contains(0) else { throw VFSError(.invalidArgument) }
    }

    public func extendedAttribute(_ name: [UInt8], of node: NodeID) throws(VFSError) -> [UInt8] {
        let descriptor = try holder(node)
        try validate(name)
        var value = [UInt8](repeating: 0, count: Self.maximumValueBytes)
        let count = try descriptor.call { number in
            name.withCString { name in
                value.withUnsafeMutableBytes { casemate_get_attribute(number, name, $0.baseAddress, $0.count) }
            }
        }
        return Array(value[..<count])
    }

    public func extendedAttributeNames(of node: NodeID) throws(VFSError) -> [[UInt8]] {
        let descriptor = try holder(node)
        var names = [CChar](repeating: 0, count: Self.maximumValueBytes)
        let count = try descriptor.call { number in
            names.withUnsafeMutableBufferPointer { casemate_list_attributes(number, $0.baseAddress, $0.count) }
        }
        return names[..<count].split(separator: 0).map { $0.map(UInt8.init(bitPattern:)) }
    }

    public func setExtendedAttribute(
        _ name: [UInt8], of node: NodeID, to value: [UInt8], _ mode: AttributeWriteMode
    ) throws(VFSError) {
        try requireWritable()
        let descriptor = try holder(node)
        try validate(name)
        let hostMode: Int32 =
            switch mode {
            case .createOrReplace: 0
            case .create: 1
            case .replace: 2
            }
        _ = try descriptor.call { number in
            name.withCString { name in
                value.withUnsafeBytes { casemate_set_attribute(number, name, $0.baseAddress, $0.count, hostMode) }
            }
        }
    }

    public func removeExtendedAttribute(_ name: [UInt8], of node: NodeID) throws(VFSError) {
        try requireWritable()
        let descriptor = try holder(node)
        try validate(name)
        _ = try descriptor.call { number in name.withCString { casemate_remove_attribute(number, $0) } }
    }
}
