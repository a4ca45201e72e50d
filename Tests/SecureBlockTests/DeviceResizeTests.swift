import SimHost
import Testing

@testable import SecureBlock

/// Growing and shrinking a device that is in use.
@Suite struct DeviceResizeTests {
    private func discard(_ device: SecureDevice, from blocks: UInt64) throws {
        try device.discard(LogicalBlock(blocks), count: device.logicalBlockCount - blocks)
        try device.commit().wait()
    }

    /// Writes all blocks, the last ones first.
    private func fill(_ device: SecureDevice, adding value: UInt64) throws {
        for block in (0..<device.logicalBlockCount).reversed() {
            try DeviceTesting.write(device, block, block + value)
            if block % 30 == 0 { try device.commit().wait() }
        }
    }

    /// Random sizes with writes between, against a model, opened anew now and then.
    @Test(arguments: [1, 2, 3, 4] as [UInt64], [false, true])
    func sizesEqualTheModel(seed: UInt64, background: Bool) throws {
        var generator = SimRandom(seed: seed)
        let host = MemoryBlockHost()
        try DeviceTesting.create(host, blocks: 100)
        var contents = host.contents
        var model = [UInt64](repeating: 0, count: 100)
        var value: UInt64 = 0
        for round in 0..<4 {
            let host = MemoryBlockHost(contents: contents)
            let device = try DeviceTesting.open(host, checkpointInterval: 64 * blockBytes, background: background)
            #expect(try DeviceTesting.contents(device) == DeviceTesting.contents(of: model))
            for _ in 0..<6 {
                // A leaf of the map has 512 blocks, a page of the segment table 128 segments of 15.
                let size = [30, 100, 500, 1500, 5000].randomElement(using: &generator) ?? 0
                let next = size + Int.random(in: 0..<40, using: &generator)
                if next < model.count { try discard(device, from: UInt64(next)) }
                try device.commit().wait()
                if round % 2 == 0 { try device.prepareResize(toBlocks: UInt64(next)) }
                try device.resize(toBlocks: UInt64(next))
                model = Array(model.prefix(next)) + Array(repeating: 0, count: max(0, next - model.count))
                #expect(try host.byteCount() == device.status.volumeBytes)
                try device.checkInvariants()
                for step in 0..<60 {
                    let block = Int.random(in: 0..<model.count, using: &generator)
                    value += 1
                    try DeviceTesting.write(device, UInt64(block), value)
                    model[block] = value
                    if step % 20 == 0 { try device.commit().wait() }
                }
                try device.commit().wait()
            }
            #expect(try DeviceTesting.contents(device) == DeviceTesting.contents(of: model))
            // Closed, or as a crash leaves it.
            if round % 2 == 0 { try device.close() }
            contents = host.contents
            let findings = try DeviceTesting.findings(MemoryBlockHost(contents: contents))
            #expect(findings.isEmpty)
        }
    }

    /// A device full to the brim gives up what its client has given up.
    @Test func fullDeviceShrinksToWhatItHolds() throws {
        let host = MemoryBlockHost()
        try DeviceTesting.create(host, blocks: 400)
        let device = try DeviceTesting.open(host)
        // What stays is written last, so that it lies at the end.
        for round: UInt64 in 0...1 { try fill(device, adding: round) }
        let before = try host.byteCount()
        try discard(device, from: 200)
        var last: (UInt64, UInt64)?
        try device.resize(toBlocks: 200) { last = ($0, $1) }
        #expect(last.map { $0.0 == $0.1 && $0.1 > 0 } == true)
        #expect(try host.byteCount() < before)
        for block: UInt64 in 0..<200 { #expect(try DeviceTesting.holds(device, block, block + 1)) }
        for block: UInt64 in 0..<200 { try DeviceTesting.write(device, block, block + 1000) }
        try device.commit().wait()
        try device.resize(toBlocks: 400)
        for block: UInt64 in 200..<400 { try DeviceTesting.write(device, block, block + 1000) }
        try device.commit().wait()
        try device.close()
        let again = try DeviceTesting.open(MemoryBlockHost(contents: host.contents))
        for block: UInt64 in 0..<400 { #expect(try DeviceTesting.holds(again, block, block + 1000)) }
    }

    @Test func whatIsNeededBehindTheEndIsNotCutOff() throws {
        let host = MemoryBlockHost()
        try DeviceTesting.create(host, blocks: 400)
        let device = try DeviceTesting.open(host)
        // Far enough to lie behind a new end.
        for round: UInt64 in 0...1 { try fill(device, adding: round) }
        try DeviceTesting.write(device, 0, 1)
        #expect(throws: ResizeError.uncommittedChanges) { try device.resize(toBlocks: 500) }
        try device.commit().wait()
        #expect(throws: ResizeError.inUse(LogicalBlock(100))) { try device.resize(toBlocks: 100) }
        #expect(throws: ResizeError.unsuitable(blocks: 0)) { try device.resize(toBlocks: 0) }
        #expect(throws: ResizeError.unsuitable(blocks: 1 << 50)) { try device.resize(toBlocks: 1 << 50) }
        // Refused, so all is as before.
        #expect(device.logicalBlockCount == 400)
        try DeviceTesting.write(device, 399, 7)
        try device.commit().wait()
        _ = try device.createSnapshot(DeviceTesting.name("all"))
        try discard(device, from: 100)
        #expect(throws: ResizeError.neededBySnapshots) { try device.resize(toBlocks: 100) }
        try device.deleteSnapshot(DeviceTesting.name("all"))
        try device.setHistoryPolicy(HistoryPolicy(seconds: 1 << 30, isStrict: true))
        #expect(throws: ResizeError.neededByHistory) { try device.resize(toBlocks: 100) }
        try device.setHistoryPolicy(.none)
        try device.resize(toBlocks: 100)
        #expect(throws: DeviceError.outOfRange(LogicalBlock(100), count: 1)) {
            try DeviceTesting.write(device, 100, 1)
        }
        try device.checkInvariants()
        try device.close()
    }

    /// Segments that are cut off and come again within one epoch, whose key is the same, go on with their generations.
    @Test func regrownSegmentsAreNotSealedAgain() throws {
        let host = CrashHost()
        try DeviceTesting.create(host, blocks: 60)
        let device = try DeviceTesting.open(host)
        for round: UInt64 in 0..<3 {
            try device.resize(toBlocks: 300)
            for pass: UInt64 in 0..<2 { try fill(device, adding: 10 * round + pass) }
            try discard(device, from: 60)
            try device.resize(toBlocks: 60)
        }
        let ledger = SealLedger()
        for case .write(let write) in host.events {
            write.bytes.withUnsafeBytes { ledger.record(write.offset, $0) }
        }
        #expect(ledger.findings == [] && ledger.sealedCount > 1000)
    }

    /// Snapshots that lie in the front stay, and show the size that they had.
    @Test func snapshotsInFrontStay() throws {
        let host = MemoryBlockHost()
        try DeviceTesting.create(host, blocks: 60)
        let device = try DeviceTesting.open(host)
        for block: UInt64 in 0..<60 { try DeviceTesting.write(device, block, block + 1) }
        try device.commit().wait()
        _ = try device.createSnapshot(DeviceTesting.name("small"))
        try device.resize(toBlocks: 2000)
        for block: UInt64 in 0..<2000 { try DeviceTesting.write(device, block, block + 5000) }
        try device.commit().wait()
        try discard(device, from: 60)
        try device.resize(toBlocks: 60)
        let view = try device.openSnapshot(DeviceTesting.name("small"))
        #expect(view.logicalBlockCount == 60)
        for block: UInt64 in 0..<60 { #expect(try DeviceTesting.holds(view, block, block + 1)) }
        try view.close()
        try device.close()
        let findings = try DeviceTesting.findings(MemoryBlockHost(contents: host.contents))
        #expect(findings.isEmpty)
    }

    /// Writers, readers and a cleaner at work while the device grows and shrinks around them.
    @Test func clientsGoOnMeanwhile() throws {
        let host = MemoryBlockHost()
        try DeviceTesting.create(host, blocks: 1000)
        let device = try DeviceTesting.open(host, checkpointInterval: 64 * blockBytes, background: true)
        for block: UInt64 in 0..<400 { try DeviceTesting.write(device, block, block + 1) }
        try device.commit().wait()
        let stops = Monitor(false)
        let running = Monitor(2)
        for reader: UInt64 in 0..<2 {
            TestThread.start {
                var generator = SimRandom(seed: reader)
                while !stops.withLock({ $0 }) {
                    let block = UInt64.random(in: 0..<1000, using: &generator)
                    do {
                        let holds = try DeviceTesting.holds(device, block, block < 400 ? block + 1 : 0)
                        #expect(holds, "block \(block)")
                    } catch {
                        // Behind the end for the moment, as is everything that is not written.
                        #expect(
                            error as? DeviceError == .outOfRange(LogicalBlock(block), count: 1) && block >= 400,
                            "\(error)")
                    }
                }
                running.change { $0 -= 1 }
            }
        }
        for _ in 0..<6 {
            try device.prepareResize(toBlocks: 400)
            try device.resize(toBlocks: 400)
            try device.resize(toBlocks: 1000)
        }
        stops.change { $0 = true }
        running.changeWhen({ $0 == 0 }) { _ in }
        try device.checkInvariants()
        try device.close()
    }

    /// A host that puts back a root of another size gets a rollback, an error, or the newest state: never anything else.
    @Test func rootsOfOtherSizesArePutBack() throws {
        let host = MemoryBlockHost()
        try DeviceTesting.create(host, blocks: 60)
        let device = try DeviceTesting.open(host)
        var roots: [[UInt8]] = [], commits: [[UInt64]] = []
        var model = [UInt64](repeating: 0, count: 60)
        var stores: [SparseBytes] = []
        for (round, size) in [60, 300, 60, 40, 700, 60].enumerated() {
            if size < model.count { try discard(device, from: UInt64(size)) }
            try device.resize(toBlocks: UInt64(size))
            model = Array(model.prefix(size)) + Array(repeating: 0, count: max(0, size - model.count))
            for block in 0..<min(size, 50) {
                try DeviceTesting.write(device, UInt64(block), UInt64(1000 * round + block + 1))
                model[block] = UInt64(1000 * round + block + 1)
            }
            try device.commit().wait()
            commits.append(model)
            for slot in Layout.rootSlots {
                var root = [UInt8](repeating: 0, count: blockBytes)
                let store = host.contents
                root.withUnsafeMutableBytes { store.read(Int(slot) * blockBytes, into: $0) }
                roots.append(root)
            }
            stores.append(host.contents)
        }
        try device.close()
        stores.append(host.contents)
        var opened = 0
        for store in stores {
            for first in roots.indices {
                for second in [first, (first + 3) % roots.count] {
                    let mixed = MemoryBlockHost(contents: store)
                    mixed.tamper {
                        $0.write(Int(Layout.rootSlots[0]) * blockBytes, roots[first])
                        $0.write(Int(Layout.rootSlots[1]) * blockBytes, roots[second])
                    }
                    for mode in [OpenMode.readOnly, .readWrite] {
                        do {
                            let found = try DeviceTesting.open(mixed, mode: mode)
                            let contents = try DeviceTesting.contents(found)
                            let size = Int(found.logicalBlockCount)
                            let isOneState = commits.contains { state in
                                let padded =
                                    Array(state.prefix(size))
                                    + Array(repeating: 0, count: max(0, size - state.count))
                                return contents == DeviceTesting.contents(of: padded)
                            }
                            #expect(
                                isOneState
                                    || contents == DeviceTesting.contents(of: Array(repeating: 0, count: size)))
                            opened += 1
                        } catch {
                            #expect(error is VolumeError || error is DeviceError, "\(error)")
                        }
                    }
                }
            }
        }
        #expect(opened > 0)
    }
}
