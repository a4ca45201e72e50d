import SecureBlock
import SimHost

// What users of a device do.

extension SwarmWorld {
    /// What a step means on a device of the present size.
    func scaled(_ block: Int, _ count: Int) -> Range<Int> {
        let first = block * model.count / plan.blocks
        return first..<min(first + count, model.count)
    }

    func write(_ blocks: Range<Int>) {
        guard open(), let device else { return }
        let blocks = blocks.clamped(to: model.indices), block = blocks.lowerBound, count = blocks.count
        guard count > 0 else { return }
        let buffer = AlignedBuffer(byteCount: count * blockBytes)
        let values = (0..<count).map { value + 1 + UInt64($0) }
        value += UInt64(count)
        for (index, value) in values.enumerated() {
            SwarmPattern.fill(buffer.slice(index * blockBytes, blockBytes), value)
        }
        for attempt in 0..<4 {
            let before = provocations, callsBefore = host.callCount
            var isAccepted = false
            do throws(DeviceError) {
                try device.write(LogicalBlock(UInt64(block)), UnsafeRawBufferPointer(buffer.bytes)) {
                    isAccepted = true
                }
                for (index, value) in values.enumerated() { model[block + index] = value }
                if host.callCount - callsBefore > callLimit {
                    violate(.rightBytesOrError, "a write took too many calls")
                }
                return
            } catch {
                note(error, at: "write")
                guard error == .noSpace || error == .commitRequired else {
                    failed(error, "write", before)
                    return
                }
                if isAccepted { violate(.rightBytesOrError, "a write was accepted, and refused: \(error)") }
                guard learn(block, values), commit(waits: true) else { return }
                if attempt == 3, !mayBeWrong, host.failuresTold == 0, !snapshots.mayTakeSpace {
                    violate(.progress, "no space for a write after \(attempt) commits: \(error)")
                }
            }
        }
    }

    /// After a write that failed in part: which blocks have it.
    private func learn(_ block: Int, _ values: [UInt64]) -> Bool {
        guard let device else { return false }
        let (found, _) = device.swarmContents(block..<block + values.count)
        for (index, value) in values.enumerated() {
            switch found[index] {
            case .value(value): model[block + index] = value
            case .value(model[block + index]): continue
            case .value, .wrong:
                violate(.rightBytesOrError, "block \(block + index) holds neither old nor new")
            case .unreadable:
                giveUp()
                return false
            }
        }
        return true
    }

    func discard(_ blocks: Range<Int>) {
        guard open(), let device else { return }
        let blocks = blocks.clamped(to: model.indices)
        guard !blocks.isEmpty else { return }
        let before = provocations
        do throws(DeviceError) {
            try device.discard(LogicalBlock(UInt64(blocks.lowerBound)), count: UInt64(blocks.count))
            for index in blocks { model[index] = 0 }
        } catch {
            note(error, at: "discard")
            guard error == .noSpace || error == .commitRequired else {
                failed(error, "discard", before)
                return
            }
            // Whatever part of it was done stays unknown.
            giveUp()
        }
    }

    func readAll() {
        guard open() else { return }
        read(model.indices)
    }

    func read(_ blocks: Range<Int>) {
        guard open(), let device else { return }
        let range = blocks.clamped(to: model.indices)
        guard !range.isEmpty else { return }
        let buffer = AlignedBuffer(byteCount: range.count * blockBytes)
        let before = provocations, callsBefore = host.callCount
        do throws(DeviceError) {
            try device.read(LogicalBlock(UInt64(range.lowerBound)), into: buffer.bytes)
            for block in range {
                let part = buffer.slice((block - range.lowerBound) * blockBytes, blockBytes)
                if SwarmPattern.value(UnsafeRawBufferPointer(part)) != model[block] {
                    violate(.rightBytesOrError, "block \(block) reads wrong")
                }
            }
        } catch {
            note(error, at: "read")
            if !buffer.bytes.allSatisfy({ $0 == 0 }) {
                violate(.rightBytesOrError, "a failed read left bytes in the buffer")
            }
            if !mayBeWrong, provocations == before { violate(.progress, "read: \(error)") }
        }
        if host.callCount - callsBefore > callLimit { violate(.rightBytesOrError, "a read took too many calls") }
    }

    /// - Returns: whether the device can go on.
    @discardableResult
    func commit(waits: Bool) -> Bool {
        guard open(), let device else { return false }
        let before = provocations, callsBefore = host.callCount
        do throws(DeviceError) {
            let ticket: any CommitTicket
            do throws(DeviceError) { ticket = try device.commit() } catch {
                // It may have been ordered all the same.
                branch.untold.append(model)
                throw error
            }
            committed = model
            rememberCommit(ticket.sequence.rawValue, model)
            if waits { try wait(ticket) } else { tickets.append(ticket) }
            if host.callCount - callsBefore > callLimit {
                violate(.rightBytesOrError, "a commit took too many calls")
            }
            return true
        } catch {
            note(error, at: "commit")
            failed(error, "commit", before)
            return false
        }
    }

    func waitForAll() {
        let before = provocations
        do throws(DeviceError) {
            for ticket in tickets { try wait(ticket) }
            tickets = []
        } catch {
            note(error, at: "wait")
            failed(error, "wait", before)
        }
    }

    /// A call failed in a way that ends writing.
    private func failed(_ error: DeviceError, _ call: String, _ before: Int) {
        if !isProvoked(since: before) { violate(.progress, "\(call): \(error)") }
        // A latched device still reads.
        if let device, host.hasPower {
            let (blocks, wipes) = device.swarmContents()
            if blocks.contains(.wrong) { violate(.rightBytesOrError, "a latched device reads what nobody wrote") }
            if !wipes { violate(.rightBytesOrError, "a failed read left bytes in the buffer") }
        }
        giveUp()
    }
}
