import CommandSupport
import Foundation
import Glibc
import SecureBlock
import SimHost
import Testing

/// A second oracle, which knows nothing of the volume's inside: it sees what programs see through a mount, and copies of the
/// volume's file as a host has them at any moment.
///
/// While files are written, the serving process is stopped again and again and the volume's file copied: what is then in the
/// copy is what a host would have kept of a machine that died there. Each copy is mounted as it is, and once more after the
/// host did something to it.
@Suite(.enabled(if: canMount)) struct OutsideOracleTests {
    /// What the host does to a copy.
    enum Deed: CaseIterable { case nothing, flips, zeros, olderBlocks, olderHalf }

    @Test(arguments: [1, 2] as [UInt64]) func programsSeeWhatWasWrittenOrAnError(seed: UInt64) throws {
        try inTemporaryFolder { folder in
            let volume = try VolumeFile(in: folder, size: "16M")
            var moments: [OutsideModel.Moment] = []
            try Mounted.with(volume, ["--anchor", "none"]) { mounted throws in
                let model = OutsideModel(mounted.point.path)
                try model.whileWriting {
                    for number in 0..<4 {
                        try model.awaitAcknowledged(15 * (number + 1))
                        moments.append(try model.moment(mounted.process) { try volume.copy(to: "copy-\(number)") })
                    }
                }
            }
            var random = SimRandom(seed: seed)
            var answers = Answers()
            for (number, moment) in moments.enumerated() {
                for deed in Deed.allCases {
                    let copy = try VolumeFile(copyOf: volume, named: "copy-\(number)")
                    try carryOut(deed, on: copy, older: folder.appendingPathComponent("copy-0"), &random)
                    try see(copy, deed, moment, &answers)
                }
            }
            // Else nothing was done to them, or nobody noticed.
            #expect(answers.errors + answers.refusals > 0 && answers.files > 50, "\(answers)")
        }
    }

    private struct Answers { var files = 0, errors = 0, refusals = 0 }

    private func see(_ volume: VolumeFile, _ deed: Deed, _ moment: OutsideModel.Moment, _ answers: inout Answers)
        throws
    {
        let found: [String: OutsideModel.Found]?
        if deed == .nothing {
            found = try Mounted.with(volume, ["--anchor", "none"]) { OutsideModel.read($0.point.path) }
            let check = try volume.run("fsck", "--read-data", "--anchor", "none")
            #expect(check.status == 0, "\(check.text)")
        } else {
            found = try Mounted.ifAccepted(volume, ["--anchor", "none"]) { OutsideModel.read($0.point.path) }
        }
        guard let found else {
            answers.refusals += 1
            return
        }
        answers.files += found.count
        answers.errors += found.values.count { $0 == .error }
        for violation in deed == .nothing ? moment.differences(found) : moment.inventions(found) {
            Issue.record("\(deed): \(violation)")
        }
    }

    /// Changes the copy's log, never the first megabyte: without key slots or superblocks it would only be refused.
    private func carryOut(_ deed: Deed, on volume: VolumeFile, older: URL, _ random: inout SimRandom) throws {
        let old = try Data(contentsOf: older)
        var bytes = try Data(contentsOf: volume.image)
        let blocks = 256..<min(bytes.count, old.count) / blockBytes
        func range(_ block: Int) -> Range<Int> { block * blockBytes..<(block + 1) * blockBytes }
        switch deed {
        case .nothing: return
        case .flips:
            for _ in 0..<100 {
                bytes[Int.random(in: range(.random(in: blocks, using: &random)), using: &random)] ^= 0x20
            }
        case .zeros:
            for _ in 0..<60 { bytes.resetBytes(in: range(.random(in: blocks, using: &random))) }
        case .olderBlocks:
            for block in blocks where Bool.random(using: &random) {
                bytes.replaceSubrange(range(block), with: old[range(block)])
            }
        case .olderHalf:
            let middle = Int.random(in: blocks, using: &random) * blockBytes
            bytes.replaceSubrange(..<middle, with: old[..<middle])
        }
        try bytes.write(to: volume.image)
    }
}
