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

        public init() {}

        public static func += (left: inout Result, right: Result) {
            left.images += right.images
            left.insideRecovery += right.insideRecovery
            left.violations += right.violations
        }
    }

    /// Crashes at every event of one workload, and inside the recovery from some of them.
    ///
    /// - Parameters:
    ///   - steps: of the workload.
    ///   - recoveriesEvery: one image in so many is recovered on a host that crashes again.
    ///   - limit: after so many images the search ends, with whole moments only.
    public static func run(
        seed: UInt64, isAnchored: Bool, steps: Int = 60, recoveriesEvery: Int = 400, limit: Int = .max
    ) -> Result {
        var result = Result()
        do {
            let workload = try CrashWorkload(seed: seed, isAnchored: isAnchored, steps: steps)
            for violation in workload.host.violations { result.violations.append("seed \(seed): \(violation)") }
            let end = workload.host.eventCount
            var enumerator = CrashImages(workload.host, .exhaustive(seed: seed))
            for event in workload.firstEvent...end where result.images < limit && result.violations.count < 20 {
                for image in enumerator.next(at: event) {
                    result.images += 1
                    let label = "seed \(seed)\(isAnchored ? ", anchored" : ""), \(image)"
                    check(image, workload, workload.states, floor: image.lastMark ?? 1, label, &result)
                    if result.images % recoveriesEvery == 0 { try recover(image, workload, label, &result) }
                }
            }
        } catch { result.violations.append("seed \(seed): the workload itself fails: \(error)") }
        return result
    }

    /// Opens one image and compares.
    private static func check(
        _ image: CrashImage, _ workload: CrashWorkload, _ states: [UInt64: [UInt64]], floor: UInt64,
        _ label: String, _ result: inout Result
    ) {
        do {
            // Writing recovers and so does more; reading costs a third. Both find the same state.
            let mode: OpenMode = result.images % 4 == 0 ? .readWrite : .readOnly
            let device = try CrashWorkload.open(
                image.makeHost(), workload.anchor == nil ? nil : image.makeAnchor(), mode: mode)
            let status = device.status
            let opened = mode == .readOnly ? status.commit.rawValue : status.recoveredFrom.rawValue
            if opened < floor { result.violations.append("\(label): opened \(opened), acknowledged was \(floor)") }
            guard let state = states[opened] else {
                result.violations.append("\(label): opened commit \(opened), which never was")
                return
            }
            let (blocks, _) = device.swarmContents(0..<workload.blocks)
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
                check(second, workload, states, floor: recovered, "\(label), then \(second)", &result)
            }
        }
        try device.close()
    }
}
