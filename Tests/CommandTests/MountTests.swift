import CommandSupport
import Foundation
import Glibc
import Testing

/// The built program with real mounts, from the outside.
@Suite(.enabled(if: canMount, "no /dev/fuse")) struct MountTests {
    private func random(_ count: Int, seed: UInt64) -> Data {
        var state = seed
        return Data(
            (0..<count).map { _ in
                state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
                return UInt8(truncatingIfNeeded: state >> 33)
            })
    }

    @Test func whatIsWrittenIsThereAfterMountingAgain() throws {
        try inTemporaryFolder { folder in
            let volume = try VolumeFile(in: folder)
            let data = random(300_000, seed: 1)
            try Mounted.with(volume) { mounted throws in
                try data.write(to: mounted.file("file"))
                try FileManager.default.createSymbolicLink(
                    atPath: mounted.file("link").path, withDestinationPath: "file")
                #expect(try casemate("sync", mounted.point.path).status == 0)
                try mounted.unmount()
                #expect(mounted.hasEnded, "the daemon outlives unmount")
            }
            try Mounted.with(volume, ["--read-only"]) { mounted throws in
                #expect(try Data(contentsOf: mounted.file("link")) == data)
                #expect(open(mounted.file("new").path, O_CREAT | O_WRONLY, 0o644) == -1 && errno == EROFS)
            }
            let check = try volume.run("fsck", "--read-data")
            #expect(check.status == 0, "\(check.text)")
        }
    }

    @Test func oneVolumeHasOneUser() throws {
        try inTemporaryFolder { folder in
            let volume = try VolumeFile(in: folder)
            let second = folder.appendingPathComponent("second")
            try FileManager.default.createDirectory(at: second, withIntermediateDirectories: false)
            try Mounted.with(volume) { _ in
                let run = try volume.run("mount", second.path)
                #expect(run.status == CommandStatus.inUse.rawValue, "\(run.text)")
                #expect(run.errors.contains("unmount"))
                // The daemon checks what it has open.
                let check = try volume.run("fsck")
                #expect(check.status == 0, "\(check.text)")
            }
        }
    }

    @Test func mountingSaysThatACopyIsDamaged() throws {
        try inTemporaryFolder { folder in
            let volume = try VolumeFile(in: folder)
            try volume.flipBit(at: VolumeFile.offset(superblock: 0) + 70)
            try Mounted.with(volume) { mounted in
                #expect(mounted.errors.contains("warning: superblock copy 0 was damaged"), "\(mounted.errors)")
                #expect(volume.logText.contains("superblock copy 0 was damaged"), "\(volume.logText)")
            }
        }
    }

    @Test func unsuitableMountpointsAreToldApart() throws {
        try inTemporaryFolder { folder in
            let volume = try VolumeFile(in: folder)
            func mount(_ path: String) throws -> ProgramRun { try volume.run("mount", path) }
            func status(_ path: String) throws -> CommandStatus? { CommandStatus(rawValue: try mount(path).status) }
            #expect(try status(folder.appendingPathComponent("missing").path) == .mountpointMissing)
            #expect(try status(volume.key) == .mountpointUnsuitable)
            #expect(try status(folder.path) == .mountpointHoldsVolume)
            let full = folder.appendingPathComponent("full")
            try FileManager.default.createDirectory(at: full, withIntermediateDirectories: false)
            try Data("x".utf8).write(to: full.appendingPathComponent("file"))
            #expect(try status(full.path) == .mountpointNotEmpty)
            try Mounted.with(volume) { mounted throws in
                #expect(try casemate("unmount", folder.path).status == CommandStatus.notMounted.rawValue)
                #expect(try casemate("sync", folder.path).status == CommandStatus.notMounted.rawValue)
                let held = open(mounted.point.path, O_RDONLY)
                #expect(try casemate("unmount", mounted.point.path).status == CommandStatus.mountBusy.rawValue)
                close(held)
                #expect(Glibc.kill(mounted.process, SIGKILL) == 0)
                #expect(mounted.hasEnded)
                let again = try mount(mounted.point.path)
                #expect(again.status == CommandStatus.alreadyMounted.rawValue, "\(again.text)")
            }
        }
    }

    /// What fsync acknowledged is there after SIGKILL at any moment, and the volume is sound.
    @Test(arguments: 1...4) func killedDaemonsLoseNothingThatWasSynced(_ round: Int) throws {
        try inTemporaryFolder { folder in
            let volume = try VolumeFile(in: folder, size: "32M", anchored: round % 2 == 0)
            let anchor = round % 2 == 0 ? ["--anchor", volume.anchor] : ["--anchor", "none"]
            var acknowledged: [String: Data] = [:]
            try Mounted.with(volume, anchor) { mounted throws in
                let killer = DispatchQueue(label: "killer")
                var number: UInt64 = 0
                while number < 100_000 {
                    let name = "file \(number % 200)"
                    let data = random(Int(number * 37 % 20_000), seed: number)
                    acknowledged[name] = nil
                    do { try writeDurably(data, to: mounted.file(name)) } catch { break }
                    acknowledged[name] = data
                    // Counted from the first that is acknowledged: on a busy machine that may take a while.
                    if number == 0 {
                        killer.asyncAfter(deadline: .now() + .milliseconds(150 * round)) {
                            _ = Glibc.kill(mounted.process, SIGKILL)
                        }
                    }
                    number += 1
                }
                killer.sync {}
                #expect(mounted.hasEnded)
                let run = try casemate("unmount", mounted.point.path)
                #expect(run.status == 0, "\(run.text)")
            }
            #expect(!acknowledged.isEmpty)
            let check = try ProgramRun.run(
                ProgramRun.casemate, ["fsck", volume.path, "--read-data"] + volume.credential() + anchor)
            #expect(check.status == 0, "\(check.text)")
            try Mounted.with(volume, anchor) { mounted throws in
                for (name, data) in acknowledged.sorted(by: { $0.key < $1.key }) {
                    let found = try? Data(contentsOf: mounted.file(name))
                    #expect(found == data, "\(name)")
                }
            }
        }
    }

    @Test func anOlderCopyIsRefusedWithBothNumbers() throws {
        try inTemporaryFolder { folder in
            let volume = try VolumeFile(in: folder, anchored: true)
            let anchor = ["--anchor", volume.anchor]
            try volume.copy(to: "older")
            try Mounted.with(volume, anchor) {
                try writeDurably(Data("new".utf8), to: $0.file("file")); try $0.unmount()
            }
            try volume.copy(to: "newer")
            try volume.putBack("older")
            for arguments in [
                ["info", volume.path], ["mount", volume.path, folder.appendingPathComponent("mnt").path],
            ] {
                let run = try ProgramRun.run(ProgramRun.casemate, arguments + volume.credential() + anchor)
                #expect(run.status == CommandStatus.rollback.rawValue, "\(run.text)")
                let numbers = Set(run.errors.matches(of: /commit ([0-9]+)/).map { String($0.1) })
                #expect(numbers.count == 2, "\(run.errors)")
            }
            // Without the anchor it is asked for; the way around it is explicit.
            #expect(try volume.run("info").status == CommandStatus.anchorRequired.rawValue)
            let explicit = try volume.run("info", "--anchor", "none")
            #expect(explicit.status == 0 && explicit.errors.contains("anchor"), "\(explicit.text)")
            try volume.putBack("newer")
            let current = try volume.run("info", "--anchor", volume.anchor)
            #expect(current.status == 0, "\(current.text)")
        }
    }

    @Test func aForkIsRefused() throws {
        try inTemporaryFolder { folder in
            let volume = try VolumeFile(in: folder, anchored: true)
            let anchorFile = folder.appendingPathComponent("anchor")
            let anchor = ["--anchor", volume.anchor]
            try volume.copy(to: "branch")
            let remembered = try Data(contentsOf: anchorFile)
            // One branch with the anchor, another with a copy of it.
            try Mounted.with(volume, anchor) {
                try writeDurably(Data("a".utf8), to: $0.file("a")); try $0.unmount()
            }
            try volume.putBack("branch")
            let advanced = try Data(contentsOf: anchorFile)
            try remembered.write(to: anchorFile)
            try Mounted.with(volume, anchor) { mounted throws in
                for index in 0..<20 { try writeDurably(Data("b".utf8), to: mounted.file("b\(index)")) }
                try mounted.unmount()
            }
            try advanced.write(to: anchorFile)
            let run = try volume.run("info", "--anchor", volume.anchor)
            #expect(
                run.status == CommandStatus.fork.rawValue || run.status == CommandStatus.rollback.rawValue,
                "\(run.text)")
            #expect(run.errors.contains("commit "))
        }
    }

    @Test func anchorsAreChecked() throws {
        try inTemporaryFolder { folder in
            let volume = try VolumeFile(in: folder, anchored: true)
            let anchorFile = folder.appendingPathComponent("anchor")
            let good = try Data(contentsOf: anchorFile)
            func status() throws -> CommandStatus? {
                CommandStatus(rawValue: try volume.run("info", "--anchor", volume.anchor).status)
            }
            #expect(try status() == .success)
            try Data("not an anchor".utf8).write(to: anchorFile)
            #expect(try status() == .anchorUnavailable)
            try FileManager.default.removeItem(at: anchorFile)
            #expect(try status() == .anchorUnavailable)
            let elsewhere = folder.appendingPathComponent("other")
            try FileManager.default.createDirectory(at: elsewhere, withIntermediateDirectories: false)
            let other = try VolumeFile(in: elsewhere, anchored: true)
            try FileManager.default.copyItem(at: elsewhere.appendingPathComponent("anchor"), to: anchorFile)
            #expect(try status() == .anchorOfAnotherVolume)
            #expect(other.path != volume.path)
            try good.write(to: anchorFile)
            #expect(try status() == .success)
        }
    }

    @Test func aFlippedBitIsAnErrorThatNamesTheFile() throws {
        try inTemporaryFolder { folder in
            let volume = try VolumeFile(in: folder)
            let data = random(200_000, seed: 5)
            try Mounted.with(volume) { mounted throws in
                try FileManager.default.createDirectory(
                    at: mounted.file("folder"), withIntermediateDirectories: false)
                try data.write(to: mounted.file("folder/victim"))
                try data.write(to: mounted.file("witness"))
                try mounted.unmount()
            }
            let listing = try volume.run("info", "--where", "folder/victim", "--json")
            #expect(listing.status == 0, "\(listing.text)")
            let offsets = listing.output.matches(of: /"hostOffset": ([0-9]+)/).compactMap { UInt64($0.1) }
            try #require(offsets.count == (200_000 + 4095) / 4096, "\(listing.output)")
            let stored = try Data(contentsOf: volume.image)
            for offset in offsets {
                let block = stored.subdata(in: Int(offset)..<Int(offset) + 4096)
                #expect(data.range(of: block.prefix(16)) == nil, "plaintext at \(offset)")
            }
            try volume.flipBit(at: offsets[offsets.count / 2] + 1000)
            try Mounted.with(volume) { mounted throws in
                #expect(readError(mounted.file("folder/victim")) == EIO)
                #expect(try Data(contentsOf: mounted.file("witness")) == data)
                #expect(volume.logText.contains("victim"), "\(volume.logText)")
            }
            let quick = try volume.run("fsck")
            #expect(quick.status == 0, "\(quick.text)")
            let thorough = try volume.run("fsck", "--read-data")
            #expect(thorough.status == FsckStatus.errorsLeft.rawValue, "\(thorough.text)")
        }
    }

    @Test func thePastCanBeSeenAndNotChanged() throws {
        try inTemporaryFolder { folder in
            let volume = try VolumeFile(in: folder)
            var commits: [UInt64] = []
            for text in ["one", "two", "three"] {
                try Mounted.with(volume) { mounted throws in
                    try writeDurably(Data(text.utf8), to: mounted.file("page"))
                    try mounted.unmount()
                }
                let list = try volume.run("replay", "--list", "--json")
                #expect(list.status == 0, "\(list.text)")
                commits.append(
                    try #require(list.output.matches(of: /"sequence": ([0-9]+)/).compactMap { UInt64($0.1) }.max()))
            }
            for (text, commit) in zip(["one", "two", "three"], commits) {
                try Mounted.with(volume, ["--at", "\(commit)"]) { mounted throws in
                    #expect(try String(contentsOf: mounted.file("page"), encoding: .utf8) == text)
                    #expect(open(mounted.file("page").path, O_WRONLY) == -1 && errno == EROFS)
                }
            }
            let missing = try volume.run("mount", folder.appendingPathComponent("mnt").path, "--at", "999999999")
            #expect(missing.status == CommandStatus.noSuchCommit.rawValue, "\(missing.text)")
        }
    }

    /// Keys and passphrases are in no argument, variable, log or output, and in no memory that a crash would print.
    @Test func secretsStayInside() throws {
        try inTemporaryFolder { folder in
            let volume = try VolumeFile(in: folder, .passphrase)
            let point = folder.appendingPathComponent("mnt")
            try FileManager.default.createDirectory(at: point, withIntermediateDirectories: false)
            let run = try ProgramRun.run(
                ProgramRun.casemate,
                ["mount", volume.path, point.path, "--passphrase-file", "-", "--log", volume.log.path],
                input: VolumeFile.passphraseText + "\n")
            try #require(run.status == 0, "\(run.text)")
            defer { _ = try? casemate("unmount", point.path) }
            let process = try #require(run.output.firstMatch(of: /process ([0-9]+)/)?.1)
            for file in ["cmdline", "environ"] {
                let content = try Data(contentsOf: URL(fileURLWithPath: "/proc/\(process)/\(file)"))
                #expect(content.range(of: Data(VolumeFile.passphraseText.utf8)) == nil, "\(file)")
            }
            let limits = try String(contentsOfFile: "/proc/\(process)/limits", encoding: .utf8)
            let core = limits.split(separator: "\n").first { $0.hasPrefix("Max core file size") }
            #expect(core?.split(separator: " ").contains("0") == true, "\(core ?? "")")
            for text in [run.text, volume.logText] { #expect(!text.contains("lantern")) }
            let wrong = try casemate(
                "info", volume.path, "--passphrase-file", "-", input: "almost " + VolumeFile.passphraseText)
            #expect(!wrong.text.contains("lantern"))
        }
    }

    /// A crash says nothing of memory: no backtrace, no registers.
    @Test(arguments: [SIGSEGV, SIGILL, SIGABRT, SIGTRAP, SIGBUS, SIGFPE]) func crashesAreSilent(_ signal: Int32)
        throws
    {
        try inTemporaryFolder { folder in
            let volume = try VolumeFile(in: folder)
            let point = folder.appendingPathComponent("mnt")
            try FileManager.default.createDirectory(at: point, withIntermediateDirectories: false)
            let process = Process()
            process.executableURL = URL(fileURLWithPath: ProgramRun.casemate)
            process.arguments = ["mount", volume.path, point.path, "--foreground"] + volume.credential()
            process.environment = ProcessInfo.processInfo.environment.merging(["SWIFT_BACKTRACE": "enable=yes"]) {
                $1
            }
            let output = folder.appendingPathComponent("output")
            try Data().write(to: output)
            let handle = try FileHandle(forWritingTo: output)
            process.standardOutput = handle
            process.standardError = handle
            try process.run()
            for _ in 0..<600 where !Mounted.isMountpoint(point.path) && process.isRunning { usleep(50_000) }
            try #require(Mounted.isMountpoint(point.path))
            kill(process.processIdentifier, signal)
            process.waitUntilExit()
            #expect(process.terminationReason == .uncaughtSignal && process.terminationStatus == signal)
            #expect(try casemate("unmount", point.path).status == 0)
            let text = try String(contentsOf: output, encoding: .utf8)
            #expect(!text.contains("crash") && !text.contains("Registers") && text.count < 600, "\(text)")
        }
    }
}
