import SecureBlock
import SimHost

/// Whole volumes with changed numbers in what is sealed.
///
/// A cipher in counter mode changes exactly the plaintext's bits that change in the ciphertext. So a new plaintext is
/// stored by exchanging the old one's bits, and in a build whose devices do not look at tags (`Sabotage.skipTagCheck`,
/// as `scripts/fuzz` makes it) it is read as if it had been sealed so. In other builds it is refused as forged.
enum VolumeFuzz {
    /// A sealed structure of the volume: where its sealed bytes are, and what they say.
    struct Target {
        enum Kind { case root, header, page }
        var kind: Kind
        var block: UInt64
        /// Where the sealed part begins.
        var start: Int
        var plain: [UInt8]
    }
    struct Base {
        var store: SparseBytes
        var targets: [Target]
    }

    static let blocks = 560
    static var targetCount: Int { base?.targets.count ?? 0 }

    /// A volume with a checkpoint, records after it, a discard and a snapshot.
    static let base: Base? = {
        do { return try make() } catch { return nil }
    }()

    static func run(_ input: [UInt8]) {
        guard let base, !base.targets.isEmpty else { return }
        var store = base.store
        var plains: [Int: [UInt8]] = [:]
        for edit in FuzzEdit.parse(input) {
            let number = edit.target % base.targets.count
            var plain = plains[number] ?? base.targets[number].plain
            edit.apply(to: &plain, from: 0)
            plains[number] = plain
        }
        for (number, plain) in plains {
            let target = base.targets[number]
            let offset = Int(target.block) * blockBytes + target.start
            var bytes = [UInt8](repeating: 0, count: plain.count)
            bytes.withMutableRawBytes { store.read(offset, into: $0) }
            for index in plain.indices { bytes[index] ^= plain[index] ^ target.plain[index] }
            store.write(offset, bytes)
        }
        exercise(store, input.reduce(0) { $0 &+ $1 })
    }

    /// One of the things that people do to a volume that they were given.
    private static func exercise(_ store: SparseBytes, _ choice: UInt8) {
        attempt {
            switch choice % 8 {
            case 0: try check(store)
            case 1: try look(store, .readOnlyAt(SequenceNumber(4)))
            case 2:
                guard let name = SnapshotName("s") else { return }
                try look(store, .snapshot(name))
            case 3:
                _ = try SecureDevice.history(
                    MemoryBlockHost(contents: store), credential: try FuzzKey.credential())
            case 4, 5: try write(store)
            case 6: try repair(store)
            default: try salvage(store)
            }
        }
    }

    private static func check(_ store: SparseBytes) throws {
        var options = VolumeCheck.Options()
        options.readsData = true
        options.memoryBytes = 1 << 20
        _ = try VolumeCheck.run(
            MemoryBlockHost(contents: store), credential: try FuzzKey.credential(), anchor: nil,
            options: options, progress: { _, _ in }, report: { _ in })
    }

    private static func repair(_ store: SparseBytes) throws {
        let repair = try VolumeRepair.open(
            MemoryBlockHost(contents: store, capacityBytes: 64 << 20), credential: try FuzzKey.credential(),
            anchor: nil, options: options, findings: nil, announce: { _ in })
        try repair.finish()
    }

    private static func salvage(_ store: SparseBytes) throws {
        var options = Salvage.Options()
        options.memoryBytes = 1 << 20
        _ = try Salvage.run(
            MemoryBlockHost(contents: store), credential: try FuzzKey.credential(),
            to: MemoryBlockHost(capacityBytes: 64 << 20), newCredential: try FuzzKey.credential(),
            options: options)
    }

    /// An error is an answer.
    private static func attempt(_ body: () throws -> Void) {
        do { try body() } catch { return }
    }

    private static func look(_ store: SparseBytes, _ mode: OpenMode) throws {
        let device = try SecureDevice.open(
            MemoryBlockHost(contents: store), credential: try FuzzKey.credential(), mode: mode, options: options)
        let buffer = AlignedBuffer(byteCount: blockBytes)
        for block in 0..<min(device.logicalBlockCount, 64) {
            attempt { try device.read(LogicalBlock(block), into: buffer.bytes) }
        }
        try device.close()
    }

    private static func write(_ store: SparseBytes) throws {
        let device = try SecureDevice.open(
            MemoryBlockHost(contents: store, capacityBytes: 64 << 20), credential: try FuzzKey.credential(),
            options: options)
        let buffer = AlignedBuffer(byteCount: blockBytes)
        attempt {
            for block in 0..<min(device.logicalBlockCount, 8) {
                try device.write(LogicalBlock(block * 5), UnsafeRawBufferPointer(buffer.bytes))
            }
            try device.discard(LogicalBlock(1), count: min(device.logicalBlockCount, 3) - 1)
            try device.commit().wait()
        }
        try device.close()
    }

    private static var options: DeviceOptions {
        var options = DeviceOptions()
        options.maintenance = .inline
        options.checkpointIntervalBytes = 24 * blockBytes
        options.clock = { 1_700_000_000_000 }
        return options
    }

    private static func make() throws -> Base {
        let host = MemoryBlockHost()
        var volume = VolumeOptions(logicalBytes: UInt64(blocks * blockBytes))
        volume.segmentBytes = 16 * blockBytes
        try SecureDevice.create(on: host, volume, credential: try FuzzKey.credential())
        var device = try SecureDevice.open(host, credential: try FuzzKey.credential(), options: options)
        let buffer = AlignedBuffer(byteCount: blockBytes)
        func fill(_ range: Range<UInt64>) throws {
            for block in range { try device.write(LogicalBlock(block), UnsafeRawBufferPointer(buffer.bytes)) }
            try device.commit().wait()
        }
        try fill(0..<20)
        try fill(500..<530)
        if let name = SnapshotName("s") { _ = try device.createSnapshot(name) }
        try fill(5..<12)
        try device.close()
        device = try SecureDevice.open(
            MemoryBlockHost(contents: host.contents), credential: try FuzzKey.credential(), mode: .readOnly)
        try device.close()
        // Not closed: records follow the last checkpoint.
        device = try SecureDevice.open(
            MemoryBlockHost(contents: host.contents), credential: try FuzzKey.credential(), options: options)
        try device.close()
        let last = MemoryBlockHost(contents: host.contents)
        device = try SecureDevice.open(last, credential: try FuzzKey.credential(), options: options)
        try fill(0..<4)
        try device.discard(LogicalBlock(8), count: 3)
        try device.commit().wait()
        return Base(store: last.contents, targets: try targets(last.contents))
    }

    /// Every sealed structure that is not data, decrypted.
    private static func targets(_ store: SparseBytes) throws -> [Target] {
        let unlocked = try UnlockedVolume(
            MemoryBlockHost(contents: store), credential: try FuzzKey.credential(), forWriting: false)
        let context = unlocked.context
        var targets: [Target] = []
        for slot in unlocked.slots {
            let payload = AlignedBuffer(byteCount: blockBytes)
            let part = UnsafeMutableRawBufferPointer(rebasing: payload.bytes[..<Root.payloadBytes])
            var writer = ByteWriter(part)
            slot.root.write(to: &writer)
            targets.append(
                Target(
                    kind: .root, block: Layout.rootSlots[slot.slot], start: blockBytes - Root.payloadBytes,
                    plain: Array(part)))
        }
        let block = AlignedBuffer(byteCount: blockBytes), scratch = AlignedBuffer(byteCount: blockBytes)
        for number in context.geometry.firstSegmentBlock..<UInt64(store.byteCount / blockBytes) {
            store.read(Int(number) * blockBytes, into: block.bytes)
            let bytes = UnsafeRawBufferPointer(block.bytes)
            guard let clear = ClearRecordHeader(bytes), let index = context.epochs.index(of: clear.epoch),
                let key = try context.epochs.key(index),
                let header = try RecordHeader.open(
                    bytes, clear, at: PhysicalBlock(number), key, scratch: scratch.bytes)
            else { continue }
            targets.append(
                Target(kind: .header, block: number, start: 104, plain: Array(scratch.bytes[..<(blockBytes - 104)]))
            )
            for (slot, entry) in header.entries.enumerated() where header.dataBlocks > 0 {
                guard [.mapPage, .tablePage, .epochPage, .root, .snapshotPage].contains(entry.kind),
                    let output = scratch.bytes.baseAddress
                else { continue }
                let place = number + 1 + UInt64(slot)
                store.read(Int(place) * blockBytes, into: block.bytes)
                let words = entry.association.words
                let isOpen = try withUnsafeBytes(of: words) { data throws(SealError) in
                    try key.open(
                        UnsafeRawBufferPointer(block.bytes), into: output,
                        nonce: Nonce(
                            block: PhysicalBlock(place), generation: header.generation, domain: SealDomain.block),
                        associatedData: data, tag: entry.tag)
                }
                if isOpen {
                    targets.append(Target(kind: .page, block: place, start: 0, plain: Array(scratch.bytes)))
                }
            }
        }
        return targets
    }
}
