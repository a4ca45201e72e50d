import SecureBlock

// Key slots and the volume key. The first credential opens the volume at all times.

extension SwarmWorld {
    func changeKeys(adds: Bool) {
        guard adds != hasSecondKey, open(), commit(waits: true), let device else { return }
        let before = provocations
        do throws(KeySlotChangeError) {
            if adds {
                guard case .success(let second) = Self.secondCredential else { return }
                _ = try device.addKeySlot(second)
            } else {
                guard let slot = slotOfSecondKey(device) else { return }
                try device.removeKeySlot(slot)
            }
            hasSecondKey = adds
            changes[adds ? .keyAdded : .keyRemoved, default: 0] += 1
            noteOwnCommits(device)
        } catch {
            note(error, at: "keys")
            // Slots that a crash left half-made stay taken; the cleaner may have moved something since the commit.
            if error == .noFreeSlot || error == .uncommittedChanges { return }
            if !isProvoked(since: before) { violate(.progress, "keys: \(error)") }
            branch.cutOff(model)
            // Added or not, removed or not: nobody knows.
            hasSecondKey = false
            giveUp()
        }
    }

    private func slotOfSecondKey(_ device: SecureDevice) -> Int? {
        guard case .success(let second) = Self.secondCredential else { return nil }
        do { return try device.keySlot(openedBy: second) } catch {
            note(error, at: "slot of a key")
            return nil
        }
    }

    /// Whoever opened the volume does so afterwards, and a slot that nobody knows of does not.
    func rotateKey() {
        guard open(), commit(waits: true), let device else { return }
        guard case .success(let first) = Self.credential, case .success(let second) = Self.secondCredential
        else { return }
        let before = provocations
        do throws(KeySlotChangeError) {
            _ = try device.rotateVolumeKey(
                for: hasSecondKey ? [first, second] : [first], droppingOtherSlots: !hasSecondKey)
            changes[.keyRotated, default: 0] += 1
            noteOwnCommits(device)
        } catch {
            note(error, at: "rotate")
            switch error {
            // The cleaner may have moved something since the commit; what older keys sealed may not be moved yet. Commits of
            // the same state may have been made.
            case .uncommittedChanges, .noFreeSlot, .tooManyKeys, .device(.noSpace): branch.cutOff(model)
            default: giveUpReshaping("another volume key", error, before)
            }
        }
    }

    func reseal() {
        guard open(), commit(waits: true), let device else { return }
        let before = provocations
        do throws(KeySlotChangeError) {
            let progress = try device.reseal()
            if progress.isDone { changes[.resealed, default: 0] += 1 }
            noteOwnCommits(device)
        } catch {
            note(error, at: "reseal")
            switch error {
            case .uncommittedChanges, .device(.noSpace): branch.cutOff(model)
            default: giveUpReshaping("sealing again", error, before)
            }
        }
    }
}
