import Testing

@testable import SecureBlock

@Suite struct SealPrimitivesTests {
    @Test func sha256OfFIPS180() throws {
        #expect(
            try Digest.sha256([UInt8]("abc".utf8))
                == hex("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"))
        #expect(
            try Digest.sha256([]) == hex("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"))
    }

    /// RFC 4231, test cases 1 and 2, the second in two pieces.
    @Test func hmacOfRFC4231() throws {
        let first = try [UInt8]("Hi There".utf8).withRawBytes {
            try Digest.hmacSHA256(key: try secret([UInt8](repeating: 0x0B, count: 20)), $0)
        }
        #expect(first == hex("b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"))
        let second = try [UInt8]("what do ya want ".utf8).withRawBytes { left in
            try [UInt8]("for nothing?".utf8).withRawBytes { right in
                try Digest.hmacSHA256(key: try secret([UInt8]("Jefe".utf8)), left, right)
            }
        }
        #expect(second == hex("5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"))
    }

    /// RFC 5869, test cases 1 and 3.
    @Test func hkdfOfRFC5869() throws {
        let key = try secret([UInt8](repeating: 0x0B, count: 22))
        let first = try KeyDerivation.hkdf(
            key: key, salt: hex("000102030405060708090a0b0c"), info: hex("f0f1f2f3f4f5f6f7f8f9"), byteCount: 42)
        #expect(
            first.copy
                == hex(
                    "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865"))
        let third = try KeyDerivation.hkdf(key: key, info: [], byteCount: 42)
        #expect(
            third.copy
                == hex(
                    "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8"))
    }

    /// RFC 7914, section 12, the third vector.
    @Test func scryptOfRFC7914() throws {
        let derived = try [UInt8]("SodiumChloride".utf8).withRawBytes {
            try KeyDerivation.scrypt(
                passphrase: try secret([UInt8]("pleaseletmein".utf8)), salt: $0, cost: ScryptCost(logN: 14),
                byteCount: 64)
        }
        #expect(
            derived.copy
                == hex(
                    """
                    7023bdcb3afd7348461c06cd81fd38ebfda8fbba904f8e3ea9b543f6545da1f2
                    d5432955613f0fcf62d49705242a9af9e61e85dc0d651e40dfcf017b45575887
                    """))
    }

    @Test(arguments: [
        ScryptCost(logN: 9), ScryptCost(logN: 21), ScryptCost(logN: 255), ScryptCost(logN: 12, r: 0),
        ScryptCost(logN: 12, r: 33), ScryptCost(logN: 12, p: 0), ScryptCost(logN: 12, p: 17),
    ])
    func scryptRefusesUnsuitableCosts(cost: ScryptCost) throws {
        let passphrase = try secret([1])
        let salt = [UInt8](repeating: 0, count: 32)
        #expect(throws: SealError.self) {
            try salt.withRawBytes { try KeyDerivation.scrypt(passphrase: passphrase, salt: $0, cost: cost) }
        }
    }

    /// The reference implementation's vectors: key 00…0f, input 00…(n-1).
    @Test func sipHashReferenceVectors() {
        let key = (0..<16).map { UInt8($0) }
        let hash = key.withRawBytes { SipHash(key: $0) }
        let expected: [Int: UInt64] = [
            0: 0x726f_db47_dd0e_0e31, 1: 0x74f8_39c5_93dc_67fd, 7: 0xab02_00f5_8b01_d137,
            8: 0x93f5_f579_9a93_2462, 15: 0xa129_ca61_49be_45e5, 63: 0x958a_324c_eb06_4572,
        ]
        for (count, value) in expected {
            #expect(hash.hash((0..<count).map { UInt8($0) }) == value, "\(count) bytes")
        }
    }

    @Test func digestsCompareByContentAndLength() {
        [1, 2, 3].withRawBytes { left in
            [1, 2, 3].withRawBytes { #expect(Digest.areEqual(left, $0)) }
            [1, 2, 4].withRawBytes { #expect(!Digest.areEqual(left, $0)) }
            [1, 2].withRawBytes { #expect(!Digest.areEqual(left, $0)) }
        }
    }

    @Test func nothingIsLikeNothing() throws {
        let none = UnsafeRawBufferPointer(start: nil, count: 0)
        #expect(Digest.areEqual(none, none))
        #expect(([1] as [UInt8]).withRawBytes { !Digest.areEqual($0, none) })
        #expect(try Random.bytes(0) == [])
        try Random.fill(UnsafeMutableRawBufferPointer(start: nil, count: 0))
    }

    /// Where no slot opens, the reason is told that came nearest to opening one.
    @Test func reasonsOfSealersAreInOrder() {
        let reasons: [KeySealerError] = [
            .malformed(""), .foreign(""), .unavailable(""), .conditionsUnmet(""), .secretNeeded, .lockedOut(""),
            .wrongSecret,
        ]
        #expect(reasons.map(\.weight) == Array(0..<reasons.count))
    }
}
