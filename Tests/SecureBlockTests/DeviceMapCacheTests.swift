import SimHost
import Testing

@testable import SecureBlock

/// A map of many pages of which few fit into memory: nothing may be read from a page that went, and nothing that changed
/// may go.
@Suite struct DeviceMapCacheTests {
    private static let leaves: UInt64 = 300
    private static let cacheBytes = 24 * blockBytes

    /// Random blocks all over a device, each with its value; what is not there is 0.
    @Test(arguments: [1, 2, 3] as [UInt64], [false, true])
    func fewPagesInMemoryEqualTheModel(seed: UInt64, background: Bool) throws {
        var host = MemoryBlockHost()
        let blocks = Self.leaves * 512
        try DeviceTesting.create(host, blocks: blocks)
        var model: [UInt64: UInt64] = [:]
        var generator = SimRandom(seed: seed)
        for round in 0..<3 {
            let device = try DeviceTesting.open(
                host, checkpointInterval: 200 * blockBytes, background: background, mapCacheBytes: Self.cacheBytes)
            for step: UInt64 in 1...400 {
                // Few leaves often, many seldom.
                let leaf =
                    Bool.random(using: &generator)
                    ? UInt64.random(in: 0..<8, using: &generator)
                    : UInt64.random(in: 0..<Self.leaves, using: &generator)
                let block = leaf * 512 + UInt64.random(in: 0..<4, using: &generator) * 128
                switch Int.random(in: 0..<20, using: &generator) {
                case 0:
                    let count = UInt64.random(in: 1...3000, using: &generator)
                    let end = min(block + count, blocks)
                    try device.discard(LogicalBlock(block), count: end - block)
                    for gone in model.keys where (block..<end).contains(gone) { model[gone] = nil }
                case 1: try device.commit().wait()
                case 2...9:
                    #expect(try DeviceTesting.holds(device, block, model[block] ?? 0), "seed \(seed), step \(step)")
                default:
                    let value = UInt64(round) << 32 | step
                    try DeviceTesting.writeWithCommits(device, block, value)
                    model[block] = value
                }
            }
            let resident = device.monitor.locked { device.map.residentPages }
            #expect(resident <= 40, "seed \(seed): \(resident) pages in memory")
            try device.commit().wait()
            try device.checkInvariants()
            for (block, value) in model { #expect(try DeviceTesting.holds(device, block, value), "seed \(seed)") }
            #expect(device.monitor.locked { device.map.cache.evictions } > 0)
            try device.close()
            host = MemoryBlockHost(contents: host.contents)
        }
    }

    /// Changed pages fill the memory, and the client is asked to commit; what it wrote is all there.
    @Test func changedPagesAskForACommit() throws {
        let host = MemoryBlockHost()
        try DeviceTesting.create(host, blocks: Self.leaves * 512)
        let device = try DeviceTesting.open(host, checkpointInterval: 1 << 40, mapCacheBytes: Self.cacheBytes)
        var isAsked = false, failure: DeviceError?
        var written: UInt64 = 0
        while failure == nil, written < Self.leaves {
            do {
                try DeviceTesting.write(device, written * 512, written + 1)
                written += 1
                isAsked = isAsked || device.commitWanted
            } catch let error as DeviceError { failure = error }
        }
        #expect(isAsked && failure == .commitRequired)
        #expect(written >= 24 && written < 40)
        try device.commit().wait()
        try DeviceTesting.write(device, written * 512, written + 1)
        for block in 0...written { #expect(try DeviceTesting.holds(device, block * 512, block + 1)) }
        try device.close()
    }

    /// Threads that push each other's pages out.
    @Test func threadsShareFewPages() throws {
        let threads = 4, host = MemoryBlockHost()
        try DeviceTesting.create(host, blocks: Self.leaves * 512)
        let device = try DeviceTesting.open(
            host, checkpointInterval: 100 * blockBytes, background: true, mapCacheBytes: 12 * blockBytes)
        let workers = try (0..<threads).map { index in
            try #require(
                HostThread {
                    var generator = SimRandom(seed: UInt64(index) + 7)
                    var model: [UInt64: UInt64] = [:]
                    do {
                        for step: UInt64 in 1...300 {
                            let leaf = UInt64.random(in: 0..<Self.leaves, using: &generator)
                            let block = leaf * 512 + UInt64(index)
                            if step % 3 == 0 {
                                let isThere = try DeviceTesting.holds(device, block, model[block] ?? 0)
                                #expect(isThere, "thread \(index), step \(step)")
                            } else {
                                try DeviceTesting.writeWithCommits(device, block, step << 8 | UInt64(index))
                                model[block] = step << 8 | UInt64(index)
                            }
                        }
                        for (block, value) in model { #expect(try DeviceTesting.holds(device, block, value)) }
                    } catch { Issue.record("thread \(index): \(error)") }
                })
        }
        for worker in workers { worker.join() }
        try device.commit().wait()
        try device.checkInvariants()
        try device.close()
    }

    /// A crash while pages go in and out: what opens is one commit, whole.
    @Test(arguments: [1, 2] as [UInt64])
    func everyCrashWithFewPagesOpensAsOneCommit(seed: UInt64) throws {
        let leaves: UInt64 = 24, host = CrashHost()
        try DeviceTesting.create(host, blocks: leaves * 512)
        let created = host.eventCount
        var generator = SimRandom(seed: seed)
        var model: [UInt64: UInt64] = [:], states: [UInt64: [UInt64: UInt64]] = [1: [:]]
        let device = try DeviceTesting.open(
            host, checkpointInterval: 24 * blockBytes, mapCacheBytes: 8 * blockBytes)
        states[device.status.commit.rawValue] = model
        host.mark(device.status.commit.rawValue)
        for step: UInt64 in 1...40 {
            let block = UInt64.random(in: 0..<leaves, using: &generator) * 512
            do {
                try DeviceTesting.write(device, block, step)
                model[block] = step
            } catch { guard DeviceTesting.isShortOfSpace(error) else { throw error } }
            if step % 3 == 0 {
                let ticket = try device.commit()
                states[ticket.sequence.rawValue] = model
                try ticket.wait()
                host.mark(ticket.sequence.rawValue)
            }
        }
        var images = 0
        for event in stride(from: created, to: host.eventCount, by: 3) {
            for image in host.crashImages(at: event, CrashPolicy.thorough(seed: seed)).prefix(4) {
                let again = try DeviceTesting.open(image.makeHost(), mapCacheBytes: 8 * blockBytes)
                let opened = again.facts.recoveredFrom.sequence.rawValue
                let state = try #require(states[opened], "event \(event) \(image): commit \(opened) never was")
                #expect(opened >= image.lastMark ?? 1, "event \(event) \(image)")
                for block in 0..<leaves {
                    #expect(
                        try DeviceTesting.holds(again, block * 512, state[block * 512] ?? 0),
                        "event \(event) \(image)")
                }
                try again.checkInvariants()
                try again.close()
                images += 1
            }
        }
        #expect(images > 50)
    }
}
