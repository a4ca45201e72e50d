import SimHost
import Testing

@testable import SecureBlock

/// A volume with a past: several epochs, overwrites, discards, checkpoints, reused segments; and where its parts are.
struct SalvageSubject {
    static let blocks: UInt64 = 1100
    var image: SparseBytes
    var model: [UInt64]
    /// Every value that each block ever had at a commit.
    var past: [Set<UInt64>]
    var anchor: AnchorValue?
    var commit: SequenceNumber
    /// Where each block is: header and data, in blocks of the volume.
    var places: [UInt64: (header: UInt64, data: UInt64)] = [:]

    /// - Parameter isClosed: whether the last opening was closed, or ended by a crash.
    init(seed: UInt64, isClosed: Bool, openings: Int = 3, steps: Int = 70) throws {
        let host = MemoryBlockHost(), anchor = MemoryAnchor()
        try DeviceTesting.create(host, blocks: Self.blocks, anchor: anchor)
        var generator = SimRandom(seed: seed)
        model = Array(repeating: 0, count: Int(Self.blocks))
        past = Array(repeating: [0], count: Int(Self.blocks))
        var value: UInt64 = 0
        var contents = host.contents
        commit = SequenceNumber(0)
        for opening in 0..<openings {
            let host = MemoryBlockHost(contents: contents)
            let device = try DeviceTesting.open(host, anchor: anchor, checkpointInterval: 200 * blockBytes)
            for _ in 0..<steps {
                let first = Int.random(in: 0..<Int(Self.blocks), using: &generator)
                let count = min(Int.random(in: 1...20, using: &generator), Int(Self.blocks) - first)
                if Int.random(in: 0..<8, using: &generator) == 0 {
                    try device.discard(LogicalBlock(UInt64(first)), count: UInt64(count))
                    for block in first..<first + count { model[block] = 0 }
                } else {
                    for block in first..<first + count {
                        value += 1
                        do { try DeviceTesting.write(device, UInt64(block), value) } catch {
                            guard DeviceTesting.isShortOfSpace(error) else { throw error }
                            try device.commit().wait()
                            try DeviceTesting.write(device, UInt64(block), value)
                        }
                        model[block] = value
                    }
                }
                for block in first..<first + count { past[block].insert(model[block]) }
                if Int.random(in: 0..<6, using: &generator) == 0 { try device.commit().wait() }
            }
            try device.commit().wait()
            if isClosed || opening + 1 < openings, opening % 2 == 0 || isClosed { try device.close() }
            commit = device.status.commit
            contents = host.contents
        }
        image = contents
        self.anchor = try anchor.load()
        let reader = try DeviceTesting.open(
            MemoryBlockHost(contents: image), anchor: MemoryAnchor(self.anchor), mode: .readOnly)
        for block in 0..<Self.blocks {
            try reader.lockWithMap(LogicalBlock(block), count: 1)
            let entry = reader.map.entry(LogicalBlock(block))
            reader.monitor.unlock()
            if entry.isMapped { places[block] = (entry.header.rawValue, entry.block.rawValue) }
        }
        try reader.close()
    }

    var geometry: Geometry {
        let first = Layout.firstSegmentBlock(segmentBlocks: 16)
        return Geometry(
            segmentBlocks: 16, segmentCount: UInt32((UInt64(image.byteCount / blockBytes) - first) / 16),
            logicalBlocks: Self.blocks)
    }

    /// Every header that verifies, wherever it is.
    func headers() throws -> [RecordHeader] {
        let source = try SalvageSource(
            MemoryBlockHost(contents: image), credential: DeviceTesting.keyFile(), segmentBytes: nil)
        let scan = RecordScan(source)
        var headers: [RecordHeader] = []
        try scan.run({ _, _ in }) { headers.append($0) }
        return headers
    }

    /// The places of all blocks of a kind, at any level or at one.
    func blocks(of kind: BlockKind, level: UInt8? = nil) throws -> [UInt64] {
        try headers().flatMap { header in
            header.entries.enumerated().filter {
                $1.kind == kind && (level == nil || $1.association.level == level)
            }.map { slot, _ in
                geometry.physical(
                    LogPosition(segment: header.position.segment, block: header.position.block + 1 + UInt32(slot))
                ).rawValue
            }
        }
    }

    /// The logical blocks of which some record, now or formerly in use, has contents outside `destroyed`.
    func copies(besides destroyed: Set<UInt64>) throws -> Set<UInt64> {
        var copies: Set<UInt64> = []
        for header in try headers() {
            let base = geometry.physical(header.position).rawValue
            for (slot, entry) in header.entries.enumerated()
            where (entry.kind == .data || entry.kind == .relocation) && !destroyed.contains(base)
                && !destroyed.contains(base + 1 + UInt64(slot))
            { copies.insert(entry.address) }
        }
        return copies
    }

    static func destroy(_ image: inout SparseBytes, _ blocks: [UInt64]) {
        for block in blocks { image.write(Int(block) * blockBytes, [UInt8](repeating: 0x5A, count: blockBytes)) }
    }

    static var roots: [UInt64] { Layout.rootSlots }
}

/// A salvage, and the device that it made.
struct SalvageRun {
    var report: SalvageReport
    var device: SecureDevice

    init(_ image: SparseBytes, anchor: AnchorValue? = nil, memoryBytes: Int = 1 << 20) throws {
        let target = MemoryBlockHost()
        var options = Salvage.Options()
        options.memoryBytes = memoryBytes
        report = try Salvage.run(
            MemoryBlockHost(contents: image), credential: DeviceTesting.keyFile(),
            anchor: anchor.map { MemoryAnchor($0) }, to: target, newCredential: DeviceTesting.keyFile(9),
            options: options)
        device = try SecureDevice.open(
            MemoryBlockHost(contents: target.contents), credential: DeviceTesting.keyFile(9), mode: .readOnly)
        try device.checkInvariants()
    }

    enum Found: Equatable { case value, lost, other }

    func block(_ block: UInt64, is value: UInt64) throws -> Found {
        do { return try DeviceTesting.holds(device, block, value) ? .value : .other } catch {
            #expect(error as? DeviceError == .unreadable(LogicalBlock(block), .lost))
            return .lost
        }
    }
}
