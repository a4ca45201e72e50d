import SecureBlock
import SoftwareTPM
import Testing

@testable import TPM

@Suite(.serialized, .enabled(if: SoftwareTPM.isThere, "swtpm is not installed")) struct TPMSealerTests {
    private let tpm: SoftwareTPM

    init() throws { tpm = try SoftwareTPM() }

    private func sealer(
        _ tpm: SoftwareTPM? = nil, pin: String? = nil, registers: [Int] = []
    ) throws -> TPMSealer {
        let secret = try pin.map { try Array($0.utf8).withUnsafeBytes { try SecretBytes(copying: $0) } }
        return try #require(
            TPMSealer(at: TPMAddress((tpm ?? self.tpm).address), pin: secret, registers: registers))
    }

    private func refusal(_ sealed: [UInt8], by sealer: TPMSealer) throws -> KeySealerError? {
        do throws(KeySealerError) {
            _ = try sealer.unseal(sealed)
            return nil
        } catch { return error }
    }

    @Test func thisTPMGivesItBackAndNoOther() throws {
        let secret = try SecretBytes.random(byteCount: 32)
        let sealed = try sealer().seal(secret)
        #expect(sealed.count <= KeySlot.sealedLimitBytes)
        #expect(try sealer().unseal(sealed) == secret)
        #expect(try sealer(pin: "superfluous").unseal(sealed) == secret)
        tpm.stop()
        guard case .unavailable? = try refusal(sealed, by: sealer()) else {
            Issue.record("no TPM, and no word of it")
            return
        }
        try tpm.start()
        #expect(try sealer().unseal(sealed) == secret, "after a reset, too")
        let other = try SoftwareTPM()
        guard case .foreign? = try refusal(sealed, by: sealer(other)) else {
            Issue.record("another TPM gives it")
            return
        }
        try tpm.tool("tpm2_clear")
        guard case .foreign? = try refusal(sealed, by: sealer()) else {
            Issue.record("a TPM that was cleared gives it")
            return
        }
    }

    /// The TPM itself counts wrong PINs, and then takes none.
    @Test func aPINIsAskedForAndItsGuessesLimited() throws {
        let secret = try SecretBytes.random(byteCount: 32)
        let sealed = try sealer(pin: "1234").seal(secret)
        #expect(try sealer(pin: "1234").unseal(sealed) == secret)
        #expect(try refusal(sealed, by: sealer()) == .secretNeeded)
        try tpm.tool("tpm2_dictionarylockout", "-s", "-n", "3", "-t", "1000", "-l", "1000")
        for _ in 0..<3 { #expect(try refusal(sealed, by: sealer(pin: "1235")) == .wrongSecret) }
        for pin in ["1235", "1234"] {
            guard case .lockedOut? = try refusal(sealed, by: sealer(pin: pin)) else {
                Issue.record("guesses without an end")
                return
            }
        }
        // What has no PIN is not locked by others' guesses.
        #expect(try sealer().unseal(sealer().seal(secret)) == secret)
        try tpm.tool("tpm2_dictionarylockout", "-c")
        #expect(try sealer(pin: "1234").unseal(sealed) == secret)
    }

    @Test(arguments: [nil, "a PIN"]) func registersMustBeAsTheyWere(_ pin: String?) throws {
        let secret = try SecretBytes.random(byteCount: 32)
        let sealed = try sealer(pin: pin, registers: [7, 16]).seal(secret)
        #expect(try sealer(pin: pin).unseal(sealed) == secret)
        if pin != nil { #expect(try refusal(sealed, by: sealer(pin: "another")) == .wrongSecret) }
        let extension32 = "sha256=" + String(repeating: "ab", count: 32)
        try tpm.tool("tpm2_pcrextend", "1:\(extension32)")
        #expect(try sealer(pin: pin).unseal(sealed) == secret, "register 1 is not meant")
        try tpm.tool("tpm2_pcrextend", "16:\(extension32)")
        guard case .conditionsUnmet? = try refusal(sealed, by: sealer(pin: pin)) else {
            Issue.record("opened in another state of the machine")
            return
        }
        try tpm.tool("tpm2_pcrreset", "16")
        #expect(try sealer(pin: pin).unseal(sealed) == secret)
    }

    /// Whatever the host puts there: a typed error, or the secret where nothing that counts was changed.
    @Test func everyByteIsChecked() throws {
        let secret = try SecretBytes.random(byteCount: 32)
        let sealed = try sealer(pin: "1234", registers: [16]).seal(secret)
        let plain = try sealer().seal(secret)
        for good in [sealed, plain] {
            for index in good.indices {
                var bad = good
                bad[index] ^= 0x41
                do throws(KeySealerError) {
                    let found = try sealer(for: good == sealed).unseal(bad)
                    #expect(found == secret, "byte \(index) leads to another secret")
                } catch { continue }
            }
            for count in 0..<good.count {
                #expect(throws: KeySealerError.self) { try sealer().unseal([UInt8](good[..<count])) }
            }
            #expect(throws: KeySealerError.self) { try sealer().unseal(good + [0]) }
            for count: UInt16 in [0, 1, 511, 512, 513, 0x7FFF, 0xFFFF] {
                var bad = good
                bad[120] = UInt8(count & 0xFF)
                bad[121] = UInt8(count >> 8)
                #expect(throws: KeySealerError.self) { try sealer().unseal(bad) }
                bad = [UInt8](bad[..<122]) + [UInt8](repeating: 0xA5, count: Int(count))
                #expect(throws: KeySealerError.self) { try sealer().unseal(bad) }
            }
        }
    }

    private func sealer(for hasPIN: Bool) throws(KeySealerError) -> TPMSealer {
        do { return try sealer(pin: hasPIN ? "1234" : nil) } catch { throw .unavailable("\(error)") }
    }

    @Test func anOwnersPasswordIsSaid() throws {
        let sealed = try sealer().seal(try .random(byteCount: 32))
        try tpm.tool("tpm2_changeauth", "-c", "owner", "secret")
        guard case .unavailable(let reason)? = try refusal(sealed, by: sealer()) else {
            Issue.record("no word of the owner's password")
            return
        }
        #expect(reason.contains("password"), "\(reason)")
    }

    // MARK: Volumes

    @Test func aVolumeOpensWithIt() throws {
        let disk = Disk()
        try TPMTesting.create(disk.attached())
        let device = try TPMTesting.open(disk.attached())
        try TPMTesting.commit(device, 5)
        #expect(try device.addKeySlot(.sealer(sealer(pin: "1234"))) == 1)
        #expect(device.status.keySlots[1].state == .sealed)
        try device.close()

        let opened = try TPMTesting.open(disk.attached(), .sealer(sealer(pin: "1234")))
        #expect(try TPMTesting.value(in: opened) == 5)
        #expect(opened.status.usedKeySlot == 1)
        // The other one goes; the last one stays.
        try opened.removeKeySlot(0)
        #expect(throws: KeySlotChangeError.lastSlot(1)) { try opened.removeKeySlot(1) }
        try opened.close()
        #expect(throws: VolumeError.noKeySlot) { try TPMTesting.open(disk.attached()) }
        #expect(throws: VolumeError.sealer(slot: 1, .wrongSecret)) {
            try TPMTesting.open(disk.attached(), .sealer(sealer(pin: "4321")))
        }
        #expect(throws: VolumeError.sealer(slot: 1, .secretNeeded)) {
            try TPMTesting.open(disk.attached(), .sealer(sealer()))
        }
    }

    /// A volume of two machines: each opens with its own TPM, and a third says why not.
    @Test func twoTPMsEachHaveASlot() throws {
        let disk = Disk(), second = try SoftwareTPM(), third = try SoftwareTPM()
        try TPMTesting.create(disk.attached(), .sealer(sealer()))
        let device = try TPMTesting.open(disk.attached(), .sealer(sealer()))
        _ = try device.addKeySlot(.sealer(sealer(second, registers: [0, 2, 7])))
        try device.close()
        for (tpm, slot) in [(tpm, 0), (second, 1)] {
            let opened = try TPMTesting.open(disk.attached(), .sealer(sealer(tpm)))
            #expect(opened.status.usedKeySlot == slot)
            try opened.close()
        }
        do {
            _ = try TPMTesting.open(disk.attached(), .sealer(sealer(third)))
            Issue.record("a third TPM opens it")
        } catch VolumeError.sealer(_, .foreign) {}
        // A change of the key takes the slot along.
        let device2 = try TPMTesting.open(disk.attached(), .sealer(sealer()))
        #expect(throws: KeySlotChangeError.otherSlots([1])) {
            try device2.rotateVolumeKey(for: [.sealer(sealer())])
        }
        _ = try device2.rotateVolumeKey(for: [.sealer(sealer())], droppingOtherSlots: true)
        try device2.close()
        try TPMTesting.open(disk.attached(), .sealer(sealer())).close()
        #expect(throws: VolumeError.self) { try TPMTesting.open(disk.attached(), .sealer(sealer(second))) }
    }

    @Test func aTPMThatIsGoneMakesNoVolume() throws {
        let disk = Disk()
        tpm.stop()
        do {
            try TPMTesting.create(disk.attached(), .sealer(sealer()))
            Issue.record("made without its TPM")
        } catch VolumeError.sealer(0, .unavailable) {}
        #expect(throws: VolumeError.self) { try TPMTesting.open(disk.attached(), .sealer(sealer())) }
    }
}
