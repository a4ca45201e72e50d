import SecureBlock
import SimHost

/// What a run came to.
public struct SwarmResult: Sendable {
    public var seed: UInt64
    public var violations: [SwarmViolation]
    public var traceHash: UInt64
    public var trace: [String]
    public var faults: [DiskFault: Int]
    public var moves: [AdversaryMove: Int]
    /// How many openings for writing succeeded.
    public var openings: Int
    public var changes: [SwarmChange: Int]
    /// How many sealed blocks and roots the ledger saw.
    public var sealedCount: Int
    public var hostCalls: Int
}

/// What happens to a volume as a whole.
public enum SwarmChange: String, Sendable, CaseIterable {
    case keyAdded, keyRemoved, keyRotated
    /// Nothing is sealed under an older volume key any more.
    case resealed
    case grown, shrunk, snapshotMade, snapshotDeleted
}

/// A volume under a random workload on a hostile host, held against a model at every step.
///
///     let result = try Swarm.run(SwarmPlan(seed: 7))
///     // result.violations is empty, or Swarm.minimised(…) tells the shortest way there
public enum Swarm {
    /// Runs a plan. Equal plans give equal results.
    /// - Parameter believesHost: takes lies for an honest disk's doing, so that the oracles must find something: a
    ///   test of the oracles.
    /// - Throws: only when the crypto library gives no key.
    public static func run(
        _ plan: SwarmPlan, keepsTrace: Bool = false, believesHost: Bool = false
    ) throws(SealError) -> SwarmResult {
        let world = try SwarmWorld(plan, keepsTrace: keepsTrace, believesHost: believesHost)
        world.create()
        for (index, step) in plan.steps.enumerated() {
            world.step = index
            world.random = SimRandom(seed: step.seed)
            world.host.reseed(step.seed ^ 1)
            world.anchor?.reseed(step.seed ^ 2)
            world.note("\(index) \(step.action)")
            world.perform(step.action)
            if !world.violations.isEmpty { break }
        }
        world.finish()
        return SwarmResult(
            seed: plan.seed, violations: world.violations, traceHash: world.host.trace.hash,
            trace: world.host.trace.lines, faults: world.faults, moves: world.moves, openings: world.opened,
            changes: world.changes,
            sealedCount: world.ledger.sealedCount, hostCalls: world.host.callCount)
    }

    /// Leaves out steps for as long as the same oracle still finds something: first halves, then ever smaller parts
    /// (delta debugging, Zeller and Hildebrandt 2002).
    public static func minimised(
        _ plan: SwarmPlan, _ oracle: SwarmOracle, believesHost: Bool = false
    ) throws(SealError) -> SwarmPlan {
        var plan = plan
        var part = max(plan.steps.count / 2, 1)
        while true {
            var start = 0
            var isShorter = false
            while start < plan.steps.count {
                var shorter = plan
                shorter.steps.removeSubrange(start..<min(start + part, plan.steps.count))
                if try run(shorter, believesHost: believesHost).violations.contains(where: { $0.oracle == oracle })
                {
                    plan = shorter
                    isShorter = true
                } else {
                    start += part
                }
            }
            if part == 1, !isShorter { return plan }
            part = max(part / 2, 1)
        }
    }
}

extension SwarmWorld {
    var faults: [DiskFault: Int] { pastFaults.merging(host.faultCounts, uniquingKeysWith: +) }

    func perform(_ action: SwarmStep.Action) {
        switch action {
        case .write(let block, let count): write(scaled(block, count))
        case .discard(let block, let count): discard(scaled(block, count))
        case .read(let block, let count): read(scaled(block, count))
        case .readAll: readAll()
        case .commit(let waits): commit(waits: waits)
        case .waitForAll: waitForAll()
        case .reopen:
            close()
            open()
        case .crash:
            host.cutPower()
            crash()
        case .crashSoon(let calls):
            guard open() else { return }
            host.cutPower(afterCalls: calls)
        case .kill:
            abandon()
            host = host.hasPower ? host.reopened(seed: random.next()) : host.powerCycle(seed: random.next())
            open()
        case .look(let commitsBack): look(commitsBack: commitsBack)
        case .check: check()
        case .recoverTwice: recoverTwice()
        case .addKey: changeKeys(adds: true)
        case .removeKey: changeKeys(adds: false)
        case .rotateKey: rotateKey()
        case .reseal: reseal()
        case .resize(let blocks): resize(toBlocks: blocks)
        case .save: save()
        case .restore: restore()
        case .fork: fork()
        case .adversary(let move): play(move)
        case .rollBackAnchor:
            if anchor?.rollBack() == true {
                isAnchorTurnedBack = true
                giveUp()
                open()
            }
        case .faults(let isOn):
            faultsAreOn = isOn
            host.setPlan(isOn ? plan.faults : .none)
        case .createSnapshot: createSnapshot()
        case .deleteSnapshot: deleteSnapshot()
        case .lookAtSnapshots: lookAtSnapshots()
        case .lookBack: lookBack()
        case .historyPolicy(let blocks, let isStrict): setHistoryPolicy(blocks: blocks, isStrict: isStrict)
        }
        if !host.hasPower { crash() }
    }

    private func crash() {
        abandon()
        host = host.powerCycle(seed: random.next())
        open()
    }

    /// Without faults everything works (oracle 9), and nothing was sealed twice or told (oracles 4 and 5).
    func finish() {
        for finding in ledger.findings {
            violate(finding.contains("secret") ? .nothingPlain : .noNonceTwice, finding)
        }
        for violation in host.violations { violate(.progress, violation) }
        guard violations.isEmpty else { return }
        step += 1
        faultsAreOn = false
        host.endFaults()
        anchor?.setFailures(perMille: 0)
        if mayBeWrong {
            guard !images.isEmpty else { return }
            restore()
        } else {
            giveUp()
        }
        guard violations.isEmpty else { return }
        guard open() else { return violate(.progress, "does not open without faults") }
        lookAtSnapshots()
        lookBack()
        letGoOfHistory()
        write(0..<4)
        guard commit(waits: true) else { return violate(.progress, "does not commit without faults") }
        readAll()
        check()
        close()
        open()
    }
}
