import SecureBlock
import SimHost
import Testing
import VFS

@testable import EncFS

/// Every kind of damage that `check` knows, planted one at a time, is found, and nothing traps or hangs on it.
@Suite struct CheckTests {
    /// A filesystem with some of everything.
    private struct Sample {
        let device: SimBlockDevice
        let files: EncFS
        let directory: NodeID
        let file: NodeID
        let small: NodeID
        let link: NodeID

        init() throws {
            device = try freshDevice(nodeBytes: 4096)
            files = try EncFS(mounting: device, .quiet)
            directory = try files.make("d", kind: .directory)
            file = try files.make("file", in: directory)
            small = try files.make("small", in: directory)
            let target = NewNode(kind: .symbolicLink, permissions: 0o777, target: pattern(3000, seed: 1))
            link = try files.make(target, named: Name("link"), in: directory, by: .root).node
            try files.write(pattern(50_000, seed: 1), to: file, at: 0)
            try files.write(pattern(200, seed: 1), to: small, at: 0)
            try files.write(pattern(5000, seed: 1), to: file, at: 200_000)
            try files.setExtendedAttribute(Array("user.big".utf8), of: file, to: pattern(9000, seed: 1), .create)
            for index in 0..<80 { _ = try files.make("more \(index)", in: directory) }
        }

        func change(_ body: (Tree) throws(TreeError) -> Void) throws {
            try files.store.change(body)
            files.committer.noteChange()
            try files.sync()
        }

        func changeInode(_ node: NodeID, _ body: (inout Inode) -> Void) throws {
            try change { tree throws(TreeError) in
                var inode = try tree.inode(node.rawValue, files.table)
                body(&inode)
                try tree.set(ItemKey(node.rawValue, .inode), inode.stored)
            }
        }
    }

    private func kinds(_ sample: Sample, readData: Bool = true) throws -> Set<String> {
        var found: Set<String> = []
        let summary = try EncFS.check(sample.device.crash(), readData: readData, progress: { _, _ in }) {
            found.insert($0.kind)
            #expect($0.path?.hasPrefix("/") ?? true)
        }
        #expect(summary.isClean == found.isEmpty)
        return found
    }

    @Test func aSoundFilesystemHasNoFindings() throws {
        let sample = try Sample()
        try sample.files.sync()
        var last: (UInt64, UInt64) = (0, 0)
        let summary = try EncFS.check(sample.device.crash(), readData: true) { done, total in
            #expect(done >= last.0 && done <= total)
            last = (done, total)
        } finding: {
            Issue.record("\($0)")
        }
        #expect(summary.inodes == 85 && summary.directories == 2 && summary.dataBlocks == 16)
        #expect(last.0 * 10 > last.1 * 8)
    }

    @Test func inodeDamageIsFound() throws {
        func finds(_ kind: String, _ change: (inout Inode) -> Void) throws {
            let sample = try Sample()
            try sample.changeInode(sample.file, change)
            let found = try kinds(sample)
            #expect(found.contains(kind), "\(kind) not in \(found)")
        }
        try finds("link-count") { $0.linkCount += 1 }
        try finds("block-count") { $0.blocks += 1 }
        try finds("attribute-flag") { $0.flags.remove(.hasAttributes) }
        try finds("tail-not-zero") { $0.size -= 100 }
        try finds("orphan-unlisted") { $0.linkCount = 0 }
        try finds("entry-type") { $0.kind = .fifo }
    }

    @Test func directoryCountsAreChecked() throws {
        let sample = try Sample()
        try sample.changeInode(sample.directory) { $0.size += 1 }
        #expect(try kinds(sample) == ["entry-count"])
        try sample.changeInode(sample.directory) {
            $0.size -= 1
            $0.linkCount += 1
        }
        #expect(try kinds(sample) == ["link-count"])
    }

    @Test func itemDamageIsFound() throws {
        func finds(_ expected: Set<String>, _ body: (Sample, Tree) throws(TreeError) -> Void) throws {
            let sample = try Sample()
            try sample.change { tree throws(TreeError) in try body(sample, tree) }
            let found = try kinds(sample)
            #expect(expected.isSubset(of: found), "\(expected) not all in \(found)")
        }
        func key(_ node: NodeID, _ kind: ItemKind, _ offset: UInt64 = 0) -> ItemKey {
            ItemKey(node.rawValue, kind, offset)
        }
        func firstExtent(_ sample: Sample, _ tree: Tree) throws(TreeError) -> Extent {
            guard let extent = try tree.lastExtent(sample.file.rawValue, upTo: 0) else { throw .noSpace }
            return extent
        }
        func backlink(_ sample: Sample, _ tree: Tree) throws(TreeError) -> (directory: UInt64, sequence: UInt64) {
            guard let found = try tree.backlink(of: sample.file.rawValue) else { throw .noSpace }
            return found
        }
        try finds(["item-invalid"]) { sample, tree throws(TreeError) in
            try tree.set(key(sample.file, .extent, 0), [1, 2, 3])
        }
        try finds(["extent-overlap", "block-shared"]) { sample, tree throws(TreeError) in
            let extent = try firstExtent(sample, tree)
            try tree.insert(
                key(sample.file, .extent, 1), Extent(fileBlock: 1, first: extent.first + 1, count: 1).stored)
        }
        try finds(["extent-range"]) { sample, tree throws(TreeError) in
            try tree.insert(key(sample.file, .extent, 900), Extent(fileBlock: 900, first: 2, count: 1).stored)
        }
        try finds(["block-unmarked"]) { sample, tree throws(TreeError) in
            try tree.insert(key(sample.file, .extent, 900), Extent(fileBlock: 900, first: 7000, count: 1).stored)
        }
        try finds(["block-leaked", "block-count"]) { sample, tree throws(TreeError) in
            try tree.remove(key(sample.file, .extent, 0))
        }
        try finds(["inline-and-extents", "inline-size"]) { sample, tree throws(TreeError) in
            try tree.insert(key(sample.file, .inlineData), pattern(800, seed: 1))
        }
        try finds(["item-invalid"]) { sample, tree throws(TreeError) in
            try tree.insert(key(sample.file, .inlineData, 4097), [1])
        }
        try finds(["data-kind"]) { sample, tree throws(TreeError) in
            try tree.insert(key(sample.directory, .inlineData), [1])
        }
        try finds(["link-target"]) { sample, tree throws(TreeError) in
            try tree.remove(key(sample.link, .linkTarget, 1))
        }
        try finds(["attribute-incomplete"]) { sample, tree throws(TreeError) in
            try tree.remove(key(sample.file, .attributePiece, 256))
        }
        try finds(["item-without-inode", "entry-without-inode", "inode-total"]) { sample, tree throws(TreeError) in
            try tree.remove(key(sample.small, .inode))
        }
        try finds(["item-kind"]) { sample, tree throws(TreeError) in
            try tree.insert(ItemKey(inode: sample.file.rawValue, rawKind: 99, offset: 0), [1])
        }
        try finds(["entry-without-backlink"]) { sample, tree throws(TreeError) in
            try tree.remove(key(sample.file, .backlink, try backlink(sample, tree).sequence))
        }
        try finds(["backlink-without-entry", "hash-without-entry"]) { sample, tree throws(TreeError) in
            try tree.remove(key(sample.directory, .entry, try backlink(sample, tree).sequence))
        }
        try finds(["entry-without-hash"]) { sample, tree throws(TreeError) in
            let name = sample.files.nameHash(Array("file".utf8))
            try tree.remove(key(sample.directory, .nameHash, name))
        }
        try finds(["orphan-with-links", "orphan-without-inode", "intent-without-inode"]) {
            sample, tree throws(TreeError) in
            try tree.insert(ItemKey(0, .orphan, sample.file.rawValue), [])
            try tree.insert(ItemKey(0, .orphan, 4000), [])
            try tree.insert(ItemKey(0, .trimIntent, 4001), StoredNumbers.encode([0]))
        }
        try finds(["root-missing"]) { sample, tree throws(TreeError) in
            try tree.remove(ItemKey(Inode.rootNumber, .inode))
        }
        try finds(["next-sequence"]) { sample, tree throws(TreeError) in
            try tree.insert(key(sample.file, .backlink, 1 << 40), StoredNumbers.encode([1]))
        }
        try finds(["next-inode"]) { sample, tree throws(TreeError) in
            guard let stored = try tree.value(of: key(sample.small, .inode)).map({ Array($0) }) else { return }
            try tree.insert(ItemKey(1 << 40, .inode), stored)
        }
    }

    @Test func directoriesBelowThemselvesAreFound() throws {
        let sample = try Sample()
        let inner = try sample.files.make("inner", in: sample.directory, kind: .directory)
        // The directory hangs in its own child: a loop cut off from the root.
        try sample.change { tree throws(TreeError) in
            guard let (_, sequence) = try tree.backlink(of: sample.directory.rawValue) else { return }
            try tree.set(
                ItemKey(sample.directory.rawValue, .backlink, sequence), StoredNumbers.encode([inner.rawValue]))
        }
        #expect(try kinds(sample).isSuperset(of: ["directory-unreachable", "backlink-without-entry"]))
        #expect(sample.files.path(of: sample.file) == nil)
        let failure = errno {
            try sample.files.rename(Name("inner"), in: sample.directory, to: Name("x"), in: inner, [])
        }
        #expect(failure != nil)
    }

    @Test func nodeDamageIsFoundAndSurvived() throws {
        let sample = try Sample()
        try sample.files.close()
        let superblock = try EncFS.readSuperblock(sample.device)
        #expect(superblock.rootLevel > 0)
        var root = [UInt8](repeating: 0, count: 4096)
        try root.withUnsafeMutableBytes { try sample.device.read(LogicalBlock(superblock.root), into: $0) }
        func kinds(_ bytes: [UInt8]) throws -> Set<String> {
            let device = sample.device.crash()
            try bytes.withUnsafeBytes { try device.write(LogicalBlock(superblock.root), $0) }
            var found: Set<String> = []
            _ = try EncFS.check(device, readData: false, progress: { _, _ in }) { found.insert($0.kind) }
            // Whatever it is, a mount works or says so, and listing ends.
            do throws(EncFSError) {
                let files = try EncFS(mounting: device, .quiet)
                _ = errno { try files.names(in: files.find("d")) }
                _ = errno { try files.make("new") }
            } catch {
                guard case .corrupt = error else { throw error }
            }
            return found
        }
        #expect(try kinds(root) == [])
        let first = root.withUnsafeBytes { Int($0.loadUnaligned(fromByteOffset: 32 + 18, as: UInt16.self)) }
        let second = root.withUnsafeBytes { Int($0.loadUnaligned(fromByteOffset: 56 + 18, as: UInt16.self)) }
        func pointing(_ place: Int, to block: UInt64) -> [UInt8] {
            var bytes = root
            bytes.replaceSubrange(place..<place + 8, with: StoredNumbers.encode([block]))
            return bytes
        }
        // A child that is the root itself, one outside, one shared, one that is no node.
        #expect(try kinds(pointing(first, to: superblock.root)).contains("node-shared"))
        #expect(try kinds(pointing(first, to: 1 << 60)).contains("node-address"))
        let shared = Array(root[first..<first + 8])
        var doubled = root
        doubled.replaceSubrange(second..<second + 8, with: shared)
        #expect(try kinds(doubled).contains("node-shared"))
        #expect(try kinds(pointing(first, to: superblock.blocks - 9)).contains("node-invalid"))
        var generator = SimRandom(seed: 5)
        for _ in 0..<300 {
            var bytes = root
            for _ in 0..<3 {
                bytes[Int.random(in: 0..<200, using: &generator)] = UInt8.random(in: 0...255, using: &generator)
            }
            _ = try kinds(bytes)
        }
    }

    @Test func bitmapsAndTotalsAreCompared() throws {
        let sample = try Sample()
        try sample.files.close()
        func kinds(block: UInt64, _ change: (inout [UInt8]) -> Void) throws -> Set<String> {
            let device = sample.device.crash()
            var bytes = [UInt8](repeating: 0, count: 4096)
            try bytes.withUnsafeMutableBytes { try device.read(LogicalBlock(block), into: $0) }
            change(&bytes)
            try bytes.withUnsafeBytes { try device.write(LogicalBlock(block), $0) }
            var found: Set<String> = []
            _ = try EncFS.check(device, readData: false, progress: { _, _ in }) { found.insert($0.kind) }
            return found
        }
        #expect(try kinds(block: 2) { $0[800] = 1 } == ["block-leaked", "group-count", "free-total"])
        #expect(try kinds(block: 2) { $0[0] = 0xFE } == ["block-unmarked", "group-count", "free-total"])
        #expect(try kinds(block: 1) { $0[0] ^= 1 } == ["group-count"])
        #expect(try kinds(block: 0) { $0[120] ^= 1 } == ["free-total"])
        #expect(try kinds(block: 0) { $0[128] ^= 1 } == ["inode-total"])
        let device = sample.device.crash()
        device.damage(LogicalBlock(2))
        device.damage(LogicalBlock(try EncFS.readSuperblock(device).root))
        var found: Set<String> = []
        _ = try EncFS.check(device, readData: false, progress: { _, _ in }) { found.insert($0.kind) }
        #expect(found.isSuperset(of: ["bitmap-unreadable", "node-unreadable", "root-missing"]))
    }

    @Test func unreadableDataIsNamed() throws {
        let sample = try Sample()
        try sample.files.close()
        let device = sample.device.crash()
        let mounted = try EncFS(mounting: device, .quiet)
        device.damage(try mounted.dataBlocks(of: sample.file)[0].first)
        var found: [Finding] = []
        let summary = try EncFS.check(device, readData: true, progress: { _, _ in }) { found.append($0) }
        #expect(found.map(\.kind) == ["data-unreadable"] && found.first?.path == "/d/file")
        #expect(summary.errors == 1)
    }
}
