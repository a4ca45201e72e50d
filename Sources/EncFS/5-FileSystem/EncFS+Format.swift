import SecureBlock
import VFS

extension EncFS {
    /// Makes an empty filesystem over all of `device`; durable on return. What was there before is forgotten.
    /// - Throws: ``EncFSError/noSpace`` for a device below 2 MiB or one that is full,
    ///   ``EncFSError/unsuitableOptions(_:)``, ``EncFSError/device(_:)``.
    public static func format(_ device: any BlockDevice, _ options: FormatOptions) throws(EncFSError) {
        guard !device.isReadOnly else { throw .readOnly }
        guard [4096, 8192, 16384, 32768].contains(options.nodeBytes) else {
            throw .unsuitableOptions("a node has 4096, 8192, 16384 or 32768 bytes")
        }
        let blocks = min(device.logicalBlockCount, Superblock.maximumBlocks)
        guard blocks >= Superblock.minimumBlocks else { throw .noSpace }
        let now = options.reproducibleTime ?? Timestamp.now
        var random = SystemRandomNumberGenerator()
        func key() -> UInt64 { options.reproducibleTime == nil ? random.next() : 0 }
        let nodeBlocks = UInt64(options.nodeBytes / blockBytes)
        var superblock = Superblock(
            nodeBytes: options.nodeBytes, incompatible: options.packsTails ? Superblock.tails : 0,
            identity: Superblock.Identity(first: key(), second: key()),
            nameHash: NameHash(key0: key(), key1: key()), blocks: blocks,
            reserveStart: (blocks - Superblock.reserveBlocks(blocks)) / nodeBlocks * nodeBlocks, root: 0,
            rootLevel: 0, nextInode: Superblock.lastReservedInode + 1, nextSequence: 3, freeBlocks: 0, inodes: 1,
            commits: 0, madeSeconds: now.seconds)
        superblock.root = (superblock.dataStart + nodeBlocks - 1) / nodeBlocks * nodeBlocks
        guard superblock.root + nodeBlocks < superblock.reserveStart else { throw .noSpace }

        let directory = Inode(
            kind: .directory, permissions: options.rootPermissions & 0o7777, linkCount: 2, owner: options.rootOwner,
            group: options.rootGroup, accessTime: now, modificationTime: now, changeTime: now, birthTime: now)
        let node = Node(empty: superblock.root, level: 0, byteCount: options.nodeBytes)
        directory.stored.withUnsafeBytes { node.append(ItemKey(Inode.rootNumber, .inode), $0) }

        do throws(DeviceError) {
            try device.discard(LogicalBlock(0), count: device.logicalBlockCount)
            var writes = StagedWrites(device)
            var counts: [UInt32] = []
            for number in 0..<superblock.groups {
                let (bitmap, free) = firstBitmap(group: number, superblock)
                counts.append(free)
                try writes.add(superblock.bitmapStart + number, bitmap)
            }
            superblock.freeBlocks = counts.reduce(0) { $0 + UInt64($1) }
            let space = Space(superblock, freeCounts: counts)
            for number in 0..<superblock.tableBlocks {
                try writes.add(superblock.tableStart + number, space.tableBlock(number))
            }
            try writes.add(node.address, node.content)
            try writes.add(0, superblock.stored)
            try writes.flush()
            try device.commit().wait()
        } catch {
            throw error == .noSpace ? .noSpace : .device(error)
        }
    }

    static func firstBitmap(group: UInt64, _ superblock: Superblock) -> (stored: [UInt8], free: UInt32) {
        let nodeBlocks = superblock.nodeBlocks
        var bytes = [UInt8](repeating: 0, count: blockBytes)
        var used: UInt32 = 0
        let base = group * Superblock.groupBlocks
        func mark(_ range: Range<UInt64>) {
            let clipped = range.clamped(to: base..<base + Superblock.groupBlocks)
            for block in clipped {
                bytes[Int(block - base) / 8] |= 1 << UInt8((block - base) % 8)
                used += 1
            }
        }
        mark(0..<superblock.dataStart)
        mark(superblock.root..<superblock.root + nodeBlocks)
        mark(superblock.blocks..<max(superblock.blocks, base + Superblock.groupBlocks))
        return (bytes, UInt32(Superblock.groupBlocks) - used)
    }

    static func readSuperblock(_ device: any BlockDevice) throws(EncFSError) -> Superblock {
        guard device.logicalBlockCount >= Superblock.minimumBlocks else { throw .notFormatted }
        return try withBlocks(device, 0, 1) { bytes throws(EncFSError) in
            try Superblock(stored: bytes, deviceBlocks: device.logicalBlockCount)
        }
    }

    static func readGroupTable(
        _ device: any BlockDevice, _ superblock: Superblock
    ) throws(EncFSError) -> [UInt32] {
        var counts: [UInt32] = []
        counts.reserveCapacity(Int(superblock.groups))
        for number in 0..<superblock.tableBlocks {
            try withBlocks(device, superblock.tableStart + number, 1) { bytes throws(EncFSError) in
                var reader = StoredReader(bytes)
                for _ in 0..<min(Superblock.groupsPerTableBlock, superblock.groups - UInt64(counts.count)) {
                    do throws(StoredError) {
                        let count: UInt32 = try reader.integer()
                        guard UInt64(count) <= Superblock.groupBlocks else { throw .invalid("\(count) free") }
                        counts.append(count)
                    } catch { throw .corrupt("group table: \(error)") }
                }
            }
        }
        return counts
    }

    static func withBlocks<R>(
        _ device: any BlockDevice, _ first: UInt64, _ count: Int,
        _ body: (UnsafeRawBufferPointer) throws(EncFSError) -> R
    ) throws(EncFSError) -> R {
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: count * blockBytes, alignment: blockBytes)
        defer { buffer.deallocate() }
        do throws(DeviceError) { try device.read(LogicalBlock(first), into: buffer) } catch { throw .device(error) }
        return try body(UnsafeRawBufferPointer(buffer))
    }
}
