import EncFS
import Foundation
import Imaging
import Inspection
import SecureBlock
import Testing
import VFS

/// Volumes made by earlier versions open and hold what they held.
@Suite struct FixtureTests {
    static let names = ["keyfile", "passphrase", "anchored"]
    static let folder = URL(fileURLWithPath: #filePath)
        .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
        .appendingPathComponent("fixtures")

    private func credential(_ name: String) throws -> Credential {
        if name == "passphrase" {
            let text = try Data(contentsOf: Self.folder.appendingPathComponent("passphrase")).dropLast()
            return .passphrase(try Array(text).withUnsafeBytes { try SecretBytes(copying: $0) })
        }
        let key = try Data(contentsOf: Self.folder.appendingPathComponent("key"))
        return .keyFile(try Array(key).withUnsafeBytes { try SecretBytes(copying: $0) })
    }

    /// Runs `body` on a copy of the volume and its anchor.
    private func withCopy(_ name: String, _ body: (FileBlockHost, Credential, FileAnchor?, URL) throws -> Void)
        throws
    {
        try inTemporaryFolder { folder in
            let copy = folder.appendingPathComponent("\(name).volume")
            try FileManager.default.copyItem(at: Self.folder.appendingPathComponent("\(name).volume"), to: copy)
            var anchor: FileAnchor?
            if name == "anchored" {
                let path = folder.appendingPathComponent("anchor")
                try FileManager.default.copyItem(
                    at: Self.folder.appendingPathComponent("anchored.anchor"), to: path)
                anchor = FileAnchor(path: path.path)
            }
            try body(try FileBlockHost.open(path: copy.path), credential(name), anchor, copy)
        }
    }

    @Test(arguments: names) func isSound(_ name: String) throws {
        try withCopy(name) { host, credential, anchor, _ in
            var check = Fsck()
            check.readsData = true
            let report = try check.check(host, credential: credential, anchor: anchor)
            #expect(!report.hasErrors, "\(report.text(volume: name))")
        }
    }

    @Test(arguments: names) func holdsWhatItHeld(_ name: String) throws {
        try withCopy(name) { host, credential, anchor, _ in
            // For writing: a version that can only read what an earlier one wrote has broken it.
            let device = try SecureDevice.open(host, credential: credential, anchor: anchor)
            let files = try EncFS(mounting: device, EncFS.MountOptions())
            try expectContents(files)
            try files.close()
            try device.close()
        }
    }

    private func rootHash(_ name: String) throws -> TreeHash {
        let text = try String(contentsOf: Self.folder.appendingPathComponent(name), encoding: .utf8)
        return try #require(TreeHash(String(text.dropLast())))
    }

    /// An image opens by the root hash that it was made with. Building its tree again, as it is in it, makes what this version
    /// makes of it on every machine: where nodes are filled in another way, another image than an older version made.
    @Test func theImageHoldsWhatItHeld() throws {
        let path = Self.folder.appendingPathComponent("tree.image").path
        let root = try rootHash("tree.root")
        let host = try FileBlockHost.open(path: path, FileHostOptions(readOnly: true))
        defer { host.close() }
        let image = try ImageDevice.open(host, root: .pinned(root))
        let report = try Fsck().check(image: image)
        #expect(!report.hasErrors, "\(report.text(volume: path))")
        let files = try EncFS(mounting: image, EncFS.MountOptions())
        try expectContents(files)
        let again = try ImageBuild.run(
            files, on: MemoryBlockHost(), scratch: MemoryBlockHost(), ImageBuild.Options())
        #expect(again.rootHash == (try rootHash("tree-again.root")))
    }

    private func expectContents(_ files: EncFS) throws {
        let expected = try String(contentsOf: Self.folder.appendingPathComponent("contents.tsv"), encoding: .utf8)
        let found = try listing(files).sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
        #expect(found == expected.split(separator: "\n").map(String.init))
        let numbers = (1...20_000).map { "\($0)\n" }.joined()
        #expect(try files.contents(of: "folder/numbers", upTo: 200_000) == Array(numbers.utf8))
        #expect(try files.contents(of: "inline", upTo: 100) == Array("tiny".utf8))
        #expect(try files.contents(of: "sparse", from: 6_442_450_940, upTo: 100) == [0] + Array("end".utf8))
        let inline = try files.node(at: "inline")
        #expect(try files.extendedAttribute(Array("user.colour".utf8), of: inline) == Array("blue".utf8))
    }

    @Test(arguments: names) func itsPastCanBeSeen(_ name: String) throws {
        try withCopy(name) { host, credential, anchor, copy in
            let commits = History(try SecureDevice.history(host, credential: credential)).commits
            #expect(commits.count >= 2)
            host.close()
            var sawThePast = false
            for commit in commits {
                let host = try FileBlockHost.open(path: copy.path, FileHostOptions(readOnly: true))
                defer { host.close() }
                let device = try SecureDevice.open(
                    host, credential: credential, anchor: anchor, mode: .readOnlyAt(commit.sequence))
                guard let files = try? EncFS(mounting: device, EncFS.MountOptions()) else { continue }
                if (try? files.node(at: "before")) != nil { sawThePast = true }
            }
            #expect(sawThePast, "no commit shows the file that was there before")
        }
    }

    /// The tree as `contents.tsv` has it.
    private func listing(_ files: EncFS) throws -> [String] {
        var lines: [String] = []
        var waiting: [(path: String, node: NodeID)] = [("", files.root)]
        while let (path, folder) = waiting.popLast() {
            var entries: [DirectoryEntry] = []
            let handle = try files.open(folder, [.read, .directory])
            try files.readDirectory(folder, handle, after: .start, plus: false) {
                entries.append($0)
                return true
            }
            files.close(folder, handle)
            for entry in entries {
                let full = path.isEmpty ? entry.name.description : "\(path)/\(entry.name)"
                let attributes = try files.attributes(entry.node)
                if entry.kind == .directory { waiting.append((full, entry.node)) }
                let kind = [NodeKind.directory: "d", .regular: "f", .symbolicLink: "l"][entry.kind] ?? "?"
                let nanoseconds = String(attributes.modificationTime.nanoseconds)
                let time =
                    "\(attributes.modificationTime.seconds)."
                    + String(repeating: "0", count: 9 - nanoseconds.count) + nanoseconds + "0"
                let target =
                    entry.kind == .symbolicLink
                    ? String(decoding: try files.readLink(entry.node), as: UTF8.self) : ""
                let size = entry.kind == .directory ? "" : String(attributes.size)
                lines.append(
                    "\(full)\t\(kind)\t\(String(attributes.permissions, radix: 8))\t\(time)\t\(target)\t\(size)")
            }
        }
        return lines
    }
}
