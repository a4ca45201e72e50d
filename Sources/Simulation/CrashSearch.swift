import SecureBlock
import SimHost

/// Every crash of a workload, each distinct image opened and held against what its commits promised.
public enum CrashSearch {
    /// What a search came to.
    public struct Result: Sendable {
        /// Distinct images: store, anchor and promise together.
        public var images = 0
        /// Those among them of a crash inside the recovery from another crash.
        public var insideRecovery = 0
        /// What must not happen, in words that name seed and image.
        public var violations: [String] = []

        /// What the cleaner moved in the workloads.
        public var relocatedBlocks: UInt64 = 0

        public init() {}

        public static func += (left: inout Result, right: Result) {
            left.images += right.images
            left.insideRecovery += right.insideRecovery
            left.violations += right.violations
            left.relocatedBlocks += right.relocatedBlocks
        }
    }

    /// Crashes at every event of one workload, and inside the recovery from some of them.
    ///
    /// - Parameters:
    ///   - steps: of the workload.
    ///   - recoveriesEvery: one image in so many is recovered on a host that crashes again.
    ///   - limit: after so many images the search ends, with whole moments only.
    ///   - policy: which images are made of each moment; all subsets by default.
    ///   - warmUpSteps: writes that go before, so that segments are taken for the second time.
    ///   - isWide: the blocks lie apart, so that the map has several pages.
    ///   - diesHalfWay: the process dies in the middle and another opens what it left.
    ///   - failsFlush: the flush after so many others fails.
    public static func run(
        seed: UInt64, isAnchored: Bool, steps: Int = 60, recoveriesEvery: Int = 400, limit: Int = .max,
        policy: CrashPolicy? = nil, warmUpSteps: Int = 0, isWide: Bool = false, diesHalfWay: Bool = false,
        failsFlush: Int? = nil
    ) -> Result {
        var result = Result()
        do {
            let workload = try CrashWorkload(
                CrashWorkload.Plan(
                    seed: seed, isAnchored: isAnchored, steps: steps, warmUpSteps: warmUpSteps, isWide: isWide,
                    diesHalfWay: diesHalfWay,
                    failsFlush: failsFlush))
            let label = "seed \(seed)\(isAnchored ? ", anchored" : "")\(warmUpSteps > 0 ? ", warm" : "")"
            for violation in workload.host.violations + sealedTwice(workload.hosts) {
                result.violations.append("\(label): \(violation)")
            }
            result.relocatedBlocks = workload.relocatedBlocks
            let end = workload.host.eventCount
            var enumerator = CrashImages(workload.host, policy ?? .exhaustive(seed: seed))
            for event in workload.firstEvent...end where result.images < limit && result.violations.count < 20 {
                for image in enumerator.next(at: event) {
                    result.images += 1
                    let label = "\(label), \(image)"
                    check(
                        image, image.makeHost(), workload, workload.states, floor: image.lastMark ?? 1, label,
                        &result)
                    if result.images % recoveriesEvery == 0 { try recover(image, workload, label, &result) }
                }
            }
        } catch { result.violations.append("seed \(seed): the workload itself fails: \(error)") }
        return result
    }

    /// As ``run(seed:isAnchored:steps:recoveriesEvery:limit:policy:warmUpSteps:isWide:failsFlush:)``, for the kind of workload
    /// that a seed stands for: two in four begin on a fresh volume, one on a used one, one on a used one with a large map.
    public static func run(
        seed: UInt64, steps: Int = 60, recoveriesEvery: Int = 400, limit: Int = .max, policy: CrashPolicy? = nil
    ) -> Result {
        run(
            seed: seed, isAnchored: seed % 2 == 0, steps: steps, recoveriesEvery: recoveriesEvery, limit: limit,
            policy: policy, warmUpSteps: [0, 0, 1500, 4000][Int(seed % 4)], isWide: seed % 4 == 3,
            diesHalfWay: seed % 2 == 1)
    }

    /// Crashes inside the opening of what a process left that died, with writes that nobody flushed: they must be durable
    /// before anything goes where only they say that nothing is needed any more (I11).
    public static func afterDeath(seed: UInt64, limit: Int = .max) -> Result {
        var result = Result()
        do {
            let workload = try CrashWorkload(
                CrashWorkload.Plan(
                    seed: seed, isAnchored: false, steps: 80, warmUpSteps: seed % 2 == 0 ? 0 : 1500,
                    diesHalfWay: true))
            var enumerator = CrashImages(workload.host, .exhaustive(seed: seed))
            for event in workload.recovery where result.images < limit && result.violations.isEmpty {
                for image in enumerator.next(at: event) {
                    result.images += 1
                    check(
                        image, image.makeHost(), workload, workload.states, floor: image.lastMark ?? 1,
                        "seed \(seed), \(image)", &result)
                }
            }
        } catch { result.violations.append("seed \(seed): the workload itself fails: \(error)") }
        return result
    }

    /// Opens what each event of a workload left of which nothing was unflushed, without one root slot or the other: losing
    /// a slot changes nothing (I11).
    public static func withOneRoot(seed: UInt64, steps: Int = 60) -> Result {
        var result = Result()
        do {
            let workload = try CrashWorkload(
                CrashWorkload.Plan(
                    seed: seed, isAnchored: false, steps: steps, warmUpSteps: 25 * steps, diesHalfWay: true))
            var enumerator = CrashImages(workload.host, CrashPolicy.quick)
            for event in workload.firstEvent...workload.host.eventCount {
                // The first image is the one in which everything unflushed is lost.
                guard let image = enumerator.next(at: event).first else { continue }
                for slot in Layout.rootSlots {
                    result.images += 1
                    let host = image.makeHost()
                    host.tamper { $0.erase(Int(slot) * blockBytes..<(Int(slot) + 1) * blockBytes) }
                    check(
                        image, host, workload, workload.states, floor: image.lastMark ?? 1,
                        "seed \(seed), \(image), without root block \(slot)", &result)
                }
            }
        } catch { result.violations.append("seed \(seed): the workload itself fails: \(error)") }
        return result
    }

    /// Opens what a workload left with one segment after the other that cannot be read: that is an error, never the end of
    /// the log.
    public static func withReadErrors(seed: UInt64) -> Result {
        var result = Result()
        do {
            let workload = try CrashWorkload(CrashWorkload.Plan(seed: seed, isAnchored: false, steps: 60))
            guard let image = workload.host.crashImages(at: workload.host.eventCount, .quick).first else {
                return result
            }
            let segmentBytes = UInt64(16 * blockBytes), end = UInt64(workload.host.contents.byteCount)
            for start in stride(from: 0, to: end, by: Int(segmentBytes)) {
                result.images += 1
                let host = image.makeCrashHost()
                host.failReads(
                    in: start..<start + segmentBytes, with: .failed(call: "read", errno: 5, offset: start))
                let label = "seed \(seed), no reads from byte \(start)"
                do throws(VolumeError) {
                    let device = try SecureDevice.open(
                        host, credential: try credential(), mode: .readOnly, options: DeviceOptions())
                    let opened = device.status.commit.rawValue
                    if opened < image.lastMark ?? 1 {
                        result.violations.append(
                            "\(label): opened \(opened), acknowledged was \(image.lastMark ?? 1)")
                    }
                } catch {
                    // An answer, but for one that says that something else is wrong.
                    if case .rollback = error { result.violations.append("\(label): \(error)") }
                }
            }
        } catch { result.violations.append("seed \(seed): the workload itself fails: \(error)") }
        return result
    }

    private static func credential() throws(VolumeError) -> Credential {
        do throws(SealError) { return try SwarmWorld.credential.get() } catch { throw .crypto("\(error)") }
    }

    /// What was sealed twice in one epoch (I1), or went to the host in clear.
    private static func sealedTwice(_ hosts: [CrashHost]) -> [String] {
        let ledger = SealLedger(canaries: [SwarmPattern.canary, SwarmPattern.keyCanary])
        for case .write(let write) in hosts.flatMap(\.events) {
            write.bytes.withRawBytes { ledger.record(write.offset, $0) }
        }
        return ledger.findings
    }

    /// Opens one image and compares.
    private static func check(
        _ image: CrashImage, _ host: MemoryBlockHost, _ workload: CrashWorkload, _ states: [UInt64: [UInt64]],
        floor: UInt64,
        _ label: String, _ result: inout Result
    ) {
        do {
            // Writing recovers and so does more; reading costs a third. Both find the same state.
            let mode: OpenMode = result.images % 4 == 0 ? .readWrite : .readOnly
            let device = try CrashWorkload.open(
                host, workload.anchor == nil ? nil : image.makeAnchor(), mode: mode)
            let status = device.status
            let opened = mode == .readOnly ? status.commit.rawValue : status.recoveredFrom.rawValue
            if opened < floor { result.violations.append("\(label): opened \(opened), acknowledged was \(floor)") }
            guard let state = states[opened] else {
                result.violations.append("\(label): opened commit \(opened), which never was")
                return
            }
            let (blocks, _) = device.swarmContents(0..<workload.blocks, stride: workload.stride)
            if !blocks.elementsEqual(state, by: { $0 == .value($1) }) {
                result.violations.append("\(label): not commit \(opened): \(SwarmWorld.difference(blocks, state))")
            }
            if mode == .readWrite, result.images % 64 == 0 { try device.checkInvariants() }
            try device.close()
        } catch { result.violations.append("\(label): does not open: \(error)") }
    }

    /// Crashes at every event of the recovery from an image.
    private static func recover(
        _ image: CrashImage, _ workload: CrashWorkload, _ label: String, _ result: inout Result
    ) throws {
        let host = image.makeCrashHost()
        let device = try CrashWorkload.open(
            host, workload.anchor == nil ? nil : SimAnchor(host), mode: .readWrite)
        let recovered = device.status.recoveredFrom.rawValue
        // Recovery commits the state that it recovered, under a number that a lost commit may have had before.
        var states = workload.states
        states[device.status.commit.rawValue] = states[recovered]
        var enumerator = CrashImages(host, .exhaustive(seed: UInt64(image.event)))
        for event in 0...host.eventCount {
            for second in enumerator.next(at: event) {
                result.images += 1
                result.insideRecovery += 1
                check(
                    second, second.makeHost(), workload, states, floor: recovered, "\(label), then \(second)",
                    &result)
            }
        }
        try device.close()
    }
}
