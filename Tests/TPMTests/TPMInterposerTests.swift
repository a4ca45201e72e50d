import SecureBlock
import SoftwareTPM
import Testing

@testable import TPM

/// The way to the TPM is the host's too: a bus, a socket, a driver.
@Suite(.serialized, .enabled(if: SoftwareTPM.isThere, "swtpm is not installed")) struct TPMInterposerTests {
    private let tpm: SoftwareTPM
    private let between: TPMInterposer
    private let volume: VolumeIdentifier

    init() throws {
        tpm = try SoftwareTPM()
        between = try TPMInterposer(before: tpm)
        volume = try .random()
    }

    private func value(_ sequence: UInt64) -> AnchorValue {
        AnchorValue(volume: volume, sequence: SequenceNumber(sequence), tag: Tag(low: sequence, high: ~sequence))
    }

    private func anchor(_ keys: [SecretBytes]) -> TPMAnchor {
        let anchor = TPMAnchor(index: TPMTesting.index, at: TPMAddress(between.address))
        anchor.use(keys)
        return anchor
    }

    private func holds(_ secret: SecretBytes) -> Bool {
        let needle = secret.withUnsafeBytes { [UInt8]($0) }, bytes = between.traffic
        return bytes.indices.contains { bytes[$0...].starts(with: needle) }
    }

    private func flush() throws {
        try tpm.tool("tpm2_flushcontext", "-t")
        try tpm.tool("tpm2_flushcontext", "-l")
    }

    /// Neither the anchor's keys, nor what it holds, nor a slot's secret is there for who listens.
    @Test func whoListensLearnsNoSecret() throws {
        let keys = try (0..<2).map { _ in try SecretBytes.random(byteCount: 32) }
        between.begin()
        let anchor = anchor([keys[0]])
        try anchor.compareAndSwap(expected: nil, new: value(1))
        anchor.use([keys[1], keys[0]])
        #expect(try anchor.load() == value(1))
        try anchor.settle()
        try anchor.compareAndSwap(expected: value(1), new: value(2))
        let record = try DiskTPMAnchor.bytes(value(2)).withUnsafeBytes { try SecretBytes(copying: $0) }
        #expect(between.answers.count > 20)
        for secret in keys + [record] { #expect(!holds(secret)) }

        between.begin()
        let secret = try SecretBytes.random(byteCount: 32), pin = try TPMTesting.secret(0x37, count: 12)
        let sealer = try #require(TPMSealer(at: TPMAddress(between.address), pin: pin, registers: [7]))
        let sealed = try sealer.seal(secret)
        #expect(try sealer.unseal(sealed) == secret)
        #expect(!holds(secret) && !holds(pin))
        let unique = try sealed[88..<120].withUnsafeBytes { try SecretBytes(copying: $0) }
        #expect(holds(unique), "what is public is seen, so a secret would be")
    }

    /// Any bit of any answer changed: the right value, or an error. Never another value, and never "nothing stored" where
    /// something is.
    @Test func changedAnswersAreNotBelieved() throws {
        let key = try SecretBytes.random(byteCount: 32)
        let anchor = anchor([key])
        try anchor.compareAndSwap(expected: nil, new: value(1))
        between.begin()
        #expect(try anchor.load() == value(1))
        var tries = 0, errors = 0
        for (number, length) in between.answers.enumerated() {
            // The last ones are the session and the read itself: every byte. Of the key before them, some.
            let step = length > 200 ? 29 : 1
            for place in stride(from: 0, to: length, by: step) where !(2..<6).contains(place) {
                between.begin { answer, bytes in
                    if answer == number, place < bytes.count { bytes[place] ^= 1 << UInt8(place % 8) }
                }
                tries += 1
                do throws(AnchorError) {
                    let found = try anchor.load()
                    #expect(found == value(1) || found == nil, "answer \(number), byte \(place)")
                    // Only the answer that there is no such index may say so: a volume that had one misses it.
                    if found == nil { #expect(number == 0, "answer \(number), byte \(place)") }
                } catch {
                    errors += 1
                    // A handle that was changed on the way leaves its object where it was.
                    if place < 14 { try flush() }
                }
            }
        }
        #expect(tries > 300 && errors > tries / 4, "\(tries) answers changed, \(errors) errors")
        between.begin()
        #expect(try anchor.load() == value(1))
    }

    @Test func changedSecretsAreNotBelieved() throws {
        let secret = try SecretBytes.random(byteCount: 32)
        let sealer = try #require(TPMSealer(at: TPMAddress(between.address)))
        let sealed = try sealer.seal(secret)
        between.begin()
        #expect(try sealer.unseal(sealed) == secret)
        let answers = between.answers
        // The session that the secret comes through, and the secret.
        let unsealing = try #require(answers.indices.last { answers[$0] > 70 && answers[$0] < 140 })
        for place in 0..<answers[unsealing] where !(2..<6).contains(place) {
            between.begin { answer, bytes in
                if answer == unsealing, place < bytes.count { bytes[place] ^= 0x10 }
            }
            do throws(KeySealerError) {
                #expect(try sealer.unseal(sealed) == secret, "byte \(place)")
            } catch {
                if place < 14 { try flush() }
            }
        }
    }
}
