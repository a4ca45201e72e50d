/// All epochs that something on the volume is sealed under, and their keys, derived when first needed.
package final class EpochTable: Sendable {
    private struct State {
        var epochs: [Epoch]
        var sealingKeys: [SealingKey?]
    }
    private let state: Monitor<State>
    private let keys: VolumeKeys
    private let suite: CipherSuite

    package init(_ epochs: [Epoch], _ keys: VolumeKeys, _ suite: CipherSuite) {
        self.keys = keys
        self.suite = suite
        state = Monitor(State(epochs: epochs, sealingKeys: Array(repeating: nil, count: epochs.count)))
    }

    package var epochs: [Epoch] { state.withLock { $0.epochs } }

    /// - Returns: `nil` for an index that names no epoch, and for an epoch whose volume key was let go of.
    package func key(_ index: UInt32) throws(SealError) -> SealingKey? {
        try state.withLock { state throws(SealError) -> SealingKey? in
            let index = Int(index)
            guard index < state.epochs.count, !state.epochs[index].isFree else { return nil }
            if let key = state.sealingKeys[index] { return key }
            guard let key = try keys.epochKey(state.epochs[index], suite) else { return nil }
            state.sealingKeys[index] = key
            return key
        }
    }

    /// The epochs whose keys come from a volume key before `version`, by index.
    package func indices(before version: UInt32) -> Set<UInt32> {
        state.withLock { state in
            var found: Set<UInt32> = []
            for (index, epoch) in state.epochs.enumerated() where !epoch.isFree && epoch.keyVersion < version {
                found.insert(UInt32(index))
            }
            return found
        }
    }

    package func index(of identifier: Tag) -> UInt32? {
        state.withLock { state in state.epochs.firstIndex { $0.identifier == identifier }.map(UInt32.init) }
    }

    /// Takes the first free place.
    /// - Returns: `nil` when ``Epoch/maximumCount`` epochs are in use.
    package func add(_ epoch: Epoch) -> UInt32? {
        state.withLock { state in
            if let free = state.epochs.firstIndex(where: \.isFree) {
                state.epochs[free] = epoch
                state.sealingKeys[free] = nil
                return UInt32(free)
            }
            guard state.epochs.count < Epoch.maximumCount else { return nil }
            state.epochs.append(epoch)
            state.sealingKeys.append(nil)
            return UInt32(state.epochs.count - 1)
        }
    }

    /// Frees the places of epochs that `isUsed` denies.
    package func prune(_ isUsed: (UInt32) -> Bool) {
        state.withLock { state in
            for index in state.epochs.indices where !state.epochs[index].isFree && !isUsed(UInt32(index)) {
                state.epochs[index] = .free
                state.sealingKeys[index] = nil
            }
            while let last = state.epochs.last, last.isFree {
                state.epochs.removeLast()
                state.sealingKeys.removeLast()
            }
        }
    }

    /// The table as pages to store.
    package func serialised() -> [AlignedBuffer] {
        let epochs = epochs
        return stride(from: 0, to: epochs.count, by: Epoch.perPage).map { start in
            let buffer = AlignedBuffer(byteCount: blockBytes)
            var writer = ByteWriter(buffer.bytes)
            for epoch in epochs[start..<min(start + Epoch.perPage, epochs.count)] { epoch.write(to: &writer) }
            return buffer
        }
    }

    package static func parse(_ pages: [AlignedBuffer]) throws(ParseError) -> [Epoch] {
        var epochs: [Epoch] = []
        for page in pages {
            var reader = ByteReader(UnsafeRawBufferPointer(page.bytes))
            for _ in 0..<Epoch.perPage { epochs.append(try Epoch(parsing: &reader)) }
        }
        while let last = epochs.last, last.isFree { epochs.removeLast() }
        return epochs
    }
}
