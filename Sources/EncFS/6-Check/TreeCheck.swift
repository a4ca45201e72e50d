import SecureBlock
import VFS

/// Goes once through a whole filesystem, straight on the device, and says what does not fit together.
///
/// It trusts nothing: every node is claimed before it is followed, so damaged trees that share nodes or go round end; a
/// node that cannot be read is a finding and its subtree is left out. Memory grows with inodes and names, not with data.
final class TreeCheck {
    /// What was found about an inode.
    struct Facts {
        var inode: Inode
        var entries: UInt64 = 0
        var directories: UInt64 = 0
        var blocks: UInt64 = 0
        var names: UInt64 = 0
        var backlinks: UInt64 = 0
        /// Bytes that are in the tree.
        var inline: Range<UInt64>?
        /// Where the last extent ends, in blocks of the file.
        var extentEnd: UInt64 = 0
        var targetBytes: UInt64 = 0
        var attributes: UInt64 = 0
        var parent: UInt64?
        var parentSequence: UInt64 = 0
    }

    struct NameFacts {
        var directory: UInt64
        var inode: UInt64
        var kind: NodeKind
        var name: Name
        var hasBacklink = false
    }

    /// Findings kept; more are only counted.
    static let findingLimit = 10_000

    let device: any BlockDevice
    let superblock: Superblock
    let readData: Bool
    var findings: [Finding] = []
    var summary = CheckSummary()
    var claims = BlockClaims()
    var facts: [UInt64: Facts] = [:]
    var names: [UInt64: NameFacts] = [:]
    var orphans: Set<UInt64> = []
    var trims: Set<UInt64> = []
    var shifts: Set<UInt64> = []
    /// Ascending.
    var shared: [SharedRun] = []
    /// Parts of shared runs, once for every extent that names them.
    var references: [Range<UInt64>] = []
    var extents: [(inode: UInt64, extent: Extent)] = []
    var lastKey: ItemKey?
    var lastExtent: (inode: UInt64, end: UInt64) = (0, 0)
    /// Names of the directory being read, by hash, that no hash item has named yet.
    var unhashed: [UInt64: Set<UInt64>] = [:]
    var unhashedDirectory: UInt64 = 0
    var backlinks: [(inode: UInt64, sequence: UInt64, directory: UInt64)] = []
    /// Bytes of large attributes, by inode and number, that no piece has brought yet.
    var pieces: [UInt64: [UInt64: Int]] = [:]
    var highestSequence: UInt64 = 0
    /// Runs of blocks, ascending, that may be older than they should be.
    var suspects: [Range<UInt64>] = []
    private var progress: ((UInt64, UInt64) -> Void)?
    var done: UInt64 = 0

    init(_ device: any BlockDevice, _ superblock: Superblock, readData: Bool) {
        self.device = device
        self.superblock = superblock
        self.readData = readData
    }

    func run(_ progress: (UInt64, UInt64) -> Void) throws(EncFSError) {
        try withoutActuallyEscaping(progress) { progress throws(EncFSError) in
            self.progress = progress
            defer { self.progress = nil }
            try run()
        }
    }

    private func run() throws(EncFSError) {
        for block in 0..<superblock.dataStart { _ = claims.claim(block) }
        walk(superblock.root, level: superblock.rootLevel, from: .lowest, below: nil)
        endOfDirectory()
        checkInodes()
        checkSharing()
        checkNames()
        checkCounters()
        try checkBitmaps()
        if readData { checkData() }
    }

    func report(
        _ kind: String, _ message: String, inode: UInt64? = nil, severity: Finding.Severity = .error
    ) {
        if severity == .error { summary.errors += 1 } else { summary.notes += 1 }
        if findings.count < Self.findingLimit {
            findings.append(Finding(severity: severity, kind: kind, inode: inode, message: message))
        }
    }

    /// The parts of a run of blocks that are suspect.
    func suspects(in run: Range<UInt64>) -> [Range<UInt64>] {
        var low = 0, high = suspects.count
        while low < high {
            let middle = (low + high) / 2
            if suspects[middle].upperBound <= run.lowerBound { low = middle + 1 } else { high = middle }
        }
        var found: [Range<UInt64>] = []
        while low < suspects.count, suspects[low].lowerBound < run.upperBound {
            found.append(suspects[low].clamped(to: run))
            low += 1
        }
        return found
    }

    func advance(_ blocks: UInt64) {
        done += blocks
        let total = superblock.blocks - min(superblock.blocks, superblock.freeBlocks)
        progress?(min(done, total), total)
    }

    // MARK: the walk

    private func walk(_ address: UInt64, level: Int, from: ItemKey, below: ItemKey?) {
        guard address >= superblock.dataStart, address <= superblock.blocks - superblock.nodeBlocks else {
            return report("node-address", "node at block \(address), outside the filesystem")
        }
        if let shared = claims.claim(address, count: superblock.nodeBlocks) {
            return report("node-shared", "block \(shared) of the node at \(address) is in use already")
        }
        guard let node = read(address, level: level) else { return }
        if !suspects(in: address..<address + superblock.nodeBlocks).isEmpty {
            report(
                "node-doubtful", "node at block \(address), level \(level), may be older than it should be",
                severity: .note)
        }
        summary.nodes += 1
        advance(superblock.nodeBlocks)
        if node.count == 0, address != superblock.root { report("node-empty", "node at block \(address)") }
        if node.count > 0 {
            if node.key(0) < from { report("node-bounds", "node at block \(address) begins at \(node.key(0))") }
            if let below, node.key(node.count - 1) >= below {
                report("node-bounds", "node at block \(address) ends at \(node.key(node.count - 1))")
            }
        }
        for index in 0..<node.count {
            if node.isLeaf {
                take(node.key(index), node.value(index))
            } else {
                let next = index + 1 < node.count ? node.key(index + 1) : below
                walk(node.child(index), level: level - 1, from: node.key(index), below: next)
            }
        }
    }

    private func read(_ address: UInt64, level: Int) -> Node? {
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: superblock.nodeBytes, alignment: blockBytes)
        defer { buffer.deallocate() }
        do throws(DeviceError) { try device.read(LogicalBlock(address), into: buffer) } catch {
            report("node-unreadable", "node at block \(address): \(error.text)")
            return nil
        }
        do throws(StoredError) {
            return try Node(reading: UnsafeRawBufferPointer(buffer), address: address, level: level)
        } catch {
            report("node-invalid", "node at block \(address): \(error)")
            return nil
        }
    }
}
