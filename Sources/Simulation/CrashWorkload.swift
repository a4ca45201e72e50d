import SecureBlock
import SimHost

/// A short random workload on a host that remembers everything, and what each of its commits promised.
final class CrashWorkload {
    let blocks = 40
    let host: CrashHost
    let anchor: SimAnchor?
    /// The device's contents as of each commit.
    private(set) var states: [UInt64: [UInt64]] = [:]
    /// The first event after `create`.
    let firstEvent: Int
    private var random: SimRandom
    private var value: UInt64 = 0

    /// - Parameter steps: writes, discards and commits; waiting is rare, so that many writes are unflushed at a time.
    init(seed: UInt64, isAnchored: Bool, steps: Int) throws {
        random = SimRandom(seed: seed)
        let host = CrashHost()
        self.host = host
        anchor = isAnchored ? SimAnchor(host) : nil
        var options = VolumeOptions(logicalBytes: UInt64(blocks * blockBytes))
        options.segmentBytes = 16 * blockBytes
        try SecureDevice.create(on: host, options, credential: try SwarmWorld.credential.get(), anchor: anchor)
        firstEvent = host.eventCount
        states[1] = [UInt64](repeating: 0, count: blocks)
        try run(steps)
    }

    private func run(_ steps: Int) throws {
        var model = [UInt64](repeating: 0, count: blocks)
        let device = try Self.open(host, anchor, mode: .readWrite, checkpointBlocks: 24)
        states[device.status.commit.rawValue] = model
        host.mark(device.status.commit.rawValue)
        let buffer = AlignedBuffer(byteCount: blockBytes)
        for _ in 0..<steps {
            let choice = random.next() % 100
            switch choice {
            case 0..<70:
                let first = Int(random.next() % UInt64(blocks)), count = 1 + Int(random.next() % 5)
                for block in first..<min(first + count, blocks) {
                    value += 1
                    SwarmPattern.fill(buffer.bytes, value)
                    do throws(DeviceError) {
                        try device.write(LogicalBlock(UInt64(block)), UnsafeRawBufferPointer(buffer.bytes))
                        model[block] = value
                    } catch {
                        guard error == .noSpace || error == .commitRequired else { throw error }
                        try commit(device, model, waits: true)
                    }
                }
            case 70..<76:
                let first = Int(random.next() % UInt64(blocks))
                let count = min(1 + Int(random.next() % 12), blocks - first)
                try device.discard(LogicalBlock(UInt64(first)), count: UInt64(count))
                for block in first..<first + count { model[block] = 0 }
            case 76..<94: try commit(device, model, waits: false)
            default: try commit(device, model, waits: true)
            }
        }
    }

    private func commit(_ device: SecureDevice, _ model: [UInt64], waits: Bool) throws {
        let ticket = try device.commit()
        states[ticket.sequence.rawValue] = model
        guard waits else { return }
        try ticket.wait()
        host.mark(ticket.sequence.rawValue)
    }

    static func open(
        _ host: any BlockHost, _ anchor: (any Anchor)?, mode: OpenMode, checkpointBlocks: Int? = nil
    ) throws -> SecureDevice {
        var options = DeviceOptions()
        options.maintenance = .inline
        options.checkpointIntervalBytes = checkpointBlocks.map { $0 * blockBytes }
        return try SecureDevice.open(
            host, credential: try SwarmWorld.credential.get(), anchor: anchor, mode: mode, options: options)
    }
}
