import SecureBlock
import Testing

@testable import TPM

/// What a key slot keeps for a TPM, as a host may have changed it: told before any TPM is asked.
@Suite struct TPMSealedBytesTests {
    private let sound = DiskSealedKey(
        hasPIN: false, registers: 5, salt: [UInt8](repeating: 1, count: 16),
        parent: [UInt8](repeating: 2, count: 32),
        policy: [UInt8](repeating: 3, count: 32), unique: [UInt8](repeating: 4, count: 32), privateBytes: [5, 6])

    private func isMalformed(_ bytes: [UInt8]) throws -> Bool {
        let nobody = try #require(TPMSealer(at: TPMAddress("swtpm:host=localhost,port=1")))
        do throws(KeySealerError) {
            _ = try nobody.unseal(bytes)
            return false
        } catch {
            if case .malformed = error { return true }
            return false
        }
    }

    @Test func soundBytesAreNot() throws {
        #expect(try DiskSealedKey.parse(sound.bytes) == sound)
        #expect(try !isMalformed(sound.bytes))
    }

    @Test func cutAndPaddedBytesAre() throws {
        for count in 0..<sound.bytes.count { #expect(try isMalformed(Array(sound.bytes[..<count])), "\(count)") }
        #expect(try isMalformed(sound.bytes + [0]))
    }

    /// Version, flags, what is reserved, registers that there are none, and the length.
    @Test(arguments: [0, 1, 2, 3, 7, 120, 121]) func fieldsOutOfRangeAre(offset: Int) throws {
        var bytes = sound.bytes
        bytes[offset] = 0xFF
        #expect(try isMalformed(bytes))
    }
}
