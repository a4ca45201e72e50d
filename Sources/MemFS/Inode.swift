import Synchronization
import VFS

/// One file.
///
/// Three guards: the filesystem's namespace lock for what ties files together, the inode's own lock for what is inside
/// it, atomics for the counts that decide its life. The namespace lock comes before an inode's; nobody holds two inode
/// locks.
final class Inode: @unchecked Sendable {
    let number: UInt64
    let kind: NodeKind
    let device: UInt64
    let target: [UInt8]
    let birthTime: Timestamp
    let budget: MemoryBudget

    let lookups = Atomic<UInt64>(0)
    let opens = Atomic<UInt64>(0)
    /// Changed under the exclusive namespace lock only.
    let links: Atomic<UInt32>

    // Under the namespace lock.
    var directory: DirectoryIndex
    /// Of a directory: the one that holds it, kept after its removal.
    var parent: UInt64
    /// Made without a name and never linked: `link` may still give it one.
    var isUnnamed: Bool

    // Under `lock`.
    let lock = ReadWriteLock()
    var permissions: UInt16
    var owner: UInt32
    var group: UInt32
    var size: UInt64
    var accessTime: Timestamp
    var modificationTime: Timestamp
    var changeTime: Timestamp
    var pages = PageTree()
    var extendedAttributes: [(name: [UInt8], value: [UInt8])] = []

    /// The caller has taken ``fixedCost(_:)`` from `budget`; the inode gives it back when it goes.
    init(
        number: UInt64, _ new: NewNode, permissions: UInt16, owner: UInt32, group: UInt32, links: UInt32,
        parent: UInt64, isUnnamed: Bool, budget: MemoryBudget
    ) {
        let now = Timestamp.now
        self.number = number
        self.kind = new.kind
        self.device = new.kind == .characterDevice || new.kind == .blockDevice ? new.device : 0
        self.target = new.kind == .symbolicLink ? new.target : []
        self.birthTime = now
        self.budget = budget
        self.links = Atomic(links)
        self.directory = DirectoryIndex()
        self.parent = parent
        self.isUnnamed = isUnnamed
        self.permissions = permissions
        self.owner = owner
        self.group = group
        self.size = UInt64(target.count)
        self.accessTime = now
        self.modificationTime = now
        self.changeTime = now
    }

    deinit {
        var bytes = MemoryBudget.inodeBytes + UInt64(target.count) + pages.byteCount
        for attribute in extendedAttributes { bytes += Self.cost(attribute.name, attribute.value) }
        budget.give(bytes)
    }

    static func fixedCost(_ new: NewNode) -> UInt64 {
        MemoryBudget.inodeBytes + (new.kind == .symbolicLink ? UInt64(new.target.count) : 0)
    }

    static func cost(_ name: [UInt8], _ value: [UInt8]) -> UInt64 { UInt64(name.count + value.count + 64) }

    /// Whether nothing keeps the inode any more.
    var isUnreferenced: Bool {
        links.load(ordering: .sequentiallyConsistent) == 0 && lookups.load(ordering: .sequentiallyConsistent) == 0
            && opens.load(ordering: .sequentiallyConsistent) == 0
    }

    /// As `statx(2)` tells, at one instant.
    func attributes() -> Attributes { lock.shared { attributesLocked() } }

    /// Under ``lock``.
    func attributesLocked() -> Attributes {
        var attributes = Attributes(
            node: NodeID(rawValue: number), kind: kind, permissions: permissions,
            linkCount: links.load(ordering: .relaxed), owner: owner, group: group, size: size,
            blocks512: UInt64(pages.pageCount) * 8, device: device, accessTime: accessTime,
            modificationTime: modificationTime, changeTime: changeTime, birthTime: birthTime)
        attributes.mayHaveAccessControlList = !extendedAttributes.isEmpty
        return attributes
    }

    /// Notes an access, as `relatime` does.
    func touchAccessTime() {
        let now = Timestamp.now
        let due = lock.shared {
            accessTime.wantsUpdate(at: now, modified: modificationTime, changed: changeTime)
        }
        if due { lock.exclusive { accessTime = now } }
    }

    /// Drops what gives a file privileges, as the kernel does after an unprivileged write. Under ``lock``, exclusive.
    func clearPrivileges() {
        guard kind != .directory else { return }
        permissions &= ~0o4000
        if permissions & 0o010 != 0 { permissions &= ~0o2000 }
        let capability = Array("security.capability".utf8)
        if let place = extendedAttributes.firstIndex(where: { $0.name == capability }) {
            let old = extendedAttributes.remove(at: place)
            budget.give(Self.cost(old.name, old.value))
        }
    }
}
