import SecureBlock
import SimHost
import Testing
import VFS

@testable import EncFS

/// Damage of the kinds that `CheckTests` does not plant: order of nodes and items, sharing, flags, what may be out of date.
@Suite struct CheckFindingTests {
    private let device: SimBlockDevice
    private let files: EncFS
    private let directory: NodeID
    private let file: NodeID
    private let small: NodeID

    init() throws {
        device = try freshDevice(nodeBytes: 4096)
        files = try EncFS(mounting: device, .quiet)
        directory = try files.make("d", kind: .directory)
        file = try files.make("file", in: directory)
        small = try files.make("small", in: directory)
        let copy = try files.make("copy", in: directory)
        try files.write(pattern(50_000, seed: 1), to: file, at: 0)
        try files.write(pattern(200, seed: 1), to: small, at: 0)
        try files.clone(file, 0..<8192, to: copy, at: 0, [])
        try files.setExtendedAttribute(Array("user.big".utf8), of: file, to: pattern(9000, seed: 1), .create)
        for index in 0..<80 { _ = try files.make("more \(index)", in: directory) }
        try files.sync()
    }

    private func kinds(_ device: SimBlockDevice? = nil, suspects: [Range<UInt64>] = []) throws -> Set<String> {
        var found: Set<String> = []
        _ = try EncFS.check(
            device ?? self.device.crash(), readData: true, suspects: suspects, progress: { _, _ in }
        ) { found.insert($0.kind) }
        return found
    }

    /// What is found once `body` changed the tree, without the notes.
    private func kinds(after body: (Tree) throws(TreeError) -> Void) throws -> Set<String> {
        try files.store.change(body)
        files.committer.noteChange()
        try files.sync()
        return try kinds()
    }

    private func key(_ node: NodeID, _ kind: ItemKind, _ offset: UInt64 = 0) -> ItemKey {
        ItemKey(node.rawValue, kind, offset)
    }

    @Test func whatIsSharedIsSound() throws { #expect(try kinds() == []) }

    @Test func anExtentThatDeniesToShareIsFound() throws {
        let found = try kinds { tree throws(TreeError) in
            for var extent in try tree.extents(file.rawValue, in: 0..<2) {
                extent.mayBeShared = false
                try tree.set(key(file, .extent, extent.fileBlock), extent.stored)
            }
        }
        #expect(found.contains("extent-flag"))
    }

    @Test func aSharedRunOutsideOfTheDataIsFound() throws {
        let found = try kinds { tree throws(TreeError) in
            try tree.insert(ItemKey(0, .sharedRun, 1), SharedRun(1..<2, references: 2).stored)
        }
        #expect(found == ["shared-range"])
    }

    @Test func aSharedRunOverDataOfOneFileIsFound() throws {
        let found = try kinds { tree throws(TreeError) in
            guard let run = try tree.extents(file.rawValue, in: 0..<1).first else { return }
            try tree.insert(
                ItemKey(0, .sharedRun, run.first + 1),
                SharedRun(run.first + 1..<run.first + 2, references: 2).stored)
        }
        #expect(found.isSuperset(of: ["block-shared", "reference-count"]))
    }

    @Test func entriesAreOfOneDirectoryAndInDirectories() throws {
        let found = try kinds { tree throws(TreeError) in
            guard let (_, sequence) = try tree.backlink(of: small.rawValue),
                let item = try tree.directoryItem(directory.rawValue, sequence)
            else { return }
            try tree.insert(key(file, .entry, sequence), item.stored)
        }
        #expect(found.isSuperset(of: ["entry-sequence", "entry-kind"]))
    }

    @Test func aDirectoryHasOneName() throws {
        let found = try kinds { tree throws(TreeError) in
            try tree.insert(key(directory, .backlink, 5000), StoredNumbers.encode([1]))
        }
        #expect(found.isSuperset(of: ["directory-names", "backlink-without-entry"]))
    }

    @Test func flagsSayWhatIsThere() throws {
        let found = try kinds { tree throws(TreeError) in
            var inode = try tree.inode(small.rawValue, files.table)
            inode.flags.remove(.hasInlineData)
            try tree.set(key(small, .inode), inode.stored)
        }
        #expect(found == ["inline-flag"])
    }

    /// Items that parse and are where they must not be.
    @Test(arguments: 0..<9) func itemsOutOfPlaceAreFound(which: Int) throws {
        let found = try kinds { tree throws(TreeError) in
            let own = ItemKey.filesystem, numbers = StoredNumbers.encode([1, 2])
            switch which {
            case 0: try tree.insert(key(file, .inode, 1), [UInt8](repeating: 0, count: Inode.storedBytes))
            case 1: try tree.insert(ItemKey(own, .entry, 9), [1])
            case 2: try tree.insert(ItemKey(own, .trimIntent, file.rawValue), numbers)
            case 3: try tree.insert(ItemKey(own, .shiftIntent, file.rawValue), [1])
            case 4: try tree.insert(ItemKey(own, .sharedRun, 900), [1])
            case 5: try tree.insert(key(file, .backlink, 7), numbers)
            case 6: try tree.insert(key(small, .attributePiece, 256), [1])
            case 7: try tree.insert(key(file, .orphan), [])
            default: try tree.insert(key(small, .attribute, 1), [1])
            }
        }
        #expect(found.contains("item-invalid"))
    }

    /// A move within a file, and a truncation, that nobody finished are notes where the file is there.
    @Test func unfinishedWorkIsNoted() throws {
        let found = try kinds { tree throws(TreeError) in
            let shift = ShiftIntent(from: 8, distance: 2, position: 9, isUpwards: false)
            try tree.insert(ItemKey(0, .shiftIntent, file.rawValue), shift.stored)
            try tree.insert(ItemKey(0, .trimIntent, file.rawValue), StoredNumbers.encode([500]))
        }
        #expect(found == ["intent"])
        #expect(
            try kinds { tree throws(TreeError) in
                let shift = ShiftIntent(from: 8, distance: 2, position: 9, isUpwards: false)
                try tree.insert(ItemKey(0, .shiftIntent, 4000), shift.stored)
            } == ["intent", "intent-without-inode"])
    }

    @Test func whatMayBeOutOfDateIsNoted() throws {
        let data = try #require(try files.dataBlocks(of: file).first).first.rawValue
        #expect(try kinds(suspects: [data..<data + 1]) == ["data-doubtful"])
        let superblock = try EncFS.readSuperblock(device)
        #expect(try kinds(suspects: [1..<2, superblock.root..<superblock.root + 1]) == ["node-doubtful"])
    }

    /// Two children of the root exchanged, and one of them empty.
    @Test func nodesOutOfOrderAreFound() throws {
        let superblock = try EncFS.readSuperblock(device)
        var bytes = [UInt8](repeating: 0, count: 4096)
        try bytes.withUnsafeMutableBytes { try device.read(LogicalBlock(superblock.root), into: $0) }
        let root = try bytes.withUnsafeBytes {
            try Node(reading: $0, address: superblock.root, level: superblock.rootLevel)
        }
        try #require(root.level == 1 && root.count > 2)
        let places = [0, 1].map { slot in
            bytes.withUnsafeBytes { Int($0.loadUnaligned(fromByteOffset: 32 + 24 * slot + 18, as: UInt16.self)) }
        }
        var exchanged = bytes
        exchanged.replaceSubrange(places[0]..<places[0] + 8, with: bytes[places[1]..<places[1] + 8])
        exchanged.replaceSubrange(places[1]..<places[1] + 8, with: bytes[places[0]..<places[0] + 8])
        func kinds(_ block: UInt64, _ bytes: some Sequence<UInt8>) throws -> Set<String> {
            let copy = device.crash()
            try Array(bytes).withUnsafeBytes { try copy.write(LogicalBlock(block), $0) }
            return try self.kinds(copy)
        }
        #expect(try kinds(superblock.root, exchanged).isSuperset(of: ["node-bounds", "key-order"]))
        let child = root.child(1)
        let empty = Node(empty: child, level: 0, byteCount: 4096)
        let stored = withExtendedLifetime(empty) { Array(empty.content) }
        #expect(try kinds(child, stored).contains("node-empty"))
    }

    /// Every error of a device has words of its own.
    @Test func errorsOfTheDeviceAreTold() {
        let host = HostError.failed(call: "read", errno: 5, offset: nil)
        let reasons: [UnreadableReason] = [
            .tagMismatch(PhysicalBlock(1)), .headerMismatch(PhysicalBlock(1)), .mapMismatch(PhysicalBlock(1)),
            .hashMismatch(level: 0, number: 1), .hashMismatch(level: 1, number: 1), .crypto("a cause"), .lost,
            .host(host),
        ]
        let errors: [DeviceError] =
            reasons.map { .unreadable(LogicalBlock(3), $0) } + [
                .outOfRange(LogicalBlock(3), count: 2), .misaligned(byteCount: 7), .readOnly, .noSpace,
                .commitRequired, .latched("a cause"), .closed,
            ]
        let texts = errors.map(\.text)
        #expect(Set(texts).count == texts.count && !texts.contains(""))
    }
}
