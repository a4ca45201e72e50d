import Foundation
import Testing

@testable import SecureBlock

@Suite struct SealingKeyTests {
    /// McGrew and Viega, "The Galois/Counter Mode of Operation", test cases 14 and 16 (AES-256).
    @Test func galoisCounterModeVectors() throws {
        let zeroKey = try SealingKey(key: try secret([UInt8](repeating: 0, count: 32)))
        let zeroNonce = [UInt8](repeating: 0, count: 12).withRawBytes { Nonce(randomBytes: $0) }
        let (cipher14, tag14) = try seal(zeroKey, [UInt8](repeating: 0, count: 16), zeroNonce, [])
        #expect(cipher14 == hex("cea7403d4d606b6e074ec5d3baf39d18"))
        #expect(tag14.description == "d0d1c8a799996bf0265b98b5d48ab919")

        let key = try SealingKey(
            key: try secret(hex("feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308")))
        let nonce = hex("cafebabefacedbaddecaf888").withRawBytes { Nonce(randomBytes: $0) }
        let plain = hex(
            """
            d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72
            1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39
            """)
        let data = hex("feedfacedeadbeeffeedfacedeadbeefabaddad2")
        let (cipher, tag) = try seal(key, plain, nonce, data)
        #expect(
            cipher
                == hex(
                    """
                    522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa
                    8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662
                    """))
        #expect(tag.description == "76fc6ece0f4e1768cddf8853bb2d551b")
        #expect(try open(key, cipher, nonce, data, tag) == plain)
    }

    /// RFC 8439, section 2.8.2.
    @Test func chaChaPolyVector() throws {
        let key = try SealingKey(key: try secret((0x80..<0xA0).map { UInt8($0) }), suite: .chaCha20Poly1305)
        let nonce = hex("070000004041424344454647").withRawBytes { Nonce(randomBytes: $0) }
        let plain = Array(
            ("Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, "
                + "sunscreen would be it.").utf8)
        let data = hex("50515253c0c1c2c3c4c5c6c7")
        let (cipher, tag) = try seal(key, plain, nonce, data)
        #expect(cipher.starts(with: hex("d31a8d34648e60db7b86afbc53ef7ec2a4aded51296e08fea9e2b5a736ee62d6")))
        #expect(tag.description == "1ae10b594f09e26a7e902ecbd0600691")
        #expect(try open(key, cipher, nonce, data, tag) == plain)
    }

    /// The construction that ``AuthenticatorKey`` documents, from HMAC-SHA-256 itself.
    @Test func authenticatorIsTheDocumentedOne() throws {
        let value = try secret([UInt8](repeating: 3, count: 32))
        let key = try SealingKey(key: value, suite: .integrityOnly)
        let nonce = Nonce(block: PhysicalBlock(7), generation: Generation(3), domain: 1)
        let nonceBytes: [UInt8] = [7, 0, 0, 0, 0, 3, 0, 0, 0, 1, 0, 0], data: [UInt8] = [1, 2, 3]
        let plain = Array("clear for all to see".utf8)
        let (stored, tag) = try seal(key, plain, nonce, data)
        #expect(stored == plain)
        let message = nonceBytes + [3, 0, 0, 0, 0, 0, 0, 0] + data + plain
        let expected = try message.withRawBytes { try Digest.hmacSHA256(key: value, $0) }
        #expect(tag == expected.withUnsafeBytes { Tag(loading: $0) })
        // What moves from associated data to data is not the same message.
        #expect(try open(key, [3] + plain, nonce, [1, 2], tag) == nil)
    }

    @Test func nonceLayout() {
        let nonce = Nonce(block: PhysicalBlock(0x01_0203_0405), generation: Generation(0x0607_0809), domain: 0x0A)
        let bytes = nonce.withBytes { [UInt8](UnsafeBufferPointer(start: $0, count: Nonce.byteCount)) }
        #expect(bytes == [0x05, 0x04, 0x03, 0x02, 0x01, 0x09, 0x08, 0x07, 0x06, 0x0A, 0, 0])
    }

    /// Every bit of ciphertext, tag, associated data and nonce counts, and a failed opening leaves only zeros.
    @Test(arguments: CipherSuite.allCases) func anyChangeIsNoticedAndWiped(suite: CipherSuite) throws {
        let key = try SealingKey(key: try .random(byteCount: 32), suite: suite)
        let nonce = Nonce(block: PhysicalBlock(7), generation: Generation(3), domain: 1)
        let plain = [UInt8](repeating: 0x5A, count: 64), data = [UInt8](repeating: 9, count: 20)
        let (cipher, tag) = try seal(key, plain, nonce, data)
        #expect(try open(key, cipher, nonce, data, tag) == plain)

        var refused = 0
        for bit in 0..<cipher.count * 8 {
            var changed = cipher
            changed[bit / 8] ^= 1 << UInt8(bit % 8)
            if try open(key, changed, nonce, data, tag) == nil { refused += 1 }
        }
        for bit in 0..<data.count * 8 {
            var changed = data
            changed[bit / 8] ^= 1 << UInt8(bit % 8)
            if try open(key, cipher, nonce, changed, tag) == nil { refused += 1 }
        }
        for bit in 0..<64 {
            let flip = UInt64(1) << UInt64(bit)
            if try open(key, cipher, nonce, data, Tag(low: tag.low ^ flip, high: tag.high)) == nil { refused += 1 }
            if try open(key, cipher, nonce, data, Tag(low: tag.low, high: tag.high ^ flip)) == nil { refused += 1 }
        }
        let others = [
            Nonce(block: PhysicalBlock(8), generation: Generation(3), domain: 1),
            Nonce(block: PhysicalBlock(7), generation: Generation(4), domain: 1),
            Nonce(block: PhysicalBlock(7), generation: Generation(3), domain: 2),
        ]
        for other in others where try open(key, cipher, other, data, tag) == nil { refused += 1 }
        let expected = cipher.count * 8 + data.count * 8 + 128 + others.count
        #expect(refused == expected)
    }

    @Test(arguments: CipherSuite.allCases) func sealsInPlace(suite: CipherSuite) throws {
        let key = try SealingKey(key: try .random(byteCount: 32), suite: suite)
        let nonce = Nonce(block: PhysicalBlock(1), generation: Generation(1), domain: 0)
        let plain = (0..<blockBytes).map { UInt8(truncatingIfNeeded: $0) }
        let buffer = AlignedBuffer(byteCount: blockBytes)
        buffer.bytes.copyBytes(from: plain)
        let nothing = UnsafeRawBufferPointer(start: nil, count: 0)
        let tag = try key.seal(
            UnsafeRawBufferPointer(buffer.bytes), into: buffer.bytes.baseAddress!, nonce: nonce,
            associatedData: nothing)
        #expect([UInt8](buffer.bytes).elementsEqual(plain) == !suite.isConfidential)
        #expect(
            try key.open(
                UnsafeRawBufferPointer(buffer.bytes), into: buffer.bytes.baseAddress!, nonce: nonce,
                associatedData: nothing, tag: tag))
        #expect([UInt8](buffer.bytes) == plain)
    }

    /// More threads than the pool keeps contexts for.
    @Test(arguments: CipherSuite.allCases) func manyThreadsShareAKey(suite: CipherSuite) async throws {
        let key = try SealingKey(key: try .random(byteCount: 32), suite: suite)
        let failures = try await withThrowingTaskGroup(of: Int.self) { group in
            for task in 0..<64 {
                group.addTask {
                    var failures = 0
                    for round in 0..<50 {
                        let nonce = Nonce(
                            block: PhysicalBlock(UInt64(task)), generation: Generation(UInt32(round)), domain: 0)
                        let plain = [UInt8](repeating: UInt8(task), count: 512)
                        let (cipher, tag) = try seal(key, plain, nonce, [1])
                        if try open(key, cipher, nonce, [1], tag) != plain { failures += 1 }
                    }
                    return failures
                }
            }
            return try await group.reduce(0, +)
        }
        #expect(failures == 0)
    }

    /// A forked child has neither keys nor the use of them; the parent goes on.
    @Test(arguments: CipherSuite.allCases) func keysEndAtAFork(suite: CipherSuite) throws {
        let value = try SecretBytes.random(byteCount: 32)
        let key = try SealingKey(key: value, suite: suite)
        let nonce = Nonce(block: PhysicalBlock(1), generation: Generation(1), domain: 1)
        let plain = AlignedBuffer(byteCount: 64), cipher = AlignedBuffer(byteCount: 64)
        let nothing = UnsafeRawBufferPointer(start: nil, count: 0)
        let tag = try key.seal(
            UnsafeRawBufferPointer(plain.bytes), into: cipher.bytes.baseAddress!, nonce: nonce,
            associatedData: nothing)
        // Swift hides fork(2): a child may do little. This one only looks and exits.
        typealias Fork = @convention(c) () -> pid_t
        let fork = unsafeBitCast(try #require(dlsym(nil, "fork")), to: Fork.self)
        let child = fork()
        if child == 0 {
            var result: Int32 = 0
            if value.withUnsafeBytes({ $0.contains { $0 != 0 } }) { result |= 1 }
            do throws(SealError) {
                _ = try key.seal(
                    UnsafeRawBufferPointer(plain.bytes), into: cipher.bytes.baseAddress!, nonce: nonce,
                    associatedData: nothing)
                result |= 2
            } catch {
                if error != .forked { result |= 4 }
            }
            if CipherContextRegistry.shared.holdsKey { result |= 8 }
            _exit(result)
        }
        var status: Int32 = 0
        #expect(waitpid(child, &status, 0) == child)
        #expect(status == 0, "exit status of the child, times 256")
        #expect(CipherContextRegistry.shared.holdsKey)
        #expect(
            try key.open(
                UnsafeRawBufferPointer(cipher.bytes), into: plain.bytes.baseAddress!, nonce: nonce,
                associatedData: nothing, tag: tag))
    }

    @Test func secretsDoNotPrint() throws {
        let value = try secret([UInt8]("correct horse".utf8))
        for text in [String(describing: value), String(reflecting: value), "\(value)"] {
            #expect(text == "SecretBytes(13 bytes)")
        }
        var dumped = ""
        dump(value, to: &dumped)
        #expect(!dumped.contains("0x") && !dumped.contains("base"))
    }

    @Test func secretsCompareByContent() throws {
        #expect(try secret([1, 2, 3]) == secret([1, 2, 3]))
        #expect(try secret([1, 2, 3]) != secret([1, 2, 4]))
        #expect(try secret([1, 2, 3]) != secret([1, 2]))
        #expect(try SecretBytes.random(byteCount: 32) != SecretBytes.random(byteCount: 32))
    }

    @Test func aFailedFillPassesItsErrorOn() {
        #expect(throws: SealError.randomUnavailable) {
            try SecretBytes(byteCount: 32) { _ throws(SealError) in throw .randomUnavailable }
        }
    }
}

private func seal(
    _ key: SealingKey, _ plain: [UInt8], _ nonce: Nonce, _ data: [UInt8]
) throws -> (cipher: [UInt8], tag: Tag) {
    var cipher = [UInt8](repeating: 0, count: plain.count)
    let tag = try plain.withRawBytes { plain in
        try data.withRawBytes { data in
            try cipher.withMutableRawBytes {
                try key.seal(plain, into: $0.baseAddress!, nonce: nonce, associatedData: data)
            }
        }
    }
    return (cipher, tag)
}

/// The plaintext, or `nil` if the tag did not match and the output was wiped.
private func open(
    _ key: SealingKey, _ cipher: [UInt8], _ nonce: Nonce, _ data: [UInt8], _ tag: Tag
) throws -> [UInt8]? {
    var plain = [UInt8](repeating: 0xEE, count: cipher.count)
    let isAuthentic = try cipher.withRawBytes { cipher in
        try data.withRawBytes { data in
            try plain.withMutableRawBytes {
                try key.open(cipher, into: $0.baseAddress!, nonce: nonce, associatedData: data, tag: tag)
            }
        }
    }
    if isAuthentic { return plain }
    return plain.allSatisfy { $0 == 0 } ? nil : plain
}
