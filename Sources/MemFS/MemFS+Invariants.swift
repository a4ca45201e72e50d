import Synchronization
import VFS

extension MemFS {
    /// What is wrong with the filesystem's structures, one line each; nothing, unless MemFS has a bug. Nobody else may
    /// use the filesystem meanwhile.
    package func checkInvariants() -> [String] {
        namespace.exclusive {
            var wrong: [String] = []
            var bytes: UInt64 = 0
            var entries: [UInt64: UInt32] = [:]
            var subdirectories: [UInt64: UInt32] = [:]
            let all = inodes.all
            for inode in all {
                wrong += inode.directory.checkInvariants().map { "inode \(inode.number): \($0)" }
                for slot in inode.directory.entries(behind: 0, limit: .max) {
                    guard let name = slot.name else { continue }
                    bytes += entryCost(name)
                    entries[slot.node, default: 0] += 1
                    guard let child = inodes[slot.node] else {
                        wrong.append("\(name) of inode \(inode.number) leads nowhere")
                        continue
                    }
                    if child.kind != slot.kind { wrong.append("\(name) has the wrong kind") }
                    guard child.kind == .directory else { continue }
                    subdirectories[inode.number, default: 0] += 1
                    if child.parent != inode.number { wrong.append("\(name) has the wrong parent") }
                }
            }
            for inode in all {
                bytes += MemoryBudget.inodeBytes + UInt64(inode.target.count) + inode.pages.byteCount
                bytes += inode.extendedAttributes.reduce(0) { $0 + Inode.cost($1.name, $1.value) }
                let named = entries[inode.number, default: 0]
                let expected =
                    inode === rootInode || inode.kind == .directory && named > 0
                    ? 2 + subdirectories[inode.number, default: 0] : named
                if inode.links.load(ordering: .relaxed) != expected {
                    wrong.append("inode \(inode.number) has not \(expected) links")
                }
                if inode.isUnreferenced { wrong.append("inode \(inode.number) should be gone") }
            }
            if bytes != budget.usedBytes { wrong.append("\(bytes) bytes in use, \(budget.usedBytes) counted") }
            return wrong
        }
    }
}
