import SecureBlock
import SimHost

/// One volume, its host and anchor, and what is known of them: what the steps of a run work on.
final class SwarmWorld {
    struct Saved {
        var store: SparseBytes
        var anchor: AnchorValue?
        var branch: SwarmBranch
        var model: SwarmBranch.Contents
        var snapshots: SwarmSnapshots
    }

    let plan: SwarmPlan
    let clock = SimClock()
    let ledger: SealLedger
    var host: HostileHost
    let anchor: HostileAnchor?
    var device: SecureDevice?
    var tickets: [any CommitTicket] = []
    /// The device's contents as its users see them.
    var model: SwarmBranch.Contents
    /// The contents as of the last ordered commit.
    var committed: SwarmBranch.Contents
    var branch = SwarmBranch()
    /// The contents of every commit of every branch, for a volume that was put together from several times.
    var everCommitted: [UInt64: [SwarmBranch.Contents]] = [:]
    var images: [Saved] = []
    var snapshots = SwarmSnapshots()
    /// What each snapshot that was ever made holds.
    var everSnapshots: [String: SwarmBranch.Contents] = [:]
    var value: UInt64 = 0
    /// Somebody lied, and what is stored may not be what was written.
    var isTainted = false
    var isAnchorTurnedBack = false
    var hasSecondKey = false
    var step = 0
    var random = SimRandom(seed: 0)
    var violations: [SwarmViolation] = []
    var moves: [AdversaryMove: Int] = [:]
    var faultsAreOn = true
    /// Faults of hosts that were replaced since.
    var pastFaults: [DiskFault: Int] = [:]
    /// Openings for writing that succeeded.
    var opened = 0
    var changes: [SwarmChange: Int] = [:]

    init(_ plan: SwarmPlan, keepsTrace: Bool, believesHost: Bool) throws(SealError) {
        self.plan = plan
        self.believesHost = believesHost
        let ledger = SealLedger(canaries: [
            SwarmPattern.canary, SwarmPattern.keyCanary, SwarmPattern.otherKeyCanary,
        ])
        self.ledger = ledger
        model = SwarmBranch.Contents(repeating: 0, count: plan.blocks)
        committed = model
        host = HostileHost(
            seed: plan.seed, clock: clock, trace: SimTrace(keepsLines: keepsTrace),
            observer: { offset, bytes in ledger.record(offset, bytes) })
        anchor = plan.isAnchored ? HostileAnchor(seed: plan.seed) : nil
    }

    var isAnchorHonest: Bool { !isAnchorTurnedBack }
    /// Whether anything may be stored otherwise than it was written.
    var mayBeWrong: Bool { !believesHost && (isTainted || host.liesTold > 0 || isAnchorTurnedBack) }
    /// Takes a lying host for an honest one: what then is found shows that the oracles can find something.
    let believesHost: Bool
    /// How many calls went wrong and said so: an error is then no surprise.
    var provocations: Int {
        host.failuresTold + host.liesTold + (anchor?.failuresTold ?? 0) + (host.hasPower ? 0 : 1)
    }

    /// Whether the open device had reason to fail: something went wrong, now or earlier, and was told.
    func isProvoked(since before: Int) -> Bool {
        mayBeWrong || !host.hasPower || provocations > before || host.failuresTold > 0
            || (anchor?.failuresTold ?? 0) > 0
    }

    func violate(_ oracle: SwarmOracle, _ text: String) {
        violations.append(SwarmViolation(oracle: oracle, step: step, text: text))
    }

    func note(_ line: @autoclosure () -> String) { host.note(line()) }

    /// An error into the trace by its name alone: what it tells may hold random identifiers. A secret in it is a
    /// violation.
    func note(_ error: any Error, at place: StaticString) {
        let text = "\(error)"
        if ledger.findsSecret(in: Array(text.utf8)) {
            violate(.nothingPlain, "an error at \(place) tells a secret")
        }
        note("\(place): \(text.prefix { $0 != "(" })")
    }

    var deviceOptions: DeviceOptions {
        var options = DeviceOptions()
        options.maintenance = .inline
        options.checkpointIntervalBytes = plan.checkpointBlocks.map { $0 * blockBytes }
        options.clock = clock.reader
        // Half of the runs read what was written last from memory, half from the host, which then gets to lie about it.
        options.recentRecords = plan.seed % 2 == 0 ? 0 : 4
        return options
    }

    func rememberCommit(_ sequence: UInt64, _ contents: SwarmBranch.Contents) {
        branch.order(sequence, contents)
        if everCommitted[sequence]?.contains(contents) != true {
            everCommitted[sequence, default: []].append(contents)
        }
    }

    /// The most calls of the host that one operation can need: every block some times.
    var callLimit: Int { 60 * Int(host.contents.byteCount / blockBytes) + 4000 }
}
