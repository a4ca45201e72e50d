import CommandSupport
import Foundation
import Glibc
import Testing

/// Commands on mounted volumes, through the built program.
@Suite(.enabled(if: canMount, "no /dev/fuse")) struct ControlTests {
    @Test func infoTellsTheSameOfAMountedVolume() throws {
        try inTemporaryFolder { folder in
            let volume = try VolumeFile(in: folder)
            let before = try volume.run("info")
            func names(_ text: String) -> [Substring] {
                text.split(separator: "\n").dropFirst().map { $0.dropFirst(2).prefix { $0 != " " } }
            }
            try Mounted.with(volume) { mounted throws in
                try Data(repeating: 7, count: 300_000).write(to: mounted.file("file"))
                // By directory and by file; nobody is asked for a secret.
                for place in [mounted.point.path, volume.path] {
                    let run = try casemate("info", place)
                    #expect(run.status == 0, "\(run.text)")
                    #expect(
                        run.output.hasPrefix(volume.image.resolvingSymlinksInPath().path + "\n"), "\(run.output)")
                    #expect(names(run.output) == names(before.output))
                    #expect(run.errors == before.errors)
                    let json = try casemate("info", place, "--json")
                    let object = try JSONSerialization.jsonObject(with: Data(json.output.utf8)) as? [String: Any]
                    #expect(object?["logicalBytes"] as? Int == 8 << 20)
                    let list = try casemate("info", place, "--where", "file", "--json")
                    #expect(list.output.matches(of: /hostOffset/).count == (300_000 + 4095) / 4096, "\(list.text)")
                    #expect(
                        try casemate("info", place, "--where", "missing").status
                            == CommandStatus.fileMissing.rawValue)
                }
                // What was looked up for --where is given back: the file goes when it is removed.
                try FileManager.default.removeItem(at: mounted.file("file"))
                try mounted.unmount()
            }
            let check = try volume.run("fsck")
            #expect(check.status == 0, "\(check.text)")
        }
    }

    @Test func placesWithoutAVolumeAreToldApart() throws {
        try inTemporaryFolder { folder in
            #expect(try casemate("info", folder.path).status == CommandStatus.notMounted.rawValue)
            let volume = try VolumeFile(in: folder)
            try Mounted.with(volume) { mounted throws in
                let below = mounted.file("below")
                try FileManager.default.createDirectory(at: below, withIntermediateDirectories: false)
                #expect(try casemate("info", below.path).status == CommandStatus.notMounted.rawValue)
                #expect(Glibc.kill(mounted.process, SIGKILL) == 0)
                #expect(mounted.hasEnded)
                let dead = try casemate("info", mounted.point.path)
                #expect(dead.status == CommandStatus.alreadyMounted.rawValue, "\(dead.text)")
            }
        }
    }

    @Test func keysChangeWhileMountedAndWritten() throws {
        try inTemporaryFolder { folder in
            let volume = try VolumeFile(in: folder)
            let second = try volume.secondKey()
            try Mounted.with(volume) { mounted throws in
                func keys(_ arguments: String...) throws -> ProgramRun {
                    try ProgramRun.run(ProgramRun.casemate, ["keys"] + arguments)
                }
                let place = mounted.point.path
                try Data("before".utf8).write(to: mounted.file("before"))
                let last = try keys("remove", place, "--slot", "0", "--key-file", volume.key)
                #expect(last.status == CommandStatus.keySlotRefused.rawValue, "\(last.text)")
                // Owning the mount is not enough: a secret that opens the volume is asked for.
                let stranger = try keys("add", place, "--key-file", second, "--new-key-file", second)
                #expect(stranger.status == CommandStatus.wrongCredential.rawValue, "\(stranger.text)")
                let added = try keys("add", place, "--key-file", volume.key, "--new-key-file", second)
                #expect(added.status == 0, "\(added.text)")
                #expect(
                    try keys("list", volume.path).output == "0  key file  (used now)\n1  key file\n"
                        + (2..<8).map { "\($0)  empty\n" }.joined())
                try Data("between".utf8).write(to: mounted.file("between"))
                let changed = try keys(
                    "change", volume.path, "--key-file", volume.key, "--new-passphrase-file", volume.passphrase)
                #expect(changed.status == 0 && changed.output.contains("slot 2"), "\(changed.text)")
                try Data("after".utf8).write(to: mounted.file("after"))
                try mounted.kill()
            }
            #expect(try volume.run("info").status == CommandStatus.wrongCredential.rawValue)
            for credential in [["--key-file", second], volume.credential(.passphrase)] {
                let check = try ProgramRun.run(ProgramRun.casemate, ["fsck", volume.path] + credential)
                #expect(check.status == 0, "\(check.text)")
            }
        }
    }

    /// Somebody writes all the time: the change finds its moment, and nothing of the writing is lost.
    @Test func keysChangeUnderLoad() throws {
        try inTemporaryFolder { folder in
            let volume = try VolumeFile(in: folder, size: "32M")
            try Mounted.with(volume) { mounted throws in
                try mounted.withWriter { writer throws in
                    for _ in 0..<2 {
                        let added = try ProgramRun.run(
                            ProgramRun.casemate,
                            ["keys", "add", mounted.point.path, "--new-key-file", volume.key] + volume.credential())
                        #expect(added.status == 0, "\(added.text)")
                    }
                    #expect(writer.isRunning)
                }
            }
            let check = try volume.run("fsck", "--read-data")
            #expect(check.status == 0, "\(check.text)")
        }
    }

    /// Files from before and after a new key, and one written all the while, outlive a kill.
    @Test func theVolumeKeyChangesWhileMountedAndWritten() throws {
        try inTemporaryFolder { folder in
            let volume = try VolumeFile(in: folder, size: "32M")
            let second = try volume.secondKey()
            let large = Data((0..<(8 << 20)).map { UInt8(truncatingIfNeeded: $0 >> 8) })
            try Mounted.with(volume) { mounted throws in
                try large.write(to: mounted.file("before"))
                let stranger = try casemate("keys", "rotate", mounted.point.path, "--key-file", second)
                #expect(stranger.status == CommandStatus.wrongCredential.rawValue, "\(stranger.text)")
                try mounted.withWriter { writer throws in
                    let rotated = try casemate(
                        "keys", "rotate", mounted.point.path, "--key-file", volume.key, "--also-key-file", second)
                    #expect(rotated.status == 0 && rotated.output.contains("key slot 1, 2"), "\(rotated.text)")
                    #expect(writer.isRunning)
                    try Data("after".utf8).write(to: mounted.file("after"))
                    #expect(try casemate("sync", mounted.point.path).status == 0)
                    try mounted.kill()
                }
            }
            let check = try casemate("fsck", volume.path, "--read-data", "--key-file", second)
            #expect(check.status == 0, "\(check.text)")
            try Mounted.with(volume) { mounted throws in
                #expect(try Data(contentsOf: mounted.file("before")) == large)
                #expect(try Data(contentsOf: mounted.file("after")) == Data("after".utf8))
            }
        }
    }

    @Test func secretsThatChangeAreNowhereToBeSeen() throws {
        try inTemporaryFolder { folder in
            let volume = try VolumeFile(in: folder)
            try Mounted.with(volume) { mounted throws in
                let run = try ProgramRun.run(
                    ProgramRun.casemate,
                    ["keys", "add", mounted.point.path, "--new-passphrase-file", volume.passphrase]
                        + volume.credential())
                #expect(run.status == 0, "\(run.text)")
                for text in [run.text, volume.logText] { #expect(!text.contains("lantern")) }
            }
        }
    }

    @Test func aMountWithoutWritingSaysSo() throws {
        try inTemporaryFolder { folder in
            let volume = try VolumeFile(in: folder)
            try Mounted.with(volume, ["--read-only"]) { mounted throws in
                #expect(try casemate("info", mounted.point.path).status == 0)
                let run = try ProgramRun.run(
                    ProgramRun.casemate,
                    ["keys", "add", mounted.point.path, "--new-passphrase-file", volume.passphrase]
                        + volume.credential())
                #expect(run.status == CommandStatus.readOnlyHost.rawValue, "\(run.text)")
            }
        }
    }
}
