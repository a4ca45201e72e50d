import SecureBlock
import SimHost
import SoftwareTPM
import Testing

@testable import TPM

/// Volumes that are anchored in a TPM.
@Suite(.serialized, .enabled(if: SoftwareTPM.isThere, "swtpm is not installed")) struct TPMVolumeTests {
    private let tpm: SoftwareTPM
    private let disk = Disk()
    private var host: MemoryBlockHost { disk.attached() }

    init() throws { tpm = try SoftwareTPM() }

    private func anchor(_ index: UInt32 = TPMTesting.index) -> TPMAnchor {
        TPMAnchor(index: index, at: TPMAddress(tpm.address))
    }

    private func copy() -> MemoryBlockHost { disk.copy() }

    /// What opening says; `nil` when it opens.
    private func refusal(_ body: () throws -> SecureDevice) throws -> VolumeError? {
        do {
            try body().close()
            return nil
        } catch let error as VolumeError {
            return error
        }
    }

    /// A closed volume whose last value is `value`.
    private func volume(_ value: UInt8) throws {
        try TPMTesting.create(host, anchor: anchor())
        let device = try TPMTesting.open(host, anchor: anchor())
        try TPMTesting.commit(device, value)
        try device.close()
    }

    @Test func aVolumeKeepsWhatWasCommitted() throws {
        try volume(1)
        for value: UInt8 in 2...4 {
            let device = try TPMTesting.open(host, anchor: anchor())
            #expect(try TPMTesting.value(in: device) == value - 1)
            try TPMTesting.commit(device, value)
            try device.close()
        }
        let device = try TPMTesting.open(host, anchor: anchor(), mode: .readOnly)
        #expect(try TPMTesting.value(in: device) == 4)
        try device.close()
        #expect(try refusal { try TPMTesting.open(host) } == .anchorRequired)
    }

    @Test func anOlderCopyIsRefused() throws {
        try volume(1)
        let old = copy()
        let device = try TPMTesting.open(host, anchor: anchor())
        try TPMTesting.commit(device, 2)
        try device.close()
        guard case .rollback? = try refusal({ try TPMTesting.open(old, anchor: anchor()) }) else {
            Issue.record("an older copy opened")
            return
        }
        guard case .rollback? = try refusal({ try TPMTesting.open(old, anchor: anchor(), mode: .readOnly) }) else {
            Issue.record("an older copy opened for reading")
            return
        }
    }

    /// What a crash leaves is not refused, however far the anchor lags; nor is anything that was anchored lost.
    @Test func aCrashWithinTheWindowIsNoRollback() throws {
        try volume(1)
        let device = try TPMTesting.open(host, anchor: anchor())
        #expect(device.status.anchorPolicy == AnchorPolicy(milliseconds: 600_000))
        for value: UInt8 in 2...9 { try TPMTesting.commit(device, value) }
        #expect(device.status.exposedCommits == 8, "no write for every commit")
        let crashed = copy()
        let again = try TPMTesting.open(crashed, anchor: anchor())
        #expect(try TPMTesting.value(in: again) == 9)
        try again.close()
    }

    @Test func theSecondOfTwoClonesIsRefused() throws {
        try volume(1)
        let clone = copy()
        let (first, second) = (
            try TPMTesting.open(host, anchor: anchor()),
            try refusal { try TPMTesting.open(clone, anchor: anchor()) }
        )
        #expect(second != nil, "opening the first moved the anchor")
        try TPMTesting.commit(first, 2)
        try first.close()
        #expect(try refusal { try TPMTesting.open(clone, anchor: anchor()) } != nil)
        #expect(try refusal { try TPMTesting.open(host, anchor: anchor()) } == nil)
    }

    @Test func aTPMThatIsGoneStopsAcknowledging() throws {
        try TPMTesting.create(host, anchor: anchor(), anchorPolicy: .everyCommit)
        let device = try TPMTesting.open(host, anchor: anchor())
        try TPMTesting.commit(device, 1)
        tpm.stop()
        #expect(throws: DeviceError.self) { try TPMTesting.commit(device, 2) }
        #expect(throws: DeviceError.self) { try device.close() }
        guard case .anchorUnavailable(let reason)? = try refusal({ try TPMTesting.open(host, anchor: anchor()) })
        else {
            Issue.record("opened without its anchor")
            return
        }
        #expect(reason.contains("no TPM"), "\(reason)")
        try tpm.start()
        #expect(try refusal { try TPMTesting.open(host, anchor: anchor()) } == nil)
    }

    /// Whoever owns the TPM may delete the index or clear everything: that is missed. The way out is another index.
    @Test(arguments: [["tpm2_nvundefine", "-C", "o", "0x1800100"], ["tpm2_clear"]])
    func aLostIndexIsMissedAndReplaced(_ command: [String]) throws {
        try volume(1)
        if command.count > 1 {
            try tpm.tool(command[0], command[1], command[2], command[3])
        } else {
            try tpm.tool(command[0])
        }
        guard case .anchorUnavailable? = try refusal({ try TPMTesting.open(host, anchor: anchor()) }) else {
            Issue.record("opened without its anchor")
            return
        }
        let other = TPMTesting.index + 1
        guard case .anchorUnavailable? = try refusal({ try TPMTesting.open(host, anchor: anchor(other)) }) else {
            Issue.record("took another one without being told to")
            return
        }
        let device = try TPMTesting.open(host, anchor: anchor(other), adopts: true)
        try TPMTesting.commit(device, 2)
        try device.close()
        #expect(try refusal { try TPMTesting.open(host, anchor: anchor(other)) } == nil)
        #expect(anchor(other).description.contains("0x1800101"))
    }

    /// An index made again without the secret does not pass, whatever is in it.
    @Test func aForgedIndexIsRefused() throws {
        try volume(1)
        try tpm.tool("tpm2_nvundefine", "-C", "o", "0x1800100")
        try tpm.tool("tpm2_nvdefine", "-C", "o", "-s", "56", "-a", "authread|authwrite|no_da", "0x1800100")
        try tpm.tool("tpm2_nvwrite", "-C", "0x1800100", "-i", try tpm.file(bytes: 56), "0x1800100")
        guard case .anchorRefused? = try refusal({ try TPMTesting.open(host, anchor: anchor()) }) else {
            Issue.record("an index with another secret passed")
            return
        }
        guard case .anchorRefused? = try refusal({ try TPMTesting.open(host, anchor: anchor(), adopts: true) })
        else {
            Issue.record("one that is in use was adopted")
            return
        }
    }

    @Test func anotherVolumesIndexIsRefused() throws {
        try volume(1)
        let other = MemoryBlockHost()
        guard
            case .anchorRefused? = try refusal({
                try TPMTesting.create(other, anchor: anchor())
                return try TPMTesting.open(other)
            })
        else {
            Issue.record("one index for two volumes")
            return
        }
        try TPMTesting.create(other)
        guard case .anchorRefused? = try refusal({ try TPMTesting.open(other, anchor: anchor()) }) else {
            Issue.record("one index for two volumes")
            return
        }
    }

    /// After a change of the volume key the index answers to the new key alone, and an older copy does not pass.
    @Test func rotationTakesTheAnchorAlong() throws {
        try volume(1)
        let old = copy()
        let device = try TPMTesting.open(host, anchor: anchor())
        _ = try device.rotateVolumeKey(for: [TPMTesting.keyFile()], droppingOtherSlots: true)
        try TPMTesting.commit(device, 2)
        try device.close()
        #expect(try refusal { try TPMTesting.open(host, anchor: anchor()) } == nil)
        guard case .anchorRefused? = try refusal({ try TPMTesting.open(old, anchor: anchor()) }) else {
            Issue.record("a copy from before the change of the key opened")
            return
        }
    }

    /// A TPM that goes away in the middle of a rotation: the old key is kept until the index has the new one.
    @Test func rotationSurvivesALostTPM() throws {
        try volume(1)
        let device = try TPMTesting.open(host, anchor: anchor())
        tpm.stop()
        #expect(throws: KeySlotChangeError.self) {
            try device.rotateVolumeKey(for: [TPMTesting.keyFile()], droppingOtherSlots: true)
        }
        try tpm.start()
        for _ in 0..<2 { #expect(try refusal { try TPMTesting.open(host, anchor: anchor()) } == nil) }
    }
}
