import SecureBlock
import SimHost

// What is done with copies of a store, beside the volume that is open.

extension SwarmWorld {
    func anchorCopy() -> MemoryAnchor? { anchor.map { MemoryAnchor($0.value) } }

    /// Opens a copy for reading, at the last commit or an earlier one.
    func look(commitsBack: Int) {
        if anchor?.value != nil, !mayBeWrong { lookWithoutAnchor() }
        let copy = MemoryBlockHost(contents: host.contents)
        let wanted = branch.commits.keys.sorted().dropLast(commitsBack).last
        let mode: OpenMode = commitsBack == 0 ? .readOnly : .readOnlyAt(SequenceNumber(wanted ?? 1))
        do {
            let opened = try SecureDevice.open(
                copy, credential: try Self.credential.get(), anchor: anchorCopy(), mode: mode,
                options: deviceOptions)
            let (blocks, _) = opened.swarmContents()
            let from = opened.status.commit.rawValue
            note("look: commit \(from)")
            if blocks.contains(.wrong) { violate(.rightBytesOrError, "a copy holds what nobody wrote") }
            if !mayBeWrong {
                let allowed = commitsBack == 0 ? branch.allowed(at: from) : branch.past(at: from) ?? []
                if !allowed.contains(where: { Self.agree(blocks, $0) }) || blocks.contains(.unreadable) {
                    violate(.oneCommit, "a copy at commit \(from): \(Self.difference(blocks, allowed.first))")
                }
            }
            try opened.close()
        } catch VolumeError.noSuchCommit {
            note("look: no such commit")
        } catch {
            note(error, at: "look")
            if !mayBeWrong, host.hasPower { violate(.progress, "a copy does not open: \(error)") }
        }
    }

    /// An anchored volume is not opened without its anchor.
    private func lookWithoutAnchor() {
        do {
            let opened = try SecureDevice.open(
                MemoryBlockHost(contents: host.contents), credential: try Self.credential.get(), mode: .readOnly,
                options: deviceOptions)
            // The roots of `create` name no anchor yet; those of every opening do.
            if opened.status.commit.rawValue > 1 {
                violate(.notBehindAnchor, "an anchored volume opens without its anchor")
            }
            try opened.close()
        } catch {
            note(error, at: "without anchor")
        }
    }

    /// Checks a copy, and holds the verdict against what opening it gives.
    func check() {
        let store = host.contents
        var findings: [VolumeFinding] = []
        var failure: (any Error)?
        var summary = VolumeCheckSummary()
        do {
            var options = VolumeCheck.Options()
            options.readsData = true
            summary = try VolumeCheck.run(
                MemoryBlockHost(contents: store), credential: try Self.credential.get(), anchor: anchorCopy(),
                options: options, progress: { _, _ in }, report: { findings.append($0) })
        } catch { failure = error }
        let isClean = failure == nil && !findings.contains { $0.severity == .error }
        note("check: clean \(isClean)")
        if !isClean, !mayBeWrong, host.hasPower {
            violate(
                .checkAgrees,
                "finds \(findings.first { $0.severity == .error }?.message ?? "\(failure.map { "\($0)" } ?? "")")")
        }
        guard isClean else { return }
        do {
            let opened = try SecureDevice.open(
                MemoryBlockHost(contents: store), credential: try Self.credential.get(), anchor: anchorCopy(),
                mode: .readOnly, options: deviceOptions)
            let (blocks, _) = opened.swarmContents()
            let from = opened.status.commit.rawValue
            if from != summary.commit.rawValue {
                violate(.checkAgrees, "checked commit \(summary.commit.rawValue), opened \(from)")
            }
            if blocks.contains(.unreadable) || blocks.contains(.wrong) {
                violate(.checkAgrees, "clean, and blocks cannot be read")
            }
            try opened.close()
        } catch { violate(.checkAgrees, "clean, and does not open: \(error)") }
    }

    /// Two recoveries of the same bytes, and one after the other.
    func recoverTwice() {
        let store = host.crashContents()
        var seen: [[SwarmBlock]] = []
        var commits: [UInt64] = []
        do {
            for _ in 0..<2 {
                var copy = MemoryBlockHost(contents: store)
                let anchor = anchorCopy()
                for isAgain in [false, true] {
                    let opened = try SecureDevice.open(
                        copy, credential: try Self.credential.get(), anchor: anchor, options: deviceOptions)
                    seen.append(opened.swarmContents().blocks)
                    if !isAgain { commits.append(opened.status.recoveredFrom.rawValue) }
                    try opened.close()
                    copy = MemoryBlockHost(contents: copy.contents)
                }
            }
            note("recover twice: \(commits)")
            if Set(commits).count != 1 || Set(seen).count != 1 {
                violate(.recoveryRepeats, "recoveries of the same bytes differ: commits \(commits)")
            }
        } catch {
            note(error, at: "recover twice")
            if !mayBeWrong, host.hasPower { violate(.recoveryRepeats, "a copy does not open: \(error)") }
        }
    }

    /// A second writer on a copy: with an anchor, only one of the two goes on.
    func fork() {
        guard !mayBeWrong, open(), commit(waits: true), !mayBeWrong, let original = device else { return }
        let before = provocations, anchored = anchor?.value
        let copy = HostileHost(
            contents: host.crashContents(), seed: random.next(), clock: clock, observer: host.recorder)
        do {
            let second = try SecureDevice.open(
                copy, credential: try Self.credential.get(), anchor: anchor, options: deviceOptions)
            let buffer = AlignedBuffer(byteCount: blockBytes)
            value += 1
            SwarmPattern.fill(buffer.bytes, value)
            try second.write(LogicalBlock(0), UnsafeRawBufferPointer(buffer.bytes))
            try second.commit().wait()
            try second.close()
        } catch {
            note(error, at: "fork")
            if !isProvoked(since: before) { violate(.progress, "a copy cannot be written: \(error)") }
            giveUp()
            isAnchorTurnedBack = anchor?.value != anchored
            return
        }
        do throws(DeviceError) {
            let block = Int(random.next() % UInt64(model.count))
            let buffer = AlignedBuffer(byteCount: blockBytes)
            value += 1
            SwarmPattern.fill(buffer.bytes, value)
            try original.write(LogicalBlock(UInt64(block)), UnsafeRawBufferPointer(buffer.bytes))
            model[block] = value
            let ticket = try original.commit()
            committed = model
            rememberCommit(ticket.sequence.rawValue, model)
            try wait(ticket)
            note("fork: both write")
            if anchor != nil { violate(.notBehindAnchor, "both of two clones had a commit acknowledged") }
        } catch {
            note(error, at: "fork, first")
            if anchor == nil, !isProvoked(since: before) { violate(.progress, "the first of two clones: \(error)") }
            branch.cutOff(model)
            abandon()
            // The clone won: the anchor names its commits. For the original only an operator can decide.
            host = host.reopened(seed: random.next())
            isAnchorTurnedBack = anchor != nil
        }
    }

    func save() {
        guard !mayBeWrong, host.hasPower else { return }
        if images.count >= 5 { images.removeFirst() }
        images.append(
            Saved(
                store: host.crashContents(), anchor: anchor?.value, branch: branch, model: committed,
                snapshots: snapshots))
    }

    /// An operator puts a saved copy back. With the anchor as it is, it must not pass for the present.
    func restore() {
        guard let saved = images.randomElement(using: &random) else { return }
        giveUp()
        if let anchor, isAnchorHonest, let present = anchor.value, present != saved.anchor {
            do {
                let opened = try SecureDevice.open(
                    MemoryBlockHost(contents: saved.store), credential: try Self.credential.get(),
                    anchor: MemoryAnchor(present), mode: .readOnly, options: deviceOptions)
                let from = opened.status.commit.rawValue
                if from < present.sequence.rawValue {
                    violate(.notBehindAnchor, "an old copy opened at \(from), the anchor names \(present.sequence)")
                }
            } catch { note(error, at: "restore") }
        }
        anchor?.replace(by: saved.anchor)
        put(saved.store)
        branch = saved.branch
        model = saved.model
        committed = saved.model
        snapshots = saved.snapshots
        isTainted = false
        isAnchorTurnedBack = false
        hasSecondKey = false
        open()
    }

    /// Replaces the store, with a host that has not lied yet.
    func put(_ store: SparseBytes) {
        let trace = host.trace
        pastFaults.merge(host.faultCounts, uniquingKeysWith: +)
        host = HostileHost(
            contents: store, seed: random.next(), faultsAreOn ? plan.faults : .none, clock: clock, trace: trace,
            observer: host.recorder)
    }

    func play(_ move: AdversaryMove) {
        if random.next() & 1 == 0 { close() } else { giveUp() }
        var store = host.contents
        let others = SwarmMaterial.shared(plan.segmentBlocks, key: Self.credential)
        let material = AdversaryMaterial(
            earlier: images.map(\.store), sameKey: others.sameKey, otherKey: others.otherKey,
            segmentBlocks: plan.segmentBlocks)
        guard move.apply(to: &store, material, &random) else { return }
        note("adversary: \(move)")
        moves[move, default: 0] += 1
        isTainted = true
        put(store)
        check()
        if open() { readAll() }
    }
}
