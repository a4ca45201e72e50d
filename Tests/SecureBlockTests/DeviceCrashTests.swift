import SimHost
import Testing

@testable import SecureBlock

/// A workload, and what each of its commits promised.
private final class Workload {
    let blocks = 60
    var host = CrashHost()
    var anchor: SimAnchor
    let usesAnchor: Bool
    /// The device's contents as of each commit.
    var states: [UInt64: [UInt64]] = [:]
    private var generator: SimRandom
    private var value: UInt64 = 0
    private let cipher: CipherSuite
    private let policy: AnchorPolicy
    private let returnsFreeSpace: Bool

    init(
        seed: UInt64, usesAnchor: Bool, cipher: CipherSuite = .aes256GCM, policy: AnchorPolicy = .everyCommit,
        returnsFreeSpace: Bool = false
    ) {
        self.returnsFreeSpace = returnsFreeSpace
        self.policy = policy
        generator = SimRandom(seed: seed)
        self.usesAnchor = usesAnchor
        self.cipher = cipher
        anchor = SimAnchor(host)
    }

    func prepare() throws {
        try DeviceTesting.create(
            host, blocks: UInt64(blocks), cipher: cipher, anchor: usesAnchor ? anchor : nil,
            sparePerMille: returnsFreeSpace ? 2000 : nil)
    }

    /// Goes on from what `host` holds durably now.
    func run(steps: Int, model start: [UInt64]? = nil) throws {
        var model = start ?? [UInt64](repeating: 0, count: blocks)
        let device = try DeviceTesting.open(
            host, anchor: usesAnchor ? anchor : nil, checkpointInterval: 24 * blockBytes, anchorPolicy: policy,
            returnsFreeSpace: returnsFreeSpace)
        states[device.status.commit.rawValue] = model
        host.mark(device.status.commit.rawValue)
        var tickets: [any CommitTicket] = []
        for _ in 0..<steps {
            switch Int.random(in: 0..<100, using: &generator) {
            case 0..<60:
                let first = Int.random(in: 0..<blocks, using: &generator)
                let count = min(Int.random(in: 1...6, using: &generator), blocks - first)
                for index in first..<first + count {
                    do {
                        try DeviceTesting.write(device, UInt64(index), value + 1)
                        value += 1
                        model[index] = value
                    } catch {
                        guard DeviceTesting.isShortOfSpace(error) else { throw error }
                        let ticket = try device.commit()
                        states[ticket.sequence.rawValue] = model
                        try ticket.wait()
                        host.mark(ticket.sequence.rawValue)
                    }
                }
            case 60..<70:
                let first = Int.random(in: 0..<blocks, using: &generator)
                let count = min(Int.random(in: 1...20, using: &generator), blocks - first)
                try device.discard(LogicalBlock(UInt64(first)), count: UInt64(count))
                for index in first..<first + count { model[index] = 0 }
            case 70..<80:
                let ticket = try device.commit()
                states[ticket.sequence.rawValue] = model
                tickets.append(ticket)
            default:
                let ticket = try device.commit()
                states[ticket.sequence.rawValue] = model
                try ticket.wait()
                host.mark(ticket.sequence.rawValue)
            }
        }
        // Closing makes a commit of its own where nothing waits for the client's: the same state again.
        if !device.monitor.locked({ device.log.hasUncommitted }) {
            try device.close()
            states[device.status.commit.rawValue] = model
        }
    }

    /// Opens an image and holds what opens against what was promised.
    func check(_ image: CrashImage, floor: UInt64, label: String) throws {
        let host = image.makeHost()
        let device: SecureDevice
        do {
            device = try DeviceTesting.open(host, anchor: usesAnchor ? image.makeAnchor() : nil)
        } catch {
            Issue.record("\(label) \(image): does not open: \(error)")
            return
        }
        let opened = device.facts.recoveredFrom.sequence.rawValue
        guard let state = states[opened] else {
            Issue.record("\(label) \(image): opened commit \(opened), which never was")
            return
        }
        #expect(opened >= floor, "\(label) \(image): opened \(opened), acknowledged was \(floor)")
        #expect(
            try DeviceTesting.contents(device) == DeviceTesting.contents(of: state), "\(label) \(image): a mixture")
        try device.checkInvariants()
        try device.close()
    }
}

@Suite struct DeviceCrashTests {
    /// A crash at every event of a workload, with unflushed writes lost, torn and reordered: what opens is one commit,
    /// whole, and none that was acknowledged is lost (I5, I6, I8, I11).
    @Test(arguments: [1, 2, 3, 4] as [UInt64], [true, false])
    func everyCrashOpensAsOneCommit(seed: UInt64, usesAnchor: Bool) throws {
        let workload = Workload(seed: seed, usesAnchor: usesAnchor)
        try workload.prepare()
        let created = workload.host.eventCount
        try workload.run(steps: 60)
        #expect(workload.host.violations.isEmpty)
        var images = 0
        // The state before the first opening: an empty device at commit 1.
        workload.states[1] = [UInt64](repeating: 0, count: workload.blocks)
        for event in created..<workload.host.eventCount {
            for image in workload.host.crashImages(at: event, CrashPolicy.thorough(seed: seed)) {
                try workload.check(image, floor: image.lastMark ?? 1, label: "seed \(seed) event \(event)")
                images += 1
            }
        }
        #expect(images > 500)
        print("crash images of seed \(seed), anchor \(usesAnchor): \(images)")
    }

    /// With an anchor that may lag: every crash opens, loses nothing that was acknowledged, and leaves no more commits
    /// exposed than the policy says.
    @Test func everyCrashStaysInsideTheAnchorsWindow() throws {
        let workload = Workload(seed: 6, usesAnchor: true, policy: AnchorPolicy(commits: 3))
        try workload.prepare()
        let created = workload.host.eventCount
        try workload.run(steps: 30)
        workload.states[1] = [UInt64](repeating: 0, count: workload.blocks)
        var most = 0
        for event in created..<workload.host.eventCount {
            for image in workload.host.crashImages(at: event, CrashPolicy.thorough(seed: 6)) {
                let floor = image.lastMark ?? 1, anchored = image.anchor?.sequence.rawValue ?? 0
                most = max(most, workload.states.keys.count { $0 > anchored && $0 <= floor })
                try workload.check(image, floor: floor, label: "event \(event)")
            }
        }
        #expect((2...3).contains(most))
    }

    /// With what is free given back to the host, which zeroes it at once: no state ever needs it again (I7).
    @Test(arguments: [1, 2] as [UInt64])
    func everyCrashOpensWithSpaceReturned(seed: UInt64) throws {
        let workload = Workload(seed: seed, usesAnchor: true, returnsFreeSpace: true)
        try workload.prepare()
        let created = workload.host.eventCount
        try workload.run(steps: 300)
        workload.states[1] = [UInt64](repeating: 0, count: workload.blocks)
        let returned = workload.host.events.count {
            guard case .punch = $0 else { return false }
            return true
        }
        #expect(returned > 3)
        for event in created..<workload.host.eventCount where event % 12 == seed % 12 {
            for image in workload.host.crashImages(at: event, CrashPolicy.thorough(seed: seed)) {
                try workload.check(image, floor: image.lastMark ?? 1, label: "seed \(seed) event \(event)")
            }
        }
    }

    /// The same, shorter, for the other cipher suites.
    @Test(arguments: [CipherSuite.chaCha20Poly1305, .integrityOnly])
    func everySuiteRecovers(cipher: CipherSuite) throws {
        let workload = Workload(seed: 5, usesAnchor: true, cipher: cipher)
        try workload.prepare()
        let created = workload.host.eventCount
        try workload.run(steps: 12)
        workload.states[1] = [UInt64](repeating: 0, count: workload.blocks)
        var images = 0
        for event in created..<workload.host.eventCount {
            for image in workload.host.crashImages(at: event, CrashPolicy.thorough(seed: 5)) {
                try workload.check(image, floor: image.lastMark ?? 1, label: "\(cipher) event \(event)")
                images += 1
            }
        }
        #expect(images > 100)
    }

    /// A second crash inside the recovery from a first one (I11).
    @Test(arguments: [11, 12] as [UInt64], [true, false])
    func crashInsideRecoveryLosesNothing(seed: UInt64, usesAnchor: Bool) throws {
        let workload = Workload(seed: seed, usesAnchor: usesAnchor)
        try workload.prepare()
        let created = workload.host.eventCount
        try workload.run(steps: 30)
        workload.states[1] = [UInt64](repeating: 0, count: workload.blocks)
        var generator = SimRandom(seed: seed)
        var images = 0
        for event in stride(from: created, to: workload.host.eventCount, by: 5) {
            let first = workload.host.crashImages(at: event, CrashPolicy.thorough(seed: seed))
            guard let image = first.randomElement(using: &generator) else { continue }
            let again = image.makeCrashHost()
            let anchor = SimAnchor(again)
            let device = try DeviceTesting.open(again, anchor: usesAnchor ? anchor : nil)
            let recovered = device.facts.recoveredFrom.sequence.rawValue
            // What recovery commits is the state it recovered.
            workload.states[device.status.commit.rawValue] = workload.states[recovered]
            for second in 0..<again.eventCount {
                for image in again.crashImages(at: second, CrashPolicy.thorough(seed: seed &+ UInt64(second))) {
                    try workload.check(
                        image, floor: recovered, label: "seed \(seed) event \(event), then \(second)")
                    images += 1
                }
            }
            try device.close()
        }
        print("crash images inside recovery of seed \(seed), anchor \(usesAnchor): \(images)")
        #expect(images > 100)
    }
}
