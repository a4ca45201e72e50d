import CommandSupport
import Foundation
import Glibc
import Testing

/// `snapshot` and `fsck` of volumes that are mounted and in use, through the built program.
@Suite(.enabled(if: canMount, "no /dev/fuse")) struct MountedSnapshotTests {
    @Test func snapshotsAreMadeWhileSomebodyWrites() throws {
        try inTemporaryFolder { folder in
            let volume = try VolumeFile(in: folder, size: "32M")
            let before = Data((0..<300_000).map { UInt8(truncatingIfNeeded: $0 &* 31) })
            try Mounted.with(volume) { mounted throws in
                func snapshot(_ verb: String, _ place: String, _ more: String...) throws -> ProgramRun {
                    try ProgramRun.run(ProgramRun.casemate, ["snapshot", verb, place] + more)
                }
                let place = mounted.point.path
                try before.write(to: mounted.file("kept"))
                try before.write(to: mounted.file("deleted"))
                try mounted.withWriter { writer throws in
                    // By directory and by file; nobody is asked for a secret.
                    let made = try snapshot("create", place, "then")
                    #expect(made.status == 0 && made.output.contains("\"then\" keeps commit"), "\(made.text)")
                    try Data(repeating: 1, count: before.count).write(to: mounted.file("kept"))
                    try FileManager.default.removeItem(at: mounted.file("deleted"))
                    try before.write(to: mounted.file("new"))
                    let again = try snapshot("create", volume.path, "then")
                    #expect(again.status == CommandStatus.snapshotRefused.rawValue, "\(again.text)")
                    #expect(try snapshot("create", volume.path, "gone").status == 0)
                    let list = try snapshot("list", place)
                    #expect(list.output.contains("then") && list.output.contains("gone"), "\(list.text)")
                    #expect(try snapshot("delete", place, "gone").status == 0)
                    let missing = try snapshot("delete", place, "gone")
                    #expect(missing.status == CommandStatus.noSuchSnapshot.rawValue, "\(missing.text)")
                    #expect(!(try snapshot("list", volume.path, "--json").output.contains("gone")))
                    #expect(writer.isRunning)
                }
                // As a power failure would: what was said to be made is there.
                try mounted.kill()
            }
            try Mounted.with(volume, ["--snapshot", "then"]) { mounted throws in
                for name in ["kept", "deleted"] { #expect(try Data(contentsOf: mounted.file(name)) == before) }
                #expect(!FileManager.default.fileExists(atPath: mounted.file("new").path))
                let refused = try casemate("snapshot", "create", mounted.point.path, "of a snapshot")
                #expect(refused.status == CommandStatus.readOnlyHost.rawValue, "\(refused.text)")
            }
            let check = try volume.run("fsck", "--read-data")
            #expect(check.status == 0, "\(check.text)")
        }
    }

    /// Beside the volume that goes on, served by the same process, and gone with it.
    @Test func snapshotsAreShownBesideTheirMountedVolume() throws {
        try inTemporaryFolder { folder in
            let volume = try VolumeFile(in: folder, size: "32M")
            let before = Data((0..<300_000).map { UInt8(truncatingIfNeeded: $0 &* 31) })
            let points = try ["one", "two", "three"].map { name in
                let point = folder.appendingPathComponent(name)
                try FileManager.default.createDirectory(at: point, withIntermediateDirectories: true)
                return point
            }
            defer {
                for point in points where Mounted.isMountpoint(point.path) {
                    _ = try? ProgramRun.run("/usr/bin/fusermount3", ["-u", "-z", "-q", point.path])
                }
            }
            func show(_ source: String, _ name: String, _ point: URL, _ more: String...) throws -> ProgramRun {
                try ProgramRun.run(ProgramRun.casemate, ["mount", source, point.path, "--snapshot", name] + more)
            }
            try Mounted.with(volume) { mounted throws in
                try before.write(to: mounted.file("kept"))
                #expect(try casemate("snapshot", "create", mounted.point.path, "then").status == 0)
                try Data(repeating: 1, count: before.count).write(to: mounted.file("kept"))
                try mounted.withWriter { writer throws in
                    // By file and by directory, and the same twice; nobody is asked for a secret.
                    for (source, point) in [(volume.path, points[0]), (mounted.point.path, points[1])] {
                        let run = try show(source, "then", point)
                        #expect(run.status == 0 && run.output.contains("process \(mounted.process)"), "\(run.text)")
                        #expect(try Data(contentsOf: point.appendingPathComponent("kept")) == before)
                    }
                    #expect(throws: (any Error).self) {
                        try before.write(to: points[0].appendingPathComponent("new"))
                    }
                    #expect(writer.isRunning)
                }
                let info = try casemate("info", points[0].path)
                #expect(info.status == 0 && info.output.contains(volume.path), "\(info.text)")
                // The volume's own mount is still the one that is found by its file.
                #expect(try casemate("snapshot", "create", volume.path, "later").status == 0)
                let held = try casemate("snapshot", "delete", volume.path, "then")
                #expect(held.status == CommandStatus.snapshotRefused.rawValue, "\(held.text)")
                for refused in [
                    try show(volume.path, "none", points[2]),
                    try show(volume.path, "then", points[2], "--foreground"),
                    try show(volume.path, "then", points[0]),
                ] { #expect(refused.status != 0, "\(refused.text)") }
                #expect(!Mounted.isMountpoint(points[2].path))
                #expect(try casemate("unmount", points[1].path).status == 0)
                try mounted.unmount()
                #expect(mounted.hasEnded)
                for point in points { #expect(!Mounted.isMountpoint(point.path)) }
            }
            try Mounted.with(volume) { mounted throws in
                #expect(try show(volume.path, "then", points[0]).status == 0)
                #expect(try casemate("unmount", points[0].path).status == 0)
                #expect(try casemate("snapshot", "delete", volume.path, "then").status == 0)
                #expect(try Data(contentsOf: mounted.file("kept")).first == 1)
            }
            let check = try volume.run("fsck", "--read-data")
            #expect(check.status == 0, "\(check.text)")
        }
    }

    @Test func aMountedVolumeIsCheckedWhileSomebodyWrites() throws {
        try inTemporaryFolder { folder in
            let volume = try VolumeFile(in: folder, size: "32M")
            try Mounted.with(volume) { mounted throws in
                let place = mounted.point.path
                try writeDurably(Data(repeating: 7, count: 1 << 20), to: mounted.file("file"))
                try mounted.withWriter { writer throws in
                    for arguments in [[place], [volume.path, "--read-data"]] {
                        let run = try ProgramRun.run(ProgramRun.casemate, ["fsck"] + arguments)
                        #expect(run.status == 0 && run.output.contains("no errors"), "\(run.text)")
                    }
                    #expect(writer.isRunning)
                }
                // Nothing is left of what a check keeps.
                #expect(try casemate("snapshot", "list", place).text.contains("no snapshots"))
                let list = try casemate("info", place, "--where", "file", "--json").output
                let offset = try #require(list.firstMatch(of: /"hostOffset": *([0-9]+)/).flatMap { UInt64($0.1) })
                try volume.flipBit(at: offset + 100)
                let quick = try casemate("fsck", place)
                #expect(quick.status == 0, "\(quick.text)")
                let thorough = try casemate("fsck", place, "--read-data", "--json")
                #expect(thorough.status == 4 && thorough.output.contains("/file"), "\(thorough.text)")
                #expect(try JSONSerialization.jsonObject(with: Data(thorough.output.utf8)) is [String: Any])
                let repair = try casemate("fsck", place, "--repair")
                #expect(repair.status == 8 && repair.errors.contains("mounted"), "\(repair.text)")
                try volume.flipBit(at: offset + 100)
                #expect(try casemate("fsck", place, "--read-data").status == 0)
            }
            try Mounted.with(volume, ["--read-only"]) { mounted throws in
                let run = try casemate("fsck", mounted.point.path, "--read-data")
                #expect(run.status == 0, "\(run.text)")
            }
        }
    }

    /// Of several checks at once one runs; the others are told to wait, by a number of its own.
    @Test func aSecondCheckIsToldToWait() throws {
        try inTemporaryFolder { folder in
            let volume = try VolumeFile(in: folder, size: "64M")
            try Mounted.with(volume) { mounted throws in
                try writeDurably(Data(repeating: 7, count: 40 << 20), to: mounted.file("file"))
                var busy = 0
                for _ in 0..<20 where busy == 0 {
                    let runs = (0..<4).map { _ in Process() }
                    for run in runs {
                        run.executableURL = URL(fileURLWithPath: ProgramRun.casemate)
                        run.arguments = ["fsck", mounted.point.path, "--read-data"]
                        (run.standardOutput, run.standardError) = (FileHandle.nullDevice, Pipe())
                        try run.run()
                    }
                    var clean = 0
                    for run in runs {
                        run.waitUntilExit()
                        let said =
                            (run.standardError as? Pipe)?.fileHandleForReading.readDataToEndOfFile() ?? Data()
                        if run.terminationStatus == 0 { clean += 1 }
                        if run.terminationStatus == 8, String(decoding: said, as: UTF8.self).contains("under way") {
                            busy += 1
                        }
                    }
                    #expect(clean > 0 && clean + busy == runs.count)
                }
                #expect(busy > 0)
            }
        }
    }

    @Test(
        .enabled(
            if: geteuid() == 0 && access("/usr/bin/setpriv", X_OK) == 0,
            "needs root and setpriv, to act as another user"))
    func othersMayNeitherKeepNorCheck() throws {
        try inTemporaryFolder { folder in
            let volume = try VolumeFile(in: folder)
            // So that the other user reaches program and mount.
            chmod(folder.path, 0o755)
            try Mounted.with(volume, ["-o", "allow_other"]) { mounted throws in
                chmod(mounted.point.path, 0o755)
                let place = mounted.point.path
                for command in [
                    ["snapshot", "create", place, "a"], ["snapshot", "list", place], ["fsck", place],
                ] {
                    let run = try ProgramRun.run(
                        "/usr/bin/setpriv",
                        ["--reuid", "4711", "--regid", "4711", "--clear-groups", ProgramRun.casemate] + command)
                    let expected = command[0] == "fsck" ? 8 : CommandStatus.mountpointUnsuitable.rawValue
                    #expect(run.status == expected, "\(run.text)")
                }
                #expect(try casemate("snapshot", "list", place).text.contains("no snapshots"))
            }
        }
    }
}
