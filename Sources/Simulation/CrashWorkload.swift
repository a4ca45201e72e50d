import SecureBlock
import SimHost

/// A short random workload on a host that remembers everything, and what each of its commits promised.
final class CrashWorkload {
    /// What a workload is like.
    struct Plan {
        var seed: UInt64
        var isAnchored: Bool
        /// Writes, discards and commits; waiting is rare, so that many writes are unflushed at a time.
        var steps: Int
        /// So many steps go before on a host that nobody watches: segments are then taken for the second time.
        var warmUpSteps = 0
        /// The blocks lie apart, so that the map has several pages and most checkpoints leave some of them as they are.
        var isWide = false
        /// Half way the process dies and another one opens what it left, which is not all flushed.
        var diesHalfWay = false
        /// The flush after so many others fails, and the workload ends with the device's refusal to go on.
        var failsFlush: Int?
    }

    let blocks: Int
    /// From one block to the next, in blocks of the device.
    let stride: Int
    let host: CrashHost
    /// The hosts of the volume's whole life.
    let hosts: [CrashHost]
    let anchor: SimAnchor?
    /// The device's contents as of each commit.
    private(set) var states: [UInt64: [UInt64]] = [:]
    /// What the cleaner moved.
    private(set) var relocatedBlocks: UInt64 = 0
    /// The first event of the workload.
    let firstEvent: Int
    /// The events between the death of the first process and the second one's first service, where one dies half way.
    private(set) var recovery = 0..<0
    private var random: SimRandom
    private var value: UInt64 = 0
    private var model: [UInt64]

    init(_ plan: Plan) throws {
        random = SimRandom(seed: plan.seed)
        // A used volume that is nearly full gives the cleaner work.
        blocks = plan.warmUpSteps > 0 && !plan.isWide ? 160 : 40
        stride = plan.isWide ? 60 : 1
        model = [UInt64](repeating: 0, count: blocks)
        var options = VolumeOptions(logicalBytes: UInt64(blocks * stride * blockBytes))
        options.segmentBytes = 16 * blockBytes
        if plan.warmUpSteps > 0 {
            // With little room to spare, so that the cleaner has work.
            options.sparePerMille = plan.seed % 2 == 0 ? 100 : 0
            let quiet = CrashHost(), quietAnchor = plan.isAnchored ? MemoryAnchor() : nil
            try SecureDevice.create(
                on: quiet, options, credential: try SwarmWorld.credential.get(), anchor: quietAnchor)
            let contents = try Self.warmUp(plan, quiet, quietAnchor, blocks, stride)
            host = CrashHost(contents: contents, anchor: try quietAnchor?.load())
            hosts = [quiet, host]
            anchor = plan.isAnchored ? SimAnchor(host) : nil
            firstEvent = 0
            try adopt()
        } else {
            host = CrashHost()
            hosts = [host]
            anchor = plan.isAnchored ? SimAnchor(host) : nil
            try SecureDevice.create(
                on: host, options, credential: try SwarmWorld.credential.get(), anchor: anchor)
            firstEvent = host.eventCount
            states[1] = model
        }
        var device = try Self.open(host, anchor, mode: .readWrite, checkpointBlocks: 24)
        note(device.status.commit.rawValue, isAcknowledged: true)
        relocatedBlocks += device.status.counters.relocatedBlocks
        if let failsFlush = plan.failsFlush {
            host.fail(.flush, after: failsFlush, with: .failed(call: "fdatasync", errno: 5, offset: nil))
        }
        do {
            if plan.diesHalfWay {
                try run(device, plan.steps / 2)
                relocatedBlocks += device.status.counters.relocatedBlocks
                device = try reopen()
            }
            try run(device, plan.diesHalfWay ? plan.steps / 2 : plan.steps)
            try close(device)
            relocatedBlocks += device.status.counters.relocatedBlocks
        } catch {
            // What was acknowledged before is all that was promised.
            guard plan.failsFlush != nil, case DeviceError.latched = error else { throw error }
        }
    }

    /// Overwrites everything often enough that no segment is fresh; every other seed commits only when it must.
    /// - Returns: the closed volume.
    private static func warmUp(
        _ plan: Plan, _ host: CrashHost, _ anchor: (any Anchor)?, _ blocks: Int, _ stride: Int
    ) throws
        -> SparseBytes
    {
        let device = try open(host, anchor, mode: .readWrite, checkpointBlocks: 24)
        var random = SimRandom(seed: plan.seed ^ 0x5741_524D)
        let buffer = AlignedBuffer(byteCount: blockBytes)
        for step in 0..<plan.warmUpSteps {
            SwarmPattern.fill(buffer.bytes, 1 << 32 + UInt64(step))
            let block = LogicalBlock(UInt64(pick(&random, blocks, stride) * stride))
            var attempts = 0
            while true {
                do throws(DeviceError) {
                    try device.write(block, UnsafeRawBufferPointer(buffer.bytes))
                    break
                } catch {
                    attempts += 1
                    guard error == .noSpace || error == .commitRequired, attempts < 4 else { throw error }
                    try device.commit().wait()
                }
            }
            if plan.seed % 2 == 0, step % 8 == 7 { try device.commit().wait() }
        }
        try device.commit().wait()
        try device.close()
        return host.contents
    }

    /// Takes what is on the host for the model's first state.
    private func adopt() throws {
        let device = try Self.open(MemoryBlockHost(contents: host.contents), nil, mode: .readOnly, isProbe: true)
        for (block, found) in device.swarmContents(0..<blocks, stride: stride).blocks.enumerated() {
            if case .value(let value) = found { model[block] = value }
        }
        note(device.status.commit.rawValue, isAcknowledged: true)
    }

    private func note(_ commit: UInt64, isAcknowledged: Bool) {
        states[commit] = model
        if isAcknowledged { host.mark(commit) }
    }

    private func run(_ device: SecureDevice, _ steps: Int) throws {
        let buffer = AlignedBuffer(byteCount: blockBytes)
        for _ in 0..<steps {
            let choice = random.next() % 100
            switch choice {
            case 0..<70:
                let first = Self.pick(&random, blocks, stride), count = 1 + Int(random.next() % 5)
                for block in first..<min(first + count, blocks) {
                    value += 1
                    SwarmPattern.fill(buffer.bytes, value)
                    do throws(DeviceError) {
                        try device.write(LogicalBlock(UInt64(block * stride)), UnsafeRawBufferPointer(buffer.bytes))
                        model[block] = value
                    } catch {
                        guard error == .noSpace || error == .commitRequired else { throw error }
                        try commit(device, waits: true)
                    }
                }
            case 70..<76:
                let first = Int(random.next() % UInt64(blocks))
                let count = min(1 + Int(random.next() % 12), blocks - first)
                try device.discard(LogicalBlock(UInt64(first * stride)), count: UInt64((count - 1) * stride + 1))
                for block in first..<first + count { model[block] = 0 }
            case 76..<94: try commit(device, waits: false)
            default: try commit(device, waits: true)
            }
        }
    }

    /// Opens what a process left that died.
    private func reopen() throws -> SecureDevice {
        host.abandonWriter()
        let death = host.eventCount
        let device = try Self.open(host, anchor, mode: .readWrite, checkpointBlocks: 24)
        recovery = death..<host.eventCount
        let recovered = device.status.recoveredFrom.rawValue
        guard let state = states[recovered] else { throw DeviceError.latched("commit \(recovered) never was") }
        model = state
        note(device.status.commit.rawValue, isAcknowledged: true)
        return device
    }

    /// Any block; of a large map mostly one of its first page.
    private static func pick(_ random: inout SimRandom, _ blocks: Int, _ stride: Int) -> Int {
        let choice = random.next()
        return Int((choice >> 8) % UInt64(stride > 1 && choice % 32 != 0 ? 8 : blocks))
    }

    /// Ends with something that nobody committed: closing may take a commit, but none of that (I9).
    private func close(_ device: SecureDevice) throws {
        let last = try device.commit()
        let committed = model
        note(last.sequence.rawValue, isAcknowledged: false)
        let buffer = AlignedBuffer(byteCount: blockBytes)
        SwarmPattern.fill(buffer.bytes, value + 1)
        do throws(DeviceError) {
            try device.write(LogicalBlock(0), UnsafeRawBufferPointer(buffer.bytes))
        } catch {
            guard error == .noSpace || error == .commitRequired else { throw error }
        }
        try device.close()
        states[device.status.commit.rawValue] = committed
        host.mark(last.sequence.rawValue)
    }

    private func commit(_ device: SecureDevice, waits: Bool) throws {
        let ticket = try device.commit()
        note(ticket.sequence.rawValue, isAcknowledged: false)
        guard waits else { return }
        try ticket.wait()
        host.mark(ticket.sequence.rawValue)
    }

    /// - Parameter isProbe: looks at an anchored volume without its anchor.
    static func open(
        _ host: any BlockHost, _ anchor: (any Anchor)?, mode: OpenMode, checkpointBlocks: Int? = nil,
        isProbe: Bool = false
    ) throws -> SecureDevice {
        var options = DeviceOptions()
        options.maintenance = .inline
        options.checkpointIntervalBytes = checkpointBlocks.map { $0 * blockBytes }
        options.acceptsMissingAnchor = isProbe
        return try SecureDevice.open(
            host, credential: try SwarmWorld.credential.get(), anchor: anchor, mode: mode, options: options)
    }
}
