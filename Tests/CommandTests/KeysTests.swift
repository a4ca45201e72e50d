import Foundation
import Testing

/// `casemate keys`, through the built program.
@Suite struct KeysTests {
    private func keys(_ arguments: String...) throws -> ProgramRun {
        try ProgramRun.run(ProgramRun.casemate, ["keys"] + arguments)
    }

    @Test func slotsAreAddedListedChangedAndRemoved() throws {
        try inTemporaryFolder { folder in
            let volume = try VolumeFile(in: folder)
            let second = try volume.secondKey()
            let refused = try keys("remove", volume.path, "--slot", "0", "--key-file", volume.key)
            #expect(refused.status == 25, "\(refused.text)")
            let added = try keys("add", volume.path, "--key-file", volume.key, "--new-key-file", second)
            #expect(added.status == 0, "\(added.text)")
            let listed = try keys("list", volume.path, "--key-file", second)
            #expect(listed.status == 0 && listed.text.contains("1  key file  (used now)"), "\(listed.text)")
            let removed = try keys("remove", volume.path, "--slot", "0", "--key-file", second)
            #expect(removed.status == 0, "\(removed.text)")
            #expect(try keys("list", volume.path, "--key-file", volume.key).status == 20)
            let changed = try keys("change", volume.path, "--key-file", second, "--new-key-file", volume.key)
            #expect(changed.status == 0, "\(changed.text)")
            #expect(try keys("list", volume.path, "--key-file", second).status == 20)
            #expect(try volume.run("fsck", "--read-data").status == 0)
        }
    }

    @Test func aNewKeyNeedsAllSecretsOrDropsTheirSlots() throws {
        try inTemporaryFolder { folder in
            let volume = try VolumeFile(in: folder)
            let second = try volume.secondKey()
            #expect(try keys("add", volume.path, "--key-file", volume.key, "--new-key-file", second).status == 0)
            let refused = try keys("rotate", volume.path, "--key-file", volume.key)
            #expect(refused.status == 25 && refused.text.contains("--drop-others"), "\(refused.text)")
            let both = try keys("rotate", volume.path, "--key-file", volume.key, "--also-key-file", second)
            #expect(
                both.status == 0 && both.output.contains("everything is sealed under the new key"), "\(both.text)")
            let alone = try keys("rotate", volume.path, "--key-file", second, "--drop-others")
            #expect(alone.status == 0, "\(alone.text)")
            #expect(try keys("list", volume.path, "--key-file", volume.key).status == 20)
            let check = try ProgramRun.run(
                ProgramRun.casemate, ["fsck", volume.path, "--read-data", "--key-file", second])
            #expect(check.status == 0, "\(check.text)")
        }
    }
}
