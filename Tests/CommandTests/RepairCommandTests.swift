import Foundation
import Glibc
import Testing

/// `fsck --repair` and `fsck --salvage` as a person runs them.
@Suite struct RepairCommandTests {
    @Test func repairSaysWhatItDoesAndIsCleanAfterwards() throws {
        try inTemporaryFolder { folder in
            let volume = try VolumeFile(in: folder)
            let sound = try volume.run("fsck", "--repair")
            #expect(sound.status == 0 && sound.output.contains("nothing to repair"), "\(sound.text)")
            try volume.flipBit(at: VolumeFile.offset(superblock: 1) + 40)
            try volume.flipBit(at: VolumeFile.offset(root: 0) + 100)
            try volume.flipBit(at: VolumeFile.offset(keySlot: 5) + 9)
            let run = try volume.run("fsck", "--repair")
            #expect(run.status == 1, "\(run.text)")
            for words in ["superblock copy 1", "root slot 0", "key slot 5"] {
                #expect(run.errors.contains("repair: \(words)") && run.output.contains(words), "\(run.text)")
            }
            let after = try volume.run("fsck")
            #expect(after.status == 0 && after.output.contains("no errors"), "\(after.text)")
        }
    }

    @Test func salvageMakesANewVolumeAndOverwritesNothing() throws {
        try inTemporaryFolder { folder in
            let volume = try VolumeFile(in: folder)
            for slot in 0..<2 {
                try volume.flipBit(at: VolumeFile.offset(root: slot) + 100)
                try volume.flipBit(at: VolumeFile.offset(superblock: slot) + 40)
            }
            let refused = try volume.run("fsck", "--repair")
            #expect(refused.status == 8, "\(refused.text)")
            let output = folder.appendingPathComponent("saved.volume").path
            let run = try volume.run("fsck", "--salvage", output)
            #expect(run.status == 1, "\(run.text)")
            #expect(run.output.contains("nothing was lost") && run.output.contains("NOT KNOWN"), "\(run.text)")
            let check = try casemate("fsck", output, "--key-file", volume.key)
            #expect(check.status == 0, "\(check.text)")
            let again = try volume.run("fsck", "--salvage", output)
            #expect(again.status == 8 && again.errors.contains("nothing is overwritten"), "\(again.text)")
            #expect(!FileManager.default.fileExists(atPath: output + ".partial"))
        }
    }

    /// What a block took with it is named by the file's path and the bytes of it, and all else is there.
    @Test func whatIsLostIsNamedByPathAndBytes() throws {
        try inTemporaryFolder { folder in
            let volume = try VolumeFile(in: folder)
            let bytes = (0..<40_000).map { UInt8(truncatingIfNeeded: $0 &* 7) }
            try volume.withFiles(.readWrite) { files in
                for name in ["hurt", "whole"] { try files.make(name, holding: bytes) }
            }
            let places = try volume.run("info", "--where", "hurt", "--json")
            let offsets = places.output.matches(of: /"hostOffset": *([0-9]+)/).compactMap { UInt64($0.1) }
            try #require(offsets.count == 10, "\(places.text)")
            // The third block of the file, and what an ordinary opening begins with.
            try volume.flipBit(at: offsets[2] + 17)
            for slot in 0..<2 { try volume.flipBit(at: VolumeFile.offset(root: slot) + 100) }
            #expect(try volume.run("fsck").status == 8)
            let output = folder.appendingPathComponent("saved.volume").path
            let run = try volume.run("fsck", "--salvage", output)
            #expect(run.status == 5 && run.output.contains("SOMETHING WAS LOST"), "\(run.text)")
            #expect(run.output.contains(/\/hurt: bytes 8192\.\.<12288/), "\(run.text)")
            #expect(!run.output.contains("/whole"), "\(run.text)")
            try FileManager.default.removeItem(at: volume.image)
            try FileManager.default.moveItem(atPath: output, toPath: volume.path)
            try volume.withFiles(.readOnly) { files in
                let whole = try files.contents(of: "whole", upTo: 50_000)
                #expect(whole == bytes)
                #expect(throws: (any Error).self) { try files.contents(of: "hurt", upTo: 50_000) }
            }
        }
    }

    @Test func bothAtOnceIsUsage() throws {
        try inTemporaryFolder { folder in
            let volume = try VolumeFile(in: folder)
            #expect(try volume.run("fsck", "--repair", "--salvage", "x").status == 16)
        }
    }

    /// Control-C ends the check at once, with the status that fsck(8) has for it.
    @Test func interruptEndsTheCheck() throws {
        try inTemporaryFolder { folder in
            let volume = try VolumeFile(in: folder, .passphrase)
            let process = Process()
            process.executableURL = URL(fileURLWithPath: ProgramRun.casemate)
            process.arguments = ["fsck", volume.path, "--passphrase-file", "-"]
            // It waits for the passphrase for as long as this is open.
            let input = Pipe()
            process.standardInput = input
            process.standardOutput = Pipe()
            process.standardError = Pipe()
            try process.run()
            defer { kill(process.processIdentifier, SIGKILL) }
            let status = "/proc/\(process.processIdentifier)/status"
            var isCaught = false
            for _ in 0..<600 where !isCaught {
                let text = (try? String(contentsOfFile: status, encoding: .utf8)) ?? ""
                let caught = text.split(separator: "\n").first { $0.hasPrefix("SigCgt:") }.flatMap {
                    UInt64($0.dropFirst(7).trimmingCharacters(in: .whitespaces), radix: 16)
                }
                isCaught = (caught ?? 0) >> UInt64(SIGINT - 1) & 1 == 1
                if !isCaught { usleep(50_000) }
            }
            #expect(isCaught)
            kill(process.processIdentifier, SIGINT)
            process.waitUntilExit()
            #expect(process.terminationReason == .exit && process.terminationStatus == 32)
            try input.fileHandleForWriting.close()
        }
    }
}
