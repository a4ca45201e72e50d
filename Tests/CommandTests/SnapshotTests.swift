import Foundation
import Testing

/// `casemate snapshot`, `history` and `replay --export`, through the built program.
@Suite struct SnapshotTests {
    @Test func snapshotsAreMadeListedAndDeleted() throws {
        try inTemporaryFolder { folder in
            let volume = try VolumeFile(in: folder)
            func snapshot(_ arguments: String...) throws -> ProgramRun {
                try ProgramRun.run(
                    ProgramRun.casemate, ["snapshot"] + arguments + ["--key-file", volume.key])
            }
            let made = try snapshot("create", volume.path, "before the upgrade")
            #expect(made.status == 0, "\(made.text)")
            #expect(try snapshot("create", volume.path, "before the upgrade").status == 61)
            let listed = try snapshot("list", volume.path)
            #expect(listed.status == 0 && listed.text.contains("before the upgrade"), "\(listed.text)")
            #expect(try volume.run("info").output.contains(/snapshots +"before the upgrade"/))
            #expect(try volume.run("fsck").output.contains("1 snapshot"))
            #expect(try volume.run("fsck", "--read-data").status == 0)
            #expect(try snapshot("delete", volume.path, "another").status == 60)
            #expect(try snapshot("delete", volume.path, "before the upgrade").status == 0)
            #expect(try snapshot("list", volume.path).text.contains("no snapshots"))
            #expect(try snapshot("create", volume.path, "a/b").status == 64)
            #expect(try volume.run("fsck", "--read-data").status == 0)
        }
    }

    @Test func historyPolicyIsShownAndChanged() throws {
        try inTemporaryFolder { folder in
            let volume = try VolumeFile(in: folder)
            #expect(try volume.run("history", "--keep", "24h").status == 0)
            #expect(try volume.run("history").text.contains("1d, while there is space"))
            #expect(try volume.run("history", "--keep", "10G", "--strict").status == 0)
            #expect(try volume.run("history").text.contains("10G of log, strictly"))
            #expect(try volume.run("info").output.contains("to be kept: 10G of log, strictly"))
            #expect(try volume.run("history", "--keep", "some").status == 64)
            #expect(try volume.run("history", "--strict").status == 64)
        }
    }

    @Test func exportedCommitIsAPlainImageAndOverwritesNothing() throws {
        try inTemporaryFolder { folder in
            let volume = try VolumeFile(in: folder)
            let image = folder.appendingPathComponent("image").path
            let listed = try volume.run("replay", "--list")
            let last = try #require(
                listed.text.split(separator: "\n").last?.split(separator: " ").first.map(String.init))
            let exported = try volume.run("replay", "--export", last, "--to", image)
            #expect(exported.status == 0, "\(exported.text)")
            let attributes = try FileManager.default.attributesOfItem(atPath: image)
            #expect((attributes[.size] as? Int ?? 0) % 4096 == 0)
            #expect(try volume.run("replay", "--export", last, "--to", image).status == 46)
            #expect(try volume.run("replay", "--export", "999999", "--to", image + "2").status == 17)
            #expect(!FileManager.default.fileExists(atPath: image + "2"))
        }
    }
}
