import SecureBlock
import SimHost

extension SwarmWorld {
    static let credential: Result<Credential, SealError> = Result { () throws(SealError) in
        try SwarmPattern.keyFile(SwarmPattern.keyCanary)
    }
    static let secondCredential: Result<Credential, SealError> = Result { () throws(SealError) in
        try SwarmPattern.keyFile(SwarmPattern.otherKeyCanary)
    }

    func create() {
        var options = VolumeOptions(logicalBytes: UInt64(plan.blocks * blockBytes))
        options.segmentBytes = plan.segmentBlocks * blockBytes
        options.sparePerMille = plan.sparePerMille
        do {
            try SecureDevice.create(
                on: host, options, credential: try Self.credential.get(), anchor: anchor)
        } catch {
            note(error, at: "create")
            violate(.progress, "create: \(error)")
        }
        rememberCommit(1, model)
        branch.acknowledge(1)
        host.setPlan(plan.faults)
        anchor?.setFailures(perMille: plan.anchorFailsPerMille)
    }

    /// Opens the volume if it is not open.
    @discardableResult
    func open() -> Bool {
        if device != nil { return true }
        if !host.hasPower { host = host.powerCycle(seed: random.next()) }
        let anchored = anchor?.value, before = provocations, callsBefore = host.callCount
        let usesSecond = hasSecondKey && !mayBeWrong && random.next() % 4 == 0
        do {
            let credential = usesSecond ? try Self.secondCredential.get() : try Self.credential.get()
            let opened = try SecureDevice.open(host, credential: credential, anchor: anchor, options: deviceOptions)
            if host.callCount - callsBefore > callLimit {
                violate(.rightBytesOrError, "opening took too many calls")
            }
            self.opened += 1
            accept(opened, anchored: anchored)
            return true
        } catch {
            note(error, at: "open")
            // A commit that nobody heard of may have been made on the way.
            branch.cutOff(nil)
            if !mayBeWrong, provocations == before { violate(.progress, "does not open: \(error)") }
            host = host.hasPower ? host.reopened(seed: random.next()) : host.powerCycle(seed: random.next())
            return false
        }
    }

    /// Holds what opened against what was promised, and goes on from it.
    private func accept(_ opened: SecureDevice, anchored: AnchorValue?) {
        let status = opened.status
        let from = status.recoveredFrom.rawValue, commit = status.commit.rawValue
        let before = provocations
        var (blocks, wipes) = opened.swarmContents()
        let lost = blocks.firstIndex(of: .unreadable)
        let isProvoked = mayBeWrong || provocations > before
        if lost != nil { seeThroughFaults(&blocks) }
        note("open: commit \(from), then \(commit)")
        if !wipes { violate(.rightBytesOrError, "a failed read left bytes in the buffer") }
        if let anchored, from < anchored.sequence.rawValue {
            violate(.notBehindAnchor, "opened commit \(from), the anchor names \(anchored.sequence.rawValue)")
        }
        if let wrong = blocks.firstIndex(of: .wrong) {
            violate(.rightBytesOrError, "block \(wrong) holds what nobody wrote")
        }
        if !isProvoked, let lost {
            violate(.oneCommit, "block \(lost) cannot be read after opening commit \(from)")
        }
        let candidates =
            mayBeWrong && !(anchor != nil && isAnchorHonest) ? allCandidates(from) : branch.allowed(at: from)
        if let contents = candidates.first(where: { $0.count == blocks.count && Self.agree(blocks, $0) }) {
            let old = branch
            branch = branch.continued(contents, openedAt: from, committedAs: commit)
            if mayBeWrong { branch.untold = old.untold }
            rememberCommit(from, contents)
            rememberCommit(commit, contents)
            model = contents
            committed = contents
        } else {
            violate(
                .oneCommit,
                "opened commit \(from) and found the contents of none that may be there (acknowledged was "
                    + "\(branch.acknowledged), ordered \(branch.lastOrdered)): \(Self.leastDifference(blocks, candidates))"
            )
        }
        device = opened
        acceptSnapshots(opened)
    }

    /// A block that cannot be read agrees with any contents. One that only a fault of the host hid would show later that
    /// other contents than those it was taken for are there: so it is read in a copy of the same bytes.
    private func seeThroughFaults(_ blocks: inout [SwarmBlock]) {
        do {
            let copy = try SecureDevice.open(
                MemoryBlockHost(contents: host.contents), credential: try Self.credential.get(),
                anchor: anchorCopy(), mode: .readOnly, options: deviceOptions)
            let found = copy.swarmContents().blocks
            for index in blocks.indices where blocks[index] == .unreadable && index < found.count {
                blocks[index] = found[index]
            }
            try copy.close()
        } catch { note(error, at: "see through faults") }
    }

    private func allCandidates(_ sequence: UInt64) -> [SwarmBranch.Contents] {
        // A recovery that was lied to and then cut off made a commit of any earlier contents, by any number.
        (everCommitted[sequence] ?? []) + everCommitted.keys.sorted().flatMap { everCommitted[$0] ?? [] }
    }

    /// A device of another size than the contents has none of what is missing, and nothing in what is more.
    static func agree(_ blocks: [SwarmBlock], _ contents: SwarmBranch.Contents) -> Bool {
        for (index, block) in blocks.enumerated() {
            switch block {
            case .value(let found): if found != (index < contents.count ? contents[index] : 0) { return false }
            case .unreadable: continue
            case .wrong: return false
            }
        }
        return contents.dropFirst(blocks.count).allSatisfy { $0 == 0 }
    }

    /// From the contents that are nearest.
    private static func leastDifference(_ blocks: [SwarmBlock], _ candidates: [SwarmBranch.Contents]) -> String {
        func distance(_ contents: SwarmBranch.Contents) -> Int {
            abs(contents.count - blocks.count)
                + zip(blocks, contents).count { $0 != .value($1) && $0 != .unreadable }
        }
        return difference(blocks, candidates.min { distance($0) < distance($1) })
    }

    static func difference(_ blocks: [SwarmBlock], _ contents: SwarmBranch.Contents?) -> String {
        guard let contents else { return "no commit may be there" }
        let all = zip(blocks, contents).enumerated().compactMap { index, pair -> String? in
            if case .value(let found) = pair.0, found != pair.1 { return "block \(index): \(found) for \(pair.1)" }
            return nil
        }
        let sizes = blocks.count == contents.count ? [] : ["\(blocks.count) blocks for \(contents.count)"]
        return (sizes + all.prefix(4)).joined(separator: ", ")
    }

    /// Lets go of the device as a process does that dies: what was not committed is lost.
    func abandon() {
        tickets = []
        device = nil
    }

    /// The device is of no more use: latched, or in a state that nobody knows.
    func giveUp() {
        abandon()
        host =
            host.hasPower && random.next() & 1 == 0
            ? host.reopened(seed: random.next()) : host.powerCycle(seed: random.next())
    }

    func close() {
        guard let device else { return }
        let before = provocations
        let hadUncommitted = model != committed
        do throws(DeviceError) {
            for ticket in tickets { try wait(ticket) }
            try device.close()
            let commit = device.status.commit.rawValue
            if branch.commits[commit] == nil { rememberCommit(commit, committed) }
            branch.acknowledge(commit)
        } catch {
            note(error, at: "close")
            if !isProvoked(since: before) {
                violate(.progress, "does not close: \(error)")
            }
            branch.cutOff(committed)
        }
        if hadUncommitted { model = committed }
        tickets = []
        self.device = nil
        host = host.hasPower ? host.reopened(seed: random.next()) : host.powerCycle(seed: random.next())
    }

    func wait(_ ticket: any CommitTicket) throws(DeviceError) {
        try ticket.wait()
        branch.acknowledge(ticket.sequence.rawValue)
    }
}
