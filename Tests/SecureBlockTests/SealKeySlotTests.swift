import Testing

@testable import SecureBlock

@Suite struct SealKeySlotTests {
    /// The standard at least, the limit at most, and in between what the time asked for allows.
    @Test func scryptIsCalibrated() throws {
        func cost(_ milliseconds: UInt64, limit: UInt64 = 512 << 20, sample: UInt64 = 40_000) throws -> UInt8 {
            try ScryptCost.calibrated(milliseconds: milliseconds, memoryLimitBytes: limit) { _ in sample }.logN
        }
        #expect(try cost(0) == 17)
        #expect(try cost(640) == 18 && cost(639) == 17)
        #expect(try cost(UInt64.max) == 18, "the memory's limit; N = 2^19 takes a little more than 512 MiB")
        #expect(try cost(UInt64.max, limit: UInt64.max) == 19, "what opening would refuse is not made")
        #expect(try cost(100, sample: 0) == 18)
    }

    let volumeKey: SecretBytes
    let volume: VolumeIdentifier
    let passphrase: Credential
    let keyFile: Credential

    init() throws {
        volumeKey = try .random(byteCount: 32)
        volume = try .random()
        passphrase = .passphrase(try secret([UInt8]("correct horse battery staple".utf8)))
        keyFile = .keyFile(try .random(byteCount: 32))
    }

    private func wrapped(_ credential: Credential, slot: Int = 0) throws -> [UInt8] {
        try KeySlot.wrap(volumeKey: volumeKey, for: credential, slot: slot, volume: volume, scrypt: .fast)
    }

    private func parse(_ bytes: [UInt8], slot: Int = 0) throws(KeySlotError) -> KeySlot {
        try bytes.withRawBytes { bytes throws(KeySlotError) in try KeySlot.parse(bytes, slot: slot) }
    }

    /// Makes the checksum right again, as somebody who edits a slot would.
    private func refinished(_ bytes: [UInt8]) throws -> [UInt8] {
        var bytes = bytes
        bytes.replaceSubrange(4064..., with: try Digest.sha256([UInt8](bytes[..<4064])))
        return bytes
    }

    /// A device that gives its secret whatever it is shown: what the host changes must be noticed without it.
    private final class CarelessSealer: KeySealer {
        private let secret = Monitor<SecretBytes?>(nil)

        func seal(_ secret: SecretBytes) throws(KeySealerError) -> [UInt8] {
            self.secret.withLock { $0 = secret }
            return [UInt8](repeating: 0xA5, count: 200)
        }

        func unseal(_ sealed: [UInt8]) throws(KeySealerError) -> SecretBytes {
            guard let secret = secret.withLock({ $0 }) else { throw .foreign("never sealed") }
            return secret
        }
    }

    @Test func sealedBytesAreBound() throws {
        let sealer = Credential.sealer(CarelessSealer())
        let bytes = try wrapped(sealer)
        #expect(bytes[12] == 3 && bytes[140] == 200 && bytes[141] == 0)
        #expect(bytes[142..<342].allSatisfy { $0 == 0xA5 } && bytes[342..<4064].allSatisfy { $0 == 0 })
        for index in 0..<4064 {
            var changed = bytes
            changed[index] ^= 1 << UInt8(index % 8)
            let forged = try refinished(changed)
            do throws(KeySlotError) {
                let slot = try parse(forged)
                #expect(try slot.unwrap(sealer, volume: slot.volume) == nil, "byte \(index)")
            } catch {
                if case .seal = error { Issue.record("byte \(index): \(error)") }
            }
        }
        for count in [0, 1025, 3921, 3922, 3923, 0x7FFF, 0xFFFF] {
            var changed = bytes
            (changed[140], changed[141]) = (UInt8(count & 0xFF), UInt8(count >> 8))
            let forged = try refinished(changed)
            #expect(throws: KeySlotError.unexpected(slot: 0, field: "sealed bytes")) { try parse(forged) }
        }
        // Only a slot of the kind has any.
        var other = try wrapped(keyFile)
        other[140] = 1
        let forged = try refinished(other)
        #expect(throws: KeySlotError.unexpected(slot: 0, field: "sealed bytes")) { try parse(forged) }
    }

    @Test func aSealersRefusalIsToldAsSuch() throws {
        let slot = try parse(try wrapped(.sealer(CarelessSealer())))
        #expect(throws: KeySlotError.sealer(slot: 0, .foreign("never sealed"))) {
            try slot.unwrap(.sealer(CarelessSealer()), volume: volume)
        }
        #expect(try slot.unwrap(keyFile, volume: volume) == nil)
    }

    @Test func allKindsOpen() throws {
        for (slot, credential) in [passphrase, keyFile, .sealer(CarelessSealer())].enumerated() {
            let bytes = try wrapped(credential, slot: slot)
            #expect(bytes.count == blockBytes)
            let parsed = try parse(bytes, slot: slot)
            #expect(parsed.number == slot && parsed.volume == volume && parsed.takes(credential))
            #expect(try parsed.unwrap(credential, volume: volume) == volumeKey)
        }
    }

    @Test func otherCredentialsDoNot() throws {
        let slot = try parse(try wrapped(passphrase))
        #expect(
            try slot.unwrap(.passphrase(try secret([UInt8]("Correct horse battery staple".utf8))), volume: volume)
                == nil)
        #expect(try slot.unwrap(keyFile, volume: volume) == nil)
        let fileSlot = try parse(try wrapped(keyFile))
        #expect(try fileSlot.unwrap(.keyFile(try .random(byteCount: 32)), volume: volume) == nil)
        #expect(try fileSlot.unwrap(passphrase, volume: volume) == nil)
    }

    @Test func emptySlotsOpenForNobody() throws {
        let slot = try parse(try KeySlot.empty(slot: 3, volume: volume), slot: 3)
        #expect(slot.kind == .empty)
        #expect(!slot.takes(passphrase) && !slot.takes(keyFile))
        #expect(try slot.unwrap(passphrase, volume: volume) == nil)
    }

    @Test func everyWriteIsFresh() throws {
        let first = try wrapped(keyFile), second = try wrapped(keyFile)
        #expect(first[48..<80] != second[48..<80], "salt")
        #expect(first[80..<92] != second[80..<92], "nonce")
        #expect(first[92..<140] != second[92..<140], "wrapped key and tag")
    }

    /// Each flip of each bit is damage, to everybody, without a credential.
    @Test func everyFlippedByteIsDamage() throws {
        let bytes = try wrapped(keyFile)
        for index in bytes.indices {
            var changed = bytes
            changed[index] ^= 1 << UInt8(index % 8)
            #expect(throws: KeySlotError.damaged(slot: 0)) { try parse(changed) }
        }
        #expect(throws: KeySlotError.damaged(slot: 0)) { try parse([UInt8](repeating: 0, count: blockBytes)) }
        #expect(throws: KeySlotError.damaged(slot: 0)) { try parse([UInt8](bytes.dropLast())) }
        #expect(throws: KeySlotError.damaged(slot: 0)) { try parse([]) }
    }

    /// Each flip with the checksum made right again: refused at the parse or the key does not come out (I14).
    @Test func everyForgedByteIsRefused() throws {
        let bytes = try wrapped(keyFile)
        for index in 0..<4064 {
            for bit in [UInt8(1), 0x80] {
                var changed = bytes
                changed[index] ^= bit
                let forged = try refinished(changed)
                do throws(KeySlotError) {
                    let slot = try parse(forged)
                    let key = try slot.unwrap(keyFile, volume: slot.volume)
                    #expect(key == nil, "byte \(index)")
                } catch {
                    if case .seal = error { Issue.record("byte \(index): \(error)") }
                }
            }
        }
    }

    @Test func slotsStayWhereTheyBelong() throws {
        let bytes = try wrapped(keyFile, slot: 1)
        #expect(throws: KeySlotError.misplaced(slot: 2, found: 1)) { try parse(bytes, slot: 2) }
        let other = try VolumeIdentifier.random()
        let slot = try parse(bytes, slot: 1)
        #expect(throws: KeySlotError.anotherVolume(slot: 1, found: volume)) {
            try slot.unwrap(keyFile, volume: other)
        }
    }

    @Test func newerVersionsAreTold() throws {
        var bytes = try wrapped(keyFile)
        bytes[8] = 2
        let newer = try refinished(bytes)
        #expect(throws: KeySlotError.unsupportedVersion(slot: 0, found: 2)) { try parse(newer) }
    }

    @Test func hostileCostsAreRefusedBeforeTheyAreSpent() throws {
        var bytes = try wrapped(passphrase)
        bytes[13] = 20
        bytes[14] = 32
        let memory = try parse(try refinished(bytes))
        #expect(throws: KeySlotError.tooCostly(slot: 0, ScryptCost(logN: 20, r: 32))) {
            try memory.unwrap(passphrase, volume: volume)
        }
        (bytes[13], bytes[14], bytes[15]) = (19, 8, 16)
        let work = try parse(try refinished(bytes))
        #expect(throws: KeySlotError.tooCostly(slot: 0, ScryptCost(logN: 19, r: 8, p: 16))) {
            try work.unwrap(passphrase, volume: volume)
        }
        for logN in [UInt8(0), 9, 21, 255] {
            bytes[13] = logN
            let forged = try refinished(bytes)
            #expect(throws: KeySlotError.unexpected(slot: 0, field: "scrypt cost")) { try parse(forged) }
        }
    }

    @Test func unsuitableKeysAreRefused() throws {
        #expect(throws: SealError.self) { try wrapped(.keyFile(try .random(byteCount: 31))) }
        #expect(throws: SealError.self) {
            try KeySlot.wrap(
                volumeKey: try .random(byteCount: 16), for: keyFile, slot: 0, volume: volume, scrypt: .fast)
        }
        #expect(throws: SealError.self) {
            try KeySlot.wrap(
                volumeKey: volumeKey, for: passphrase, slot: 0, volume: volume, scrypt: ScryptCost(logN: 4))
        }
    }

    @Test func wrappedKeysNeedKeyAndAssociatedData() throws {
        let key = try SecretBytes.random(byteCount: 32)
        let stored = try [1, 2, 3].withRawBytes { try WrappedKey.wrap(volumeKey, under: key, associatedData: $0) }
        #expect(stored.count == 32 + WrappedKey.overheadBytes)
        func unwrap(_ stored: [UInt8], _ key: SecretBytes, _ data: [UInt8]) throws -> SecretBytes? {
            try stored.withRawBytes { stored in
                try data.withRawBytes { try WrappedKey.unwrap(stored, under: key, associatedData: $0) }
            }
        }
        #expect(try unwrap(stored, key, [1, 2, 3]) == volumeKey)
        #expect(try unwrap(stored, key, [1, 2, 4]) == nil)
        #expect(try unwrap(stored, try .random(byteCount: 32), [1, 2, 3]) == nil)
        for count in 0..<stored.count { #expect(try unwrap([UInt8](stored[..<count]), key, [1, 2, 3]) == nil) }
    }
}
