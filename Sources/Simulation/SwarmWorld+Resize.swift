import SecureBlock

extension SwarmWorld {
    /// Gives the device another size, in half of the cases after its end was emptied beforehand.
    func resize(toBlocks blocks: Int) {
        guard open(), blocks != model.count else { return }
        if blocks < model.count { discard(blocks..<model.count) }
        guard open(), commit(waits: true), let device, model.dropFirst(blocks).allSatisfy({ $0 == 0 }) else {
            return
        }
        let before = provocations
        let resized = Array(model.prefix(blocks)) + Array(repeating: 0, count: max(blocks - model.count, 0))
        do throws(ResizeError) {
            if random.next() & 1 == 0 { try device.prepareResize(toBlocks: UInt64(blocks)) }
            try device.resize(toBlocks: UInt64(blocks))
            changes[blocks > model.count ? .grown : .shrunk, default: 0] += 1
            model = resized
            committed = resized
            noteOwnCommits(device)
        } catch {
            note(error, at: "resize")
            switch error {
            case .uncommittedChanges, .neededBySnapshots, .neededByHistory, .noSpace:
                device.abandonResize()
                branch.cutOff(model)
            default:
                // Either size is what a crash may lead back to.
                branch.cutOff(resized)
                everCommitted[branch.lastOrdered, default: []].append(resized)
                giveUpReshaping("another size", error, before)
            }
        }
    }
}
