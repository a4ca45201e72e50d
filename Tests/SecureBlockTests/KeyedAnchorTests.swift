import Testing

@testable import SecureBlock

/// Anchors that ask for a key, as one in a TPM does.
@Suite struct KeyedAnchorTests {
    private final class KeyedAnchor: Anchor {
        struct State {
            var value: AnchorValue?
            var secret: SecretBytes?
            var keys: [SecretBytes] = []
            var isSettling = true
        }

        let state = Monitor(State())
        var description: String { "keyed" }
        var asksForKey: Bool { true }
        var preferredPolicy: AnchorPolicy { AnchorPolicy(commits: 7) }

        func use(_ keys: [SecretBytes]) { state.withLock { $0.keys = keys } }

        func load() throws(AnchorError) -> AnchorValue? {
            try state.withLock { state throws(AnchorError) in try Self.opened(state) }
        }

        func compareAndSwap(expected: AnchorValue?, new: AnchorValue) throws(AnchorError) {
            try state.withLock { state throws(AnchorError) in
                let found = try Self.opened(state)
                guard found == expected else { throw .conflict(found: found) }
                guard let key = state.keys.first else { throw .refused("no key") }
                if state.secret == nil { state.secret = key }
                state.value = new
            }
        }

        func settle() throws(AnchorError) {
            try state.withLock { state throws(AnchorError) in
                guard state.isSettling else { throw .unavailable("gone") }
                _ = try Self.opened(state)
                state.secret = state.keys.first
                state.keys = Array(state.keys.prefix(1))
            }
        }

        private static func opened(_ state: State) throws(AnchorError) -> AnchorValue? {
            guard let secret = state.secret else { return nil }
            guard state.keys.contains(secret) else { throw .refused("another key") }
            return state.value
        }

        func setSettling(_ isSettling: Bool) { state.withLock { $0.isSettling = isSettling } }
        var secret: SecretBytes? { state.withLock { $0.secret } }
    }

    private let anchor = KeyedAnchor()

    private func work(_ device: SecureDevice, commits: UInt64) throws {
        for value in 1...commits {
            try DeviceTesting.writeWithCommits(device, value % 40, value)
            try device.commit().wait()
        }
    }

    @Test func theAnchorsPolicyIsTakenUnlessToldOtherwise() throws {
        let host = MemoryBlockHost()
        try DeviceTesting.create(host, anchor: anchor)
        let device = try DeviceTesting.open(host, anchor: anchor)
        #expect(device.status.anchorPolicy == AnchorPolicy(commits: 7))
        try device.close()
        // A volume that takes one up later, too.
        let other = MemoryBlockHost(), fresh = KeyedAnchor()
        try DeviceTesting.create(other)
        let adopting = try DeviceTesting.open(other, anchor: fresh)
        #expect(adopting.status.anchorPolicy == AnchorPolicy(commits: 7))
        try adopting.close()
        let again = try DeviceTesting.open(
            MemoryBlockHost(contents: other.contents), anchor: fresh, anchorPolicy: .everyCommit)
        #expect(again.status.anchorPolicy == .everyCommit)
        try again.close()
    }

    /// However long the anchor keeps asking for the old key, the volume keeps it; a crash in between costs nothing.
    @Test func anOldKeyStaysUntilTheAnchorHasTheNewOne() throws {
        let host = MemoryBlockHost()
        try DeviceTesting.create(host, blocks: 40, anchor: anchor)
        let device = try DeviceTesting.open(host, anchor: anchor)
        let old = anchor.secret
        anchor.setSettling(false)
        #expect(throws: KeySlotChangeError.anchor(.unavailable("gone"))) {
            try device.rotateVolumeKey(for: [DeviceTesting.keyFile()], droppingOtherSlots: true)
        }
        // As much as takes every block and page to the new key, and a few checkpoints.
        for _ in 0..<3 {
            try work(device, commits: 200)
            _ = try device.reseal()
            #expect(anchor.secret == old)
            #expect(device.resealProgress.olderKeys == [0])
        }
        let crashed = MemoryBlockHost(contents: host.contents)
        #expect(throws: VolumeError.self) { try DeviceTesting.open(crashed, anchor: anchor) }
        anchor.setSettling(true)
        let again = try DeviceTesting.open(MemoryBlockHost(contents: crashed.contents), anchor: anchor)
        #expect(anchor.secret != old)
        try work(again, commits: 200)
        _ = try again.reseal()
        #expect(again.resealProgress.olderKeys == [])
        try again.close()
    }
}
