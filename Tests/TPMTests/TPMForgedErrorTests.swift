import SecureBlock
import SoftwareTPM
import Testing

@testable import TPM

/// An error is the one answer of a TPM that no session proves.
@Suite(.serialized, .enabled(if: SoftwareTPM.isThere, "swtpm is not installed")) struct TPMForgedErrorTests {
    /// `TPM_RC_NV_UNINITIALIZED` (TPM 2.0 Library, part 2, 6.6.3) instead of any answer: the value that is there, or an
    /// error, and never "nothing was written".
    @Test func whatWasWrittenIsNotTakenForUnwritten() throws {
        let tpm = try SoftwareTPM()
        let between = try TPMInterposer(before: tpm)
        defer { between.end() }
        let anchor = TPMAnchor(index: TPMTesting.index, at: TPMAddress(between.address))
        anchor.use([try SecretBytes.random(byteCount: 32)])
        let value = AnchorValue(volume: try .random(), sequence: SequenceNumber(5), tag: Tag(low: 1, high: 2))
        try anchor.compareAndSwap(expected: nil, new: value)
        between.begin()
        #expect(try anchor.load() == value)
        let count = between.answers.count
        #expect(count > 2)
        for number in 0..<count {
            between.begin { answer, bytes in
                if answer == number { bytes = [0x80, 0x01, 0, 0, 0, 10, 0, 0, 0x01, 0x4A] }
            }
            do throws(AnchorError) {
                #expect(try anchor.load() == value, "answer \(number)")
            } catch {
                // What the answer would have named stays in the TPM.
                try tpm.tool("tpm2_flushcontext", "-t")
                try tpm.tool("tpm2_flushcontext", "-l")
            }
        }
        between.begin()
        #expect(try anchor.load() == value)
    }
}
