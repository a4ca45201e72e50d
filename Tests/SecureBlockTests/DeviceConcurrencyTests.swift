import SimHost
import Synchronization
import Testing

@testable import SecureBlock

@Suite struct DeviceConcurrencyTests {
    /// Threads that write, read back, discard and commit their own blocks, with maintenance in the background.
    @Test(arguments: [1, 2] as [UInt64])
    func threadsSeeTheirOwnWrites(seed: UInt64) throws {
        let threads = 6, blocksEach = 60, steps = 400
        let host = MemoryBlockHost(), anchor = MemoryAnchor()
        try DeviceTesting.create(host, blocks: UInt64(threads * blocksEach), anchor: anchor)
        let device = try DeviceTesting.open(
            host, anchor: anchor, checkpointInterval: 50 * blockBytes, background: true)
        let models = Mutex([[UInt64]](repeating: [], count: threads))
        let workers = try (0..<threads).map { index in
            try #require(
                HostThread {
                    var generator = SimRandom(seed: seed &* 100 &+ UInt64(index))
                    var model = [UInt64](repeating: 0, count: blocksEach)
                    let base = UInt64(index * blocksEach)
                    do {
                        for step in 0..<steps {
                            let block = Int.random(in: 0..<blocksEach, using: &generator)
                            switch Int.random(in: 0..<20, using: &generator) {
                            case 0:
                                try device.discard(LogicalBlock(base + UInt64(block)), count: 1)
                                model[block] = 0
                            case 1, 2: try device.commit().wait()
                            case 3...8:
                                let isThere = try DeviceTesting.holds(device, base + UInt64(block), model[block])
                                #expect(isThere, "seed \(seed), thread \(index), step \(step)")
                            default:
                                let value = UInt64(index + 1) << 32 | UInt64(step + 1)
                                try DeviceTesting.writeWithCommits(device, base + UInt64(block), value)
                                model[block] = value
                            }
                        }
                    } catch { Issue.record("seed \(seed), thread \(index): \(error)") }
                    models.withLock { [model] in $0[index] = model }
                })
        }
        for worker in workers { worker.join() }
        let all = models.withLock { $0.flatMap { $0 } }
        #expect(try DeviceTesting.contents(device) == DeviceTesting.contents(of: all))
        try device.commit().wait()
        try device.checkInvariants()
        // As it stands now, and as closing leaves it, each with the anchor of its moment.
        let killed = (host.contents, try anchor.load())
        try device.close()
        for (contents, value) in [killed, (host.contents, try anchor.load())] {
            let again = try DeviceTesting.open(
                MemoryBlockHost(contents: contents), anchor: MemoryAnchor(value), mode: .readOnly)
            #expect(try DeviceTesting.contents(again) == DeviceTesting.contents(of: all))
        }
    }

    /// A device at full logical size takes random overwrites for ever, if its client commits when asked.
    @Test func fullDeviceTakesOverwrites() throws {
        let host = MemoryBlockHost()
        try DeviceTesting.create(host, blocks: 2000)
        let device = try DeviceTesting.open(host, checkpointInterval: 64 * blockBytes, background: true)
        var generator = SimRandom(seed: 5)
        var model = [UInt64](repeating: 0, count: 2000)
        for index in 0..<2000 {
            try DeviceTesting.writeWithCommits(device, UInt64(index), UInt64(index + 1))
            model[index] = UInt64(index + 1)
        }
        for step: UInt64 in 1...20_000 {
            let block = Int.random(in: 0..<2000, using: &generator)
            try DeviceTesting.writeWithCommits(device, UInt64(block), step << 20)
            model[block] = step << 20
        }
        #expect(try DeviceTesting.contents(device) == DeviceTesting.contents(of: model))
        try device.commit().wait()
        try device.checkInvariants()
        let counters = device.status.counters
        print("full device: \(counters.clientBlocks) client blocks, \(counters.logBlocks) log blocks")
        try device.close()
    }
}
