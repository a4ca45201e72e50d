import CommandSupport
import Foundation
import Glibc
import Testing

/// Every kind of bad input has a message and an exit status of its own.
@Suite struct BadInputTests {
    /// Expects `run` to have failed as `status`, saying all of `words`.
    private func expect(
        _ run: ProgramRun, _ status: CommandStatus, _ words: String...,
        at location: SourceLocation = #_sourceLocation
    ) {
        #expect(run.status == status.rawValue, "\(run.text)", sourceLocation: location)
        #expect(run.output.isEmpty, sourceLocation: location)
        for word in words + ["[\(status.name), exit status \(status.rawValue)]"] {
            #expect(run.errors.contains(word), "\(run.errors)", sourceLocation: location)
        }
    }

    // Keys.

    @Test func aWrongPassphraseIsToldFromADamagedSlot() throws {
        try inTemporaryFolder { folder in
            let volume = try VolumeFile(in: folder, .passphrase)
            let right = try casemate("info", volume.path, "--passphrase-file", volume.passphrase)
            #expect(right.status == 0, "\(right.text)")
            expect(
                try casemate("info", volume.path, "--passphrase-file", "-", input: "wrong\n"), .wrongCredential,
                volume.path, "Try again")
            try volume.flipBit(at: VolumeFile.offset(keySlot: 0) + 100)
            expect(
                try casemate("info", volume.path, "--passphrase-file", volume.passphrase), .keySlotDamaged, "slot 0"
            )
        }
    }

    @Test func aWrongKeyFileIsRefused() throws {
        try inTemporaryFolder { folder in
            let volume = try VolumeFile(in: folder)
            try volume.patchKey()
            expect(try volume.run("info"), .wrongCredential)
        }
    }

    @Test func theOtherKindOfKeyIsNamed() throws {
        try inTemporaryFolder { folder in
            let volume = try VolumeFile(in: folder)
            expect(
                try casemate("info", volume.path, "--passphrase-file", volume.passphrase), .noKeySlot, "--key-file")
        }
    }

    @Test func keyFilesAreChecked() throws {
        try inTemporaryFolder { folder in
            let volume = try VolumeFile(in: folder)
            expect(
                try casemate("info", volume.path, "--key-file", volume.passphrase), .credentialUnusable, "32 bytes")
            expect(
                try casemate("info", volume.path, "--key-file", "/nonexistent"), .credentialUnusable, "/nonexistent"
            )
            expect(
                try casemate("info", volume.path, "--passphrase-file", "-"), .credentialUnusable, "empty")
        }
    }

    // What the bytes are.

    @Test func oneDamagedSuperblockIsReportedAndGoesOn() throws {
        for copy in 0...1 {
            try inTemporaryFolder { folder in
                let volume = try VolumeFile(in: folder)
                try volume.flipBit(at: VolumeFile.offset(superblock: copy) + 70)
                let info = try volume.run("info")
                #expect(info.status == 0, "\(info.text)")
                #expect(info.text.contains("superblock"), "\(info.text)")
                let check = try volume.run("fsck")
                #expect(check.status == FsckStatus.errorsLeft.rawValue, "\(check.text)")
                #expect(check.output.contains("copy \(copy)"), "\(check.text)")
            }
        }
    }

    @Test func twoDamagedSuperblocksAreAnError() throws {
        try inTemporaryFolder { folder in
            let volume = try VolumeFile(in: folder)
            for copy in 0...1 { try volume.flipBit(at: VolumeFile.offset(superblock: copy) + 70) }
            expect(try volume.run("info"), .superblocksDamaged, volume.path)
        }
    }

    @Test func otherFilesAreNoVolumes() throws {
        try inTemporaryFolder { folder in
            let volume = try VolumeFile(in: folder)
            let other = folder.appendingPathComponent("other")
            try Data((0..<300_000).map { UInt8(truncatingIfNeeded: $0 &* 7) }).write(to: other)
            expect(try casemate("info", other.path, "--key-file", volume.key), .notAVolume, other.path)
            try Data("short".utf8).write(to: other)
            expect(try casemate("info", other.path, "--key-file", volume.key), .notAVolume, other.path)
            try Data().write(to: other)
            expect(try casemate("info", other.path, "--key-file", volume.key), .emptyFile, other.path)
            expect(try casemate("info", folder.path, "--key-file", volume.key), .notMounted, folder.path)
            let missing = folder.appendingPathComponent("missing").path
            expect(try casemate("info", missing, "--key-file", volume.key), .volumeMissing, missing)
            #expect(!FileManager.default.fileExists(atPath: missing))
            expect(try casemate("info", "/dev/null", "--key-file", volume.key), .notAFile, "/dev/null")
        }
    }

    @Test func newerVersionsAndFeaturesAreRefused() throws {
        try inTemporaryFolder { folder in
            let volume = try VolumeFile(in: folder)
            let image = try Data(contentsOf: URL(fileURLWithPath: volume.path))
            for copy in 0...1 { try volume.forgeSuperblock(copy) { $0[8] = 9 } }
            expect(try volume.run("info"), .newerVersion, "version 9", "newer")
            try image.write(to: URL(fileURLWithPath: volume.path))
            for copy in 0...1 { try volume.forgeSuperblock(copy) { $0[32 + 5] = 1 } }
            expect(try volume.run("info"), .unknownFeatures, "0x10000000000")
        }
    }

    @Test func aTruncatedFileIsRefusedAndAGrownOneOpens() throws {
        try inTemporaryFolder { folder in
            let volume = try VolumeFile(in: folder)
            let size = try FileManager.default.attributesOfItem(atPath: volume.path)[.size] as? UInt64 ?? 0
            truncate(volume.path, off_t(size) + 123_456)
            let grown = try volume.run("info")
            #expect(grown.status == 0, "\(grown.text)")
            #expect(grown.output.contains("123456 bytes that are no part of the volume"), "\(grown.text)")
            let check = try volume.run("fsck")
            #expect(check.status == 0, "\(check.text)")
            #expect(check.output.contains("123456 bytes behind the volume's end"), "\(check.text)")
            truncate(volume.path, off_t(size) - 4096)
            expect(try volume.run("info"), .truncated, "\(size - 4096)", "\(size)")
            truncate(volume.path, off_t(VolumeFile.offset(root: 0)))
            expect(try volume.run("info"), .truncated)
        }
    }

    @Test func damagedRootsAreAnErrorOnlyTogether() throws {
        try inTemporaryFolder { folder in
            let volume = try VolumeFile(in: folder)
            try volume.flipBit(at: VolumeFile.offset(root: 0) + 200)
            let one = try volume.run("info")
            #expect(one.status == 0, "\(one.text)")
            try volume.flipBit(at: VolumeFile.offset(root: 1) + 200)
            expect(try volume.run("info"), .metadataDamaged, "root")
        }
    }

    // Circumstances.

    @Test func createOverwritesNothing() throws {
        try inTemporaryFolder { folder in
            let volume = try VolumeFile(in: folder)
            let before = try Data(contentsOf: URL(fileURLWithPath: volume.path))
            expect(
                try casemate("create", volume.path, "--size", "8M", "--key-file", volume.key), .notEmpty,
                volume.path)
            #expect(try Data(contentsOf: URL(fileURLWithPath: volume.path)) == before)
            let other = folder.appendingPathComponent("other").path
            try Data("precious".utf8).write(to: URL(fileURLWithPath: other))
            expect(try casemate("create", other, "--size", "8M", "--key-file", volume.key), .notEmpty, other)
            #expect(try String(contentsOfFile: other, encoding: .utf8) == "precious")
        }
    }

    @Test func aFullDiskIsNamedAndNothingIsLeft() throws {
        try inTemporaryFolder { folder in
            // A private mount namespace with a tiny filesystem of its own; root only, or with user namespaces.
            let script = """
                mount -t tmpfs -o size=256k casemate-test "$1" || exit 99
                head -c 32 /dev/zero > "$1/key" && chmod 600 "$1/key"
                "$2" create "$1/v" --size 64M --key-file "$1/key"
                status=$?
                [ ! -e "$1/v" ] || exit 98
                exit $status
                """
            let flags = geteuid() == 0 ? ["-m"] : ["-Urm"]
            let run = try ProgramRun.run(
                "/usr/bin/unshare", flags + ["sh", "-c", script, "sh", folder.path, ProgramRun.casemate])
            try #require(run.status != 99, "no private mount namespace here: \(run.text)")
            expect(run, .hostFull, "full")
        }
    }

    @Test func aReadOnlyFileOpensOnlyForReading() throws {
        try inTemporaryFolder { folder in
            _ = try VolumeFile(in: folder)
            let mountpoint = folder.appendingPathComponent("mnt").path
            try FileManager.default.createDirectory(atPath: mountpoint, withIntermediateDirectories: false)
            // Root may write what is read-only by mode: a read-only bind mount binds everybody.
            let script = """
                mount --bind "$1" "$1" && mount -o remount,bind,ro "$1" || exit 99
                "$2" mount "$1/v.volume" "$1/mnt" --key-file "$1/key" --foreground
                """
            let flags = geteuid() == 0 ? ["-m"] : ["-Urm"]
            let run = try ProgramRun.run(
                "/usr/bin/unshare", flags + ["sh", "-c", script, "sh", folder.path, ProgramRun.casemate])
            try #require(run.status != 99, "no private mount namespace here: \(run.text)")
            expect(run, .readOnlyHost, "--read-only")
        }
    }

    @Test func usageErrorsHaveTheUsualStatus() throws {
        for arguments in [
            ["create", "/nonexistent/v"], ["create", "v", "--size", "5X"], ["create", "v", "--size", "0"],
            ["mount"],
            ["info", "v", "--anchor", "carrier-pigeon"],
            ["info", "v", "--passphrase-file", "a", "--key-file", "b"],
            ["replay", "v"], ["no-such-command"], ["create", "v", "--size", "1M", "--segment-size", "100K"],
        ] {
            let run = try ProgramRun.run(ProgramRun.casemate, arguments)
            #expect(run.status == CommandStatus.usage.rawValue, "\(arguments): \(run.text)")
        }
        let check = try casemate("fsck")
        #expect(check.status == FsckStatus.usage.rawValue)
    }

    @Test func fsckSaysWhyItCouldNotCheck() throws {
        try inTemporaryFolder { folder in
            let volume = try VolumeFile(in: folder)
            let run = try casemate("fsck", volume.path + "x", "--key-file", volume.key)
            #expect(run.status == FsckStatus.operationalError.rawValue)
            #expect(run.errors.contains("volume-missing"))
        }
    }

    @Test func everyCommandHasHelp() throws {
        let main = try casemate("--help")
        #expect(main.status == 0)
        for name in [
            "create", "mount", "sync", "unmount", "info", "fsck", "replay", "bench", "exit-codes",
        ] {
            #expect(main.output.contains(name))
            let help = try casemate(name, "--help")
            #expect(help.status == 0)
            #expect(help.output.count > 300, "\(name) --help is too short for a newcomer")
        }
        #expect(try casemate("--version").output.hasPrefix("casemate "))
    }
}

extension VolumeFile {
    func patchKey() throws {
        var bytes = try Data(contentsOf: URL(fileURLWithPath: key))
        bytes[31] ^= 1
        try bytes.write(to: URL(fileURLWithPath: key))
    }
}
