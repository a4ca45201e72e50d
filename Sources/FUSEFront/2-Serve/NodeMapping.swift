import VFS

/// Between a filesystem's node numbers and the kernel's, for which 1 is the root of the mount.
///
/// All numbers but two are the same. The root's number and 1 change places, so that a filesystem with another root
/// may still use 1 for some file.
struct NodeMapping: Sendable {
    private static let kernelRoot: UInt64 = 1
    private let root: UInt64

    init(root: NodeID) { self.root = root.rawValue }

    func kernel(_ node: NodeID) -> UInt64 { swapped(node.rawValue) }
    func node(_ kernel: UInt64) -> NodeID { NodeID(rawValue: swapped(kernel)) }
    func isRoot(_ node: NodeID) -> Bool { node.rawValue == root }

    private func swapped(_ number: UInt64) -> UInt64 {
        if number == root { return Self.kernelRoot }
        return number == Self.kernelRoot ? root : number
    }
}
