import FailingCalls
import Testing

@testable import SecureBlock

/// Calls of the crypto library that fail, one after the other, under everything that seals, opens, hashes and derives.
@Suite struct CryptoFailureTests {
    /// Runs `work` with every call failing.
    /// - Returns: how many calls there were.
    @discardableResult
    private func everyFailure(_ name: String, _ work: (_ isFailing: Bool) throws -> Void) throws -> Int {
        var number: UInt64 = 0
        while true {
            casemate_fail_calls(UInt32(CASEMATE_FAILING_CRYPTO), number, 1, 0)
            var failure: SealError?
            do { try work(true) } catch { failure = error as? SealError }
            guard casemate_end_failing() > number else { break }
            switch failure {
            case .crypto, .randomUnavailable: break
            default: Issue.record("\(name), call \(number): \(failure.map { "\($0)" } ?? "no error, or another")")
            }
            number += 1
        }
        try work(false)
        return Int(number)
    }

    private let key = Result { try SecretBytes.random(byteCount: 32) }

    @Test(arguments: CipherSuite.allCases) func sealing(_ suite: CipherSuite) throws {
        let plain = AlignedBuffer(byteCount: blockBytes), cipher = AlignedBuffer(byteCount: blockBytes)
        DeviceTesting.fill(plain.bytes, 5)
        let nonce = Nonce(randomBytes: UnsafeRawBufferPointer(rebasing: plain.bytes[..<Nonce.byteCount]))
        let data = UnsafeRawBufferPointer(rebasing: plain.bytes[..<8])
        let key = try key.get()
        let count = try everyFailure("sealing") { _ in
            _ = try SealingKey(key: key, suite: suite).seal(
                UnsafeRawBufferPointer(plain.bytes), into: cipher.bytes.baseAddress!, nonce: nonce,
                associatedData: data)
        }
        #expect(count > 4)
    }

    /// I15: whatever fails while a block is opened, nothing of it is left.
    @Test(arguments: CipherSuite.allCases) func opening(_ suite: CipherSuite) throws {
        let plain = AlignedBuffer(byteCount: blockBytes), cipher = AlignedBuffer(byteCount: blockBytes)
        DeviceTesting.fill(plain.bytes, 5)
        let nonce = Nonce(randomBytes: UnsafeRawBufferPointer(rebasing: plain.bytes[..<Nonce.byteCount]))
        let data = UnsafeRawBufferPointer(rebasing: plain.bytes[..<8])
        let key = try SealingKey(key: key.get(), suite: suite)
        let tag = try key.seal(
            UnsafeRawBufferPointer(plain.bytes), into: cipher.bytes.baseAddress!, nonce: nonce, associatedData: data
        )
        let opened = AlignedBuffer(byteCount: blockBytes)
        let count = try everyFailure("opening") { isFailing in
            DeviceTesting.fill(opened.bytes, 9)
            do {
                #expect(
                    try key.open(
                        UnsafeRawBufferPointer(cipher.bytes), into: opened.bytes.baseAddress!, nonce: nonce,
                        associatedData: data, tag: tag))
                #expect(opened.isSame(as: plain))
            } catch {
                #expect(isFailing && opened.bytes.allSatisfy { $0 == 0 })
                throw error
            }
        }
        #expect(count > 2)
    }

    @Test func hashing() throws {
        let bytes = [UInt8](repeating: 1, count: blockBytes)
        let key = try key.get()
        try everyFailure("SHA-256") { _ in _ = try Digest.sha256(bytes) }
        try everyFailure("HMAC") { _ in _ = try bytes.withRawBytes { try Digest.hmacSHA256(key: key, $0) } }
        try everyFailure("a node of a tree") { _ in
            _ = try bytes.withRawBytes { try TreeHasher().hash(.block(1), $0) }
        }
    }

    @Test func drawingAndDeriving() throws {
        let key = try key.get()
        try everyFailure("random bytes") { _ in _ = try Random.bytes(16) }
        try everyFailure("a secret") { _ in _ = try SecretBytes.random(byteCount: 32) }
        try everyFailure("HKDF") { _ in _ = try KeyDerivation.hkdf(key: key, info: [1]) }
        #expect(throws: SealError.unsuitable("HKDF output length")) {
            try KeyDerivation.hkdf(key: key, info: [1], byteCount: 255 * 32 + 1)
        }
        let salt = [UInt8](repeating: 2, count: 16)
        try everyFailure("scrypt") { _ in
            _ = try salt.withRawBytes { try KeyDerivation.scrypt(passphrase: key, salt: $0, cost: .fast) }
        }
        try everyFailure("a cost") { _ in
            let cost = try ScryptCost.calibrated(milliseconds: 0)
            #expect(cost == .standard)
        }
    }

    /// A key slot is made, parsed and opened: no failure passes for a damaged slot or a wrong secret.
    @Test(arguments: [true, false]) func keySlots(hasPassphrase: Bool) throws {
        let key = try key.get(), volume = try VolumeIdentifier.random()
        let credential: Credential = hasPassphrase ? .passphrase(key) : .keyFile(key)
        let count = try everyFailure("a key slot") { _ in
            let bytes = try KeySlot.wrap(
                volumeKey: key, for: credential, slot: 1, volume: volume, scrypt: .fast)
            do throws(KeySlotError) {
                let slot = try bytes.withRawBytes { bytes throws(KeySlotError) in try KeySlot.parse(bytes, slot: 1)
                }
                #expect(try slot.unwrap(credential, volume: volume) == key)
            } catch {
                guard case .seal(let cause) = error else { throw error }
                throw cause
            }
        }
        #expect(count > 10)
        try everyFailure("an empty slot") { _ in _ = try KeySlot.empty(slot: 2, volume: volume) }
    }

    @Test func volumeKeys() throws {
        let first = try SecretBytes.random(byteCount: 32), second = try SecretBytes.random(byteCount: 32)
        let volume = try VolumeIdentifier.random()
        try everyFailure("the keys of a volume") { _ in
            let keys = try VolumeKeys(volumeKey: first, volume: volume)
            let older = try keys.sealedOlder(under: second)
            let next = try VolumeKeys(volumeKey: second, volume: volume)
            #expect(try next.adopt(version: 1, older: older))
            #expect(try next.anchorKeys().count == 2)
            #expect(try next.possibleKeys(.zero, .aes256GCM).count == 2)
            #expect(try next.superblockKey(version: 0) != nil && next.superblockKey(version: 7) == nil)
        }
        #expect(throws: SealError.self) {
            try VolumeKeys(volumeKey: SecretBytes.random(byteCount: 16), volume: volume)
        }
        // One that was sealed under another key is not taken over.
        let stray = try VolumeKeys(volumeKey: first, volume: volume).sealedOlder(under: first)
        #expect(try !VolumeKeys(volumeKey: second, volume: volume).adopt(version: 1, older: stray))
    }

    /// An anchor's file that cannot be verified now is not damaged, and keeps what it has.
    @Test func anchorFiles() throws {
        let scratch = try Scratch()
        let path = scratch.file("anchor"), volume = try VolumeIdentifier.random()
        func value(_ sequence: UInt64) -> AnchorValue {
            AnchorValue(volume: volume, sequence: SequenceNumber(sequence), tag: .zero)
        }
        try FileAnchor(path: path).compareAndSwap(expected: nil, new: value(1))
        for number in 0..<8 as Range<UInt64> {
            casemate_fail_calls(UInt32(CASEMATE_FAILING_CRYPTO), number, 1, 0)
            var failure: AnchorError?
            do {
                #expect(try FileAnchor(path: path).load() == value(1))
                try FileAnchor(path: path).compareAndSwap(expected: value(1), new: value(1))
            } catch { failure = error }
            let isReached = casemate_end_failing() > number
            #expect((failure != nil) == isReached)
            if case .unavailable? = failure {} else { #expect(failure == nil, "\(failure as Any)") }
            #expect(try FileAnchor(path: path).load() == value(1))
        }
    }

    /// What belongs to a volume key that is not held has no key.
    @Test func keysThatAreNotHeld() throws {
        let keys = try VolumeKeys(volumeKey: key.get(), volume: VolumeIdentifier.random())
        let held = Epoch(identifier: Tag(low: 1, high: 1)),
            other = Epoch(identifier: Tag(low: 2, high: 2), keyVersion: 7)
        #expect(try keys.epochKey(held, .aes256GCM) != nil && keys.epochKey(other, .aes256GCM) == nil)
        let table = EpochTable([held, .free, other], keys, .aes256GCM)
        #expect(try table.key(0) != nil && table.key(1) == nil && table.key(2) == nil && table.key(3) == nil)
        #expect(table.indices(before: 1) == [0])
        #expect(table.add(Epoch(identifier: Tag(low: 3, high: 3))) == 1)
        for number in 3..<Epoch.maximumCount {
            #expect(table.add(Epoch(identifier: Tag(low: UInt64(number), high: 9))) == UInt32(number))
        }
        #expect(table.add(Epoch(identifier: Tag(low: 4, high: 4))) == nil)
    }

    /// A long write that several threads seal, on one of which the library fails: the device says so and stops, and the
    /// volume opens as it was.
    @Test func sealingOnSeveralThreads() throws {
        let host = MemoryBlockHost()
        let device = try DeviceTesting.made(host, blocks: 1400, segmentBlocks: 256)
        let bytes = AlignedBuffer(byteCount: 1000 * blockBytes)
        DeviceTesting.fill(bytes.bytes, 7)
        casemate_fail_calls(UInt32(CASEMATE_FAILING_CRYPTO), 0, .max, 0)
        var failure: DeviceError?
        do throws(DeviceError) {
            try device.write(LogicalBlock(0), UnsafeRawBufferPointer(bytes.bytes))
        } catch { failure = error }
        let calls = casemate_end_failing()
        guard case .latched? = failure else {
            // The other threads may have been quicker with all of it.
            #expect(failure == nil && calls == 0)
            return
        }
        #expect(throws: DeviceError.self) { try device.commit().wait() }
        let again = try DeviceTesting.open(MemoryBlockHost(contents: host.contents))
        #expect(try DeviceTesting.contents(again).allSatisfy { $0 == 0 })
    }
}
