import CommandSupport
import Foundation
import Glibc
import SecureBlock
import Testing

/// Images from the outside: made, looked at, checked, mounted by the built program.
@Suite struct ImageCommandTests {
    /// A tree of a script's making, and an image of it.
    private struct Subject {
        let folder: URL
        let tree: String
        let image: String
        let root: String
        let errors: String

        init(in folder: URL, _ more: String...) throws {
            self.folder = folder
            tree = folder.appendingPathComponent("tree").path
            image = folder.appendingPathComponent("an image").path
            let made = try shell(Subject.script, tree)
            try #require(made.status == 0, "\(made.text)")
            let built = try ProgramRun.run(ProgramRun.casemate, ["image", "build", tree, image] + more)
            try #require(built.status == 0, "\(built.text)")
            root = String(built.output.dropLast())
            errors = built.errors
        }

        private static let script = """
            set -e; mkdir -p "$0/etc" "$0/bin/deep"; cd "$0"
            printf tiny > etc/passwd; seq 1 60000 > etc/numbers; : > empty; chmod 600 empty
            cp etc/numbers bin/program; chmod 4755 bin/program; ln bin/program bin/again; ln -s again bin/sh
            truncate -s 5M sparse; printf end >> sparse; mkfifo pipe; chmod 2775 etc
            setfattr -n user.origin -v here bin/program || :
            setfacl -m u:1001:rw etc/passwd || :
            find . -exec touch -h -d @1600000000.25 {} +
            """

        func run(_ command: String, _ more: String...) throws -> ProgramRun {
            try ProgramRun.run(ProgramRun.casemate, [command, image] + more)
        }

        /// Changes one byte of the image.
        func flip(at offset: UInt64) throws {
            let file = try FileHandle(forUpdating: URL(fileURLWithPath: image))
            defer { try? file.close() }
            try file.seek(toOffset: offset)
            let byte = try #require(try file.read(upToCount: 1)?.first)
            try file.seek(toOffset: offset)
            try file.write(contentsOf: Data([byte ^ 4]))
        }

        /// Where a file's first bytes are in the image.
        func offset(of bytes: String) throws -> UInt64 {
            let data = try Data(contentsOf: URL(fileURLWithPath: image))
            return UInt64(try #require(data.range(of: Data(bytes.utf8))).lowerBound)
        }
    }

    private static func shell(_ script: String, _ arguments: String...) throws -> ProgramRun {
        try ProgramRun.run("/bin/bash", ["-c", script] + arguments)
    }

    private static func mounted<Result>(_ subject: Subject, _ options: [String], _ body: (String) throws -> Result)
        throws
        -> Result
    {
        let point = subject.folder.appendingPathComponent("mnt").path
        try FileManager.default.createDirectory(atPath: point, withIntermediateDirectories: true)
        let log = subject.folder.appendingPathComponent("log").path
        let run = try ProgramRun.run(
            ProgramRun.casemate, ["mount", subject.image, point, "--log", log] + options)
        try #require(run.status == 0, "\(run.text)")
        defer { _ = try? casemate("unmount", point) }
        return try body(point)
    }

    @Test func theRootHashIsAloneOnStandardOutput() throws {
        try inTemporaryFolder { folder in
            let subject = try Subject(in: folder)
            #expect(subject.root.wholeMatch(of: /[0-9a-f]{64}/) != nil, "\(subject.root)")
            #expect(subject.errors.contains("8 files and 4 directories"), "\(subject.errors)")
            let names = try FileManager.default.contentsOfDirectory(atPath: folder.path).sorted()
            #expect(names == ["an image", "tree"], "nothing of the work is left")
        }
    }

    /// Two processes, two copies of the tree that have nothing but their contents in common.
    @Test func theSameTreeMakesTheSameFile() throws {
        try inTemporaryFolder { folder in
            let subject = try Subject(in: folder, "--owner", "root")
            let copy = folder.appendingPathComponent("copy").path,
                other = folder.appendingPathComponent("other").path
            let copied = try Self.shell(
                "cp -a \"$0\" \"$1\" && cp -a --sparse=never \"$0/sparse\" \"$1\"", subject.tree, copy)
            try #require(copied.status == 0, "\(copied.text)")
            let built = try casemate("image", "build", copy + "/", other, "--owner", "0:0")
            #expect(built.output == subject.root + "\n", "\(built.text)")
            #expect(FileManager.default.contentsEqual(atPath: subject.image, andPath: other))
            let late = try ProgramRun.run(
                ProgramRun.casemate, ["image", "build", copy, other + "2", "--owner", "root"],
                environment: ["SOURCE_DATE_EPOCH": "1500000000"])
            #expect(late.status == 0 && late.output != built.output, "\(late.text)")
        }
    }

    /// What `tar(1)` makes of the mount is what it makes of the tree: names, modes, owners, times, links, attributes, lists, contents.
    @Test(.enabled(if: canMount, "no /dev/fuse")) func theMountIsTheTree() throws {
        try inTemporaryFolder { folder in
            let subject = try Subject(in: folder)
            try Self.mounted(subject, ["--root-hash", subject.root]) { point in
                let archive = """
                    tar --sort=name --format=posix --pax-option=delete=atime,delete=ctime --xattrs --acls -C "$0" -c . | sha256sum
                    """
                let (tree, mount) = (try Self.shell(archive, subject.tree), try Self.shell(archive, point))
                #expect(tree.status == 0 && mount.output == tree.output, "\(tree.text)\(mount.text)")
                let same = try Self.shell("test \"$0/bin/again\" -ef \"$0/bin/program\"", point)
                #expect(same.status == 0, "two names, one file")
                #expect(open(point + "/new", O_CREAT | O_WRONLY, 0o644) == -1 && errno == EROFS)
                let info = try casemate("info", point)
                #expect(
                    info.status == 0 && info.output.contains(subject.root + "\n")
                        && info.output.contains("that was given"), "\(info.text)")
                let check = try casemate("fsck", point)
                #expect(check.status == 0 && check.output.contains("no errors"), "\(check.text)")
                let keys = try casemate("keys", "list", point)
                #expect(keys.status == CommandStatus.commandRefused.rawValue, "\(keys.text)")
            }
        }
    }

    @Test func whatIsCheckedIsTold() throws {
        try inTemporaryFolder { folder in
            let subject = try Subject(in: folder)
            let sound = try subject.run("fsck", "--root-hash", subject.root)
            #expect(sound.status == 0 && sound.output.contains("no errors") && !sound.output.contains("unpinned"))
            let unpinned = try subject.run("fsck")
            #expect(unpinned.status == 0 && unpinned.output.contains("no root hash was given"), "\(unpinned.text)")
            let info = try subject.run("info")
            #expect(info.status == 0 && info.output.contains("WITH NONE"), "\(info.text)")
            #expect(info.errors.contains("warning: no root hash was given"))
            let json = try subject.run("info", "--json", "--root-hash", subject.root)
            #expect(
                json.output.contains("\"rootHash\": \"\(subject.root)\"")
                    && json.output.contains("\"isPinned\": true"))

            try subject.flip(at: try subject.offset(of: "1\n2\n3\n4\n") + 5)
            let damaged = try subject.run("fsck", "--root-hash", subject.root)
            #expect(damaged.status == FsckStatus.errorsLeft.rawValue, "\(damaged.text)")
            #expect(
                damaged.output.contains("does not verify [hash]") && damaged.output.contains("/bin/"),
                "\(damaged.text)")
        }
    }

    @Test(.enabled(if: canMount, "no /dev/fuse")) func damageIsAnErrorThatNamesTheFile() throws {
        try inTemporaryFolder { folder in
            let subject = try Subject(in: folder)
            try subject.flip(at: try subject.offset(of: "1\n2\n3\n4\n"))
            try Self.mounted(subject, ["--root-hash", subject.root]) { point throws in
                #expect(readError(URL(fileURLWithPath: point + "/bin/program")) == EIO)
                #expect(try Data(contentsOf: URL(fileURLWithPath: point + "/etc/passwd")) == Data("tiny".utf8))
            }
            let log = try String(contentsOfFile: folder.appendingPathComponent("log").path, encoding: .utf8)
            #expect(log.contains("/bin/again") && log.contains("does not verify"), "\(log)")
        }
    }

    @Test(.enabled(if: canMount, "no /dev/fuse")) func onlyTheRightImageIsMounted() throws {
        try inTemporaryFolder { folder in
            let subject = try Subject(in: folder)
            let point = folder.appendingPathComponent("mnt").path
            try FileManager.default.createDirectory(atPath: point, withIntermediateDirectories: true)
            func status(_ more: String...) throws -> Int32 {
                try ProgramRun.run(ProgramRun.casemate, ["mount", subject.image, point] + more).status
            }
            let wrong = String(repeating: "0", count: 64)
            #expect(try status() == CommandStatus.rootHashRequired.rawValue)
            #expect(try status("--root-hash", wrong) == CommandStatus.wrongRootHash.rawValue)
            #expect(try status("--root-hash", "12") == CommandStatus.usage.rawValue)
            #expect(try status("--root-hash", wrong, "--any-root-hash") == CommandStatus.usage.rawValue)
            #expect(try status("--root-hash", subject.root, "--at", "3") == CommandStatus.usage.rawValue)
            #expect(try status("--root-hash", subject.root, "--key-file", "/k") == CommandStatus.usage.rawValue)
            let any = try Self.mounted(subject, ["--any-root-hash"]) { try casemate("info", $0) }
            #expect(any.errors.contains("warning: no root hash was given"), "\(any.text)")
            // Cut short, one block in the middle gone, made longer.
            let whole = try Data(contentsOf: URL(fileURLWithPath: subject.image))
            try (whole + Data(repeating: 0, count: 4096)).write(to: URL(fileURLWithPath: subject.image))
            #expect(try status("--root-hash", subject.root) == CommandStatus.metadataDamaged.rawValue)
            try whole.dropLast(4096).write(to: URL(fileURLWithPath: subject.image))
            #expect(try status("--root-hash", subject.root) == CommandStatus.truncated.rawValue)
            try subject.flip(at: 40)
            #expect(try status("--root-hash", subject.root) == CommandStatus.wrongRootHash.rawValue)
            try Data().write(to: URL(fileURLWithPath: subject.image))
            #expect(try status("--root-hash", subject.root) == CommandStatus.notAnImage.rawValue)
        }
    }

    /// As a library OS has it: the image below, an encrypted volume above.
    @Test(.enabled(if: canMount, "no /dev/fuse")) func aVolumeTakesTheChangesOverAnImage() throws {
        try inTemporaryFolder { folder in
            let subject = try Subject(in: folder), volume = try VolumeFile(in: folder)
            let before = try Data(contentsOf: URL(fileURLWithPath: subject.image))
            let point = folder.appendingPathComponent("mnt").path
            try FileManager.default.createDirectory(atPath: point, withIntermediateDirectories: true)
            let program = ProgramRun.programs.appendingPathComponent("fuse-debug").path
            func mount(_ root: String) throws -> ProgramRun {
                try ProgramRun.run(
                    program,
                    [
                        "--mount", "union:/=enc:\(volume.path),image:\(subject.image)@\(root)", "--key-file",
                        volume.key, point,
                    ])
            }
            let wrong = try mount(String(repeating: "0", count: 64))
            #expect(wrong.status == CommandStatus.wrongRootHash.rawValue, "\(wrong.text)")
            for round in 1...2 {
                let mounted = try mount(subject.root)
                try #require(mounted.status == 0, "\(mounted.text)")
                defer { _ = try? casemate("unmount", point) }
                let used = try Self.shell(
                    "set -e; cd \"$0\"; test \"$(cat etc/passwd)\" = tiny; echo $1 >> etc/numbers; tail -n 1 etc/numbers; ls bin",
                    point,
                    "\(round)")
                #expect(used.status == 0 && used.output.hasPrefix("\(round)\nagain\n"), "\(used.text)")
                #expect(try casemate("unmount", point).status == 0)
            }
            #expect(try Data(contentsOf: URL(fileURLWithPath: subject.image)) == before)
        }
    }

    /// Each kind says so where the other's options are given.
    @Test func imagesAndVolumesAreToldApart() throws {
        try inTemporaryFolder { folder in
            let subject = try Subject(in: folder)
            let volume = try VolumeFile(in: folder)
            let usage = CommandStatus.usage.rawValue, refused = CommandStatus.notAnImage.rawValue
            #expect(try volume.run("info", "--root-hash", subject.root).status == refused)
            #expect(
                try volume.run("fsck", "--root-hash", subject.root).status == FsckStatus.operationalError.rawValue)
            #expect(try volume.run("mount", folder.path, "--any-root-hash").status != 0)
            #expect(try subject.run("info", "--anchor", volume.anchor).status == usage)
            #expect(try subject.run("info", "--where", "/etc").status == usage)
            for option in [["--repair"], ["--salvage", folder.path + "/out"], ["--passphrase-file", "/p"]] {
                let run = try ProgramRun.run(ProgramRun.casemate, ["fsck", subject.image] + option)
                #expect(run.status == FsckStatus.usage.rawValue, "\(run.text)")
                #expect(run.errors.contains("an image, and \(option[0]) is for volumes"), "\(run.text)")
            }
            // Commands that only volumes have.
            let keys = try ProgramRun.run(
                ProgramRun.casemate, ["keys", "list", subject.image, "--key-file", volume.key])
            #expect(keys.status == CommandStatus.notAVolume.rawValue, "\(keys.text)")
        }
    }

    @Test func whatCannotBeBuiltIsRefused() throws {
        try inTemporaryFolder { folder in
            let subject = try Subject(in: folder)
            let before = try Data(contentsOf: URL(fileURLWithPath: subject.image))
            #expect(
                try casemate("image", "build", subject.tree, subject.image).status
                    == CommandStatus.notEmpty.rawValue)
            #expect(try Data(contentsOf: URL(fileURLWithPath: subject.image)) == before)
            let inside = try casemate("image", "build", subject.tree, subject.tree + "/etc/x.image")
            #expect(
                inside.status == CommandStatus.usage.rawValue && inside.errors.contains("made of"), "\(inside.text)"
            )
            let out = folder.appendingPathComponent("out").path
            #expect(
                try casemate("image", "build", subject.tree + "/none", out).status
                    == CommandStatus.sourceUnreadable.rawValue)
            #expect(
                try casemate("image", "build", subject.tree, folder.path + "/none/out").status
                    == CommandStatus.volumeMissing.rawValue)
            #expect(
                try casemate("image", "build", subject.tree, out, "--owner", "me").status
                    == CommandStatus.usage.rawValue)
            let date = try ProgramRun.run(
                ProgramRun.casemate, ["image", "build", subject.tree, out],
                environment: ["SOURCE_DATE_EPOCH": "now"])
            #expect(date.status == CommandStatus.usage.rawValue, "\(date.text)")
            #expect(!FileManager.default.fileExists(atPath: out))
        }
    }

    /// Whenever it is killed, what is there under the name is no image, or all of it.
    @Test func aKilledBuildLeavesNoHalfImage() throws {
        try inTemporaryFolder { folder in
            let subject = try Subject(in: folder)
            let more = try Self.shell(
                "for i in 1 2 3 4; do head -c 3000000 /dev/urandom > \"$0/random $i\"; done", subject.tree)
            try #require(more.status == 0)
            let whole = try casemate("image", "build", subject.tree, folder.path + "/whole")
            let root = String(whole.output.dropLast())
            var unfinished = 0
            for milliseconds in stride(from: 10, through: 500, by: 10) where unfinished < 4 {
                let out = folder.appendingPathComponent("out \(milliseconds)").path
                let killed = try Self.shell(
                    "\"$0\" image build \"$1\" \"$2\" & sleep 0.$(printf %03d $3); kill -9 $!; wait $! 2>/dev/null; :",
                    ProgramRun.casemate, subject.tree, out, "\(milliseconds)")
                #expect(killed.status == 0, "\(killed.text)")
                guard FileManager.default.fileExists(atPath: out) else { continue }
                let check = try casemate("fsck", out, "--root-hash", root)
                if check.status != 0 {
                    unfinished += 1
                    #expect(
                        check.errors.contains("not-an-image") || check.errors.contains("not-a-volume")
                            || check.errors.contains("empty-file"), "\(check.text)")
                }
                try FileManager.default.removeItem(atPath: out)
            }
            #expect(unfinished > 0, "none was killed in time to show anything")
        }
    }
}
