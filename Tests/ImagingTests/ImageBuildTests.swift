import EncFS
import Glibc
import HostFS
import MemFS
import SecureBlock
import Testing
import VFS

@testable import Imaging

@Suite struct ImageBuildTests {
    /// An image in memory.
    private struct Built {
        let host = MemoryBlockHost()
        let summary: ImageBuild.Summary

        init(
            _ source: any FileSystem, _ ownership: ImageBuild.Ownership = .fixed(user: 0, group: 0),
            latest: Int64? = nil, progress: ImageBuild.Progress = { _, _ in }
        ) throws {
            var options = ImageBuild.Options()
            options.ownership = ownership
            options.latestTime = latest.map { Timestamp(seconds: $0, nanoseconds: 0) }
            summary = try ImageBuild.run(
                source, on: host, scratch: MemoryBlockHost(), options, progress: progress)
        }

        func device() throws -> ImageDevice { try ImageDevice.open(host, root: .pinned(summary.rootHash)) }

        func mount() throws -> EncFS {
            var options = EncFS.MountOptions()
            options.readOnly = true
            return try EncFS(mounting: device(), options)
        }
    }

    /// What the sample came to when this was written: where it changes, every image that anybody has changes.
    private static let sampleRoot = "bb699509e59c4d5532e3f42c8773c2aa33f2a4528eced56a33e44497c4fc5096"

    private static func memory(_ items: [SampleTree.Item]) throws -> MemFS {
        let files = MemFS()
        try SampleTree.make(items, on: files)
        return files
    }

    /// In memory and on the host, made in this order and in that, later and elsewhere.
    @Test func theSameTreeMakesTheSameImage() throws {
        let first = try Built(Self.memory(SampleTree.items))
        let folders = try [TemporaryDirectory(), TemporaryDirectory()]
        let images = try folders.enumerated().map { index, folder in
            let files = try HostFS(root: folder.path, readOnly: false)
            try SampleTree.make(SampleTree.items, on: files, setsOwners: getuid() == 0) {
                index == 0 ? $0.path < $1.path : $0.path > $1.path
            }
            return try Built(HostFS(root: folder.path, readOnly: true))
        }
        for image in images {
            #expect(image.summary.rootHash == first.summary.rootHash)
            #expect(image.host.contents.byteCount == first.host.contents.byteCount)
        }
        #expect(first.summary.rootHash.description == Self.sampleRoot)
    }

    @Test func whatIsInTheImageIsWhatWasInTheTree() throws {
        let files = try Self.memory(SampleTree.items + SampleTree.devices)
        let image = try Built(files, .kept)
        let mounted = try image.mount()
        let expected = try FileRecord.all(of: files), found = try FileRecord.all(of: mounted)
        #expect(found.keys.sorted() == expected.keys.sorted())
        for (path, record) in expected { #expect(found[path] == record, "\(path)") }
        #expect(image.summary.files == UInt64(expected.values.count { $0.kind != .directory }))
        #expect(image.summary.directories == UInt64(expected.values.count { $0.kind == .directory }))
        for path in expected.keys {
            let attributes = try mounted.attributes(SampleTree.find(path, on: mounted))
            let times = [attributes.accessTime, attributes.changeTime, attributes.birthTime]
            #expect(times.allSatisfy { $0 == attributes.modificationTime }, "\(path)")
        }
        #expect(try SampleTree.find("bin/again", on: mounted) == SampleTree.find("etc/elsewhere", on: mounted))
        let holes = try mounted.attributes(SampleTree.find("sparse", on: mounted)).blocks512
        #expect(holes == 16, "zeros take no room")
    }

    @Test func theFilesystemInItIsSound() throws {
        let device = try Built(Self.memory(SampleTree.items)).device()
        _ = try EncFS.check(device, readData: true, progress: { _, _ in }) { Issue.record("\($0)") }
        #expect(try device.check { Issue.record("\($0)") } == device.logicalBlockCount)
    }

    /// Every kind of difference shows in the root hash.
    @Test func anotherTreeMakesAnotherImage() throws {
        var seen = [try Built(Self.memory(SampleTree.items), .kept).summary.rootHash: "nothing"]
        func differs(_ label: String, _ change: (inout [SampleTree.Item]) -> Void) throws {
            var items = SampleTree.items
            change(&items)
            let root = try Built(Self.memory(items), .kept).summary.rootHash
            #expect(seen[root] == nil, "\(label) as \(seen[root] ?? "")")
            seen[root] = label
        }
        func index(_ path: String) -> Int { SampleTree.items.firstIndex { $0.path == path }! }
        try differs("contents") { $0[index("bin/program")].contents[200_000] ^= 8 }
        try differs("inline contents") { $0[index("etc/passwd")].contents[3] ^= 8 }
        try differs("permissions") { $0[index("etc/empty")].permissions = 0o601 }
        try differs("owner") { $0[index("etc/empty")].owner = 5 }
        try differs("group") { $0[index("etc/empty")].group = 5 }
        try differs("time") { $0[index("etc")].seconds += 1 }
        try differs("name") { $0[index("late")].path = "Late" }
        try differs("target") { $0[index("bin/sh")].target = "again" }
        try differs("attribute") { $0[index("bin/limited")].attributes["user.a"] = [1] }
        try differs("list") { $0[index("listed")].attributes = [:] }
        try differs("link") { $0[index("etc/elsewhere")].linkTo = "bin/limited" }
        try differs("one more") { $0.append(SampleTree.Item(path: "more")) }
        try differs("one less") { $0.remove(at: index("dev/pipe")) }
        try differs("size") { $0[index("few zeros")].hole = 101 }
    }

    /// The same bytes, stored as holes and stored as zeros.
    @Test func holesOfTheTreeDoNotMatter() throws {
        let roots = try [true, false].map { isSparse in
            let folder = try TemporaryDirectory()
            let files = try HostFS(root: folder.path, readOnly: false)
            let zeros = [UInt8](repeating: 0, count: 2_500_000)
            let item =
                isSparse
                ? SampleTree.Item(path: "f", contents: [7], hole: UInt64(zeros.count))
                : SampleTree.Item(path: "f", contents: zeros + [7])
            try SampleTree.make([item], on: files, setsOwners: false)
            return try Built(files).summary.rootHash
        }
        #expect(roots[0] == roots[1])
    }

    @Test func laterTimesBecomeTheLatest() throws {
        let mounted = try Built(Self.memory(SampleTree.items), latest: 1_550_000_000).mount()
        func seconds(_ path: String) throws -> Int64 {
            try mounted.attributes(SampleTree.find(path, on: mounted)).modificationTime.seconds
        }
        #expect(try seconds("late") == 1_550_000_000 && seconds("etc/passwd") == 1_550_000_000)
        #expect(try seconds("etc") == 1_500_000_000 && seconds("") == 1_400_000_000)
    }

    @Test func ownersAreKeptOrOne() throws {
        let files = try Self.memory(SampleTree.items)
        let kept = try FileRecord.all(of: Built(files, .kept).mount())
        #expect(kept["/bin/program"]?.owner == 1000 && kept["/etc/shared"]?.group == 50)
        let fixed = try FileRecord.all(of: Built(files, .fixed(user: 3, group: 4)).mount())
        #expect(fixed.values.allSatisfy { $0.owner == 3 && $0.group == 4 })
        #expect(fixed["/bin/program"]?.permissions == 0o4755 && fixed["/etc/shared/below"]?.permissions == 0o700)
    }

    @Test func socketsAreLeftOutAndNamed() throws {
        let with = try Self.memory(SampleTree.items + [SampleTree.Item(path: "etc/socket", kind: .socket)])
        // The directory's own time is set after all that is in it.
        let image = try Built(with)
        #expect(image.summary.leftOut == ["/etc/socket"])
        #expect(try image.summary.rootHash == Built(Self.memory(SampleTree.items)).summary.rootHash)
    }

    /// What is read is what was there at one moment, or no image.
    @Test(arguments: ["grows", "shrinks", "is written"])
    func aFileThatChangesMeanwhileIsNamed(how: String) throws {
        let files = try Self.memory(SampleTree.items)
        let node = try SampleTree.find("bin/program", on: files)
        #expect {
            _ = try Built(files) { _, _ in
                var change = AttributeChange()
                switch how {
                case "grows": change.size = 400_000
                case "shrinks": change.size = 100_000
                default: change.modificationTime = .now
                }
                do { _ = try files.setAttributes(node, change, by: .root) } catch { Issue.record("\(error)") }
            }
        } throws: { error in
            guard case .changed("/bin/again")? = error as? ImageBuildError else { return false }
            return true
        }
    }

    /// The size is found by trying, and what was tried leaves nothing behind.
    @Test func aGuessThatWasTooSmallDoesNotShow() throws {
        let items =
            [SampleTree.Item(path: "d", kind: .directory)]
            + (0..<1200).map {
                SampleTree.Item(path: "d/\($0)", contents: SampleTree.text(1500, $0))
            }
        let files = try Self.memory(items)
        func build(_ nodeHalves: [UInt64], scratch: MemoryBlockHost) throws -> TreeHash {
            try ImageBuild.run(
                files, on: MemoryBlockHost(), scratch: scratch, ImageBuild.Options(), nodeHalves: nodeHalves
            ).rootHash
        }
        let first = try build([3], scratch: MemoryBlockHost()), scratch = MemoryBlockHost()
        #expect(throws: ImageBuildError.self) { try build([0], scratch: scratch) }
        #expect(try build([0, 3], scratch: scratch) == first)
        #expect(try Built(files, .kept).summary.rootHash == first)
    }

    /// Directories of many nodes, files of many extents.
    @Test func largeTreesAreReproducibleToo() throws {
        func make(_ isBefore: (SampleTree.Item, SampleTree.Item) -> Bool) throws -> TreeHash {
            let files = MemFS()
            var items = [SampleTree.Item(path: "d", kind: .directory, permissions: 0o755)]
            for number in 0..<(isDebugBuild ? 300 : 3000) {
                let name = String(number, radix: 2) + String(repeating: "y", count: number % 200)
                items.append(
                    SampleTree.Item(
                        path: "d/\(name)",
                        contents: number % 3 == 0 ? [] : SampleTree.text(number * 7 % 5000, number)))
            }
            try SampleTree.make(items, on: files, by: isBefore)
            // Data and holes by turns.
            let node = try SampleTree.find("d/1y", on: files)
            for block in 0..<200 as Range<UInt64> {
                _ = try [UInt8](repeating: 1, count: 3000).withUnsafeBytes {
                    try files.write(node, .none, at: .offset(block * 12_000), $0, [])
                }
            }
            var change = AttributeChange()
            change.modificationTime = .exact(.zero)
            _ = try files.setAttributes(node, change, by: .root)
            let image = try Built(files)
            _ = try EncFS.check(image.device(), readData: false, progress: { _, _ in }) { Issue.record("\($0)") }
            return image.summary.rootHash
        }
        #expect(try make { $0.path < $1.path } == make { $0.path > $1.path })
    }

    @Test func hostsThatFailAreNamed() throws {
        let files = try Self.memory(SampleTree.items)
        #expect {
            try ImageBuild.run(
                files, on: MemoryBlockHost(), scratch: MemoryBlockHost(capacityBytes: 1 << 16), ImageBuild.Options()
            )
        } throws: { error in
            guard case .scratch(.noSpace)? = error as? ImageBuildError else { return false }
            return true
        }
        #expect {
            try ImageBuild.run(
                files, on: MemoryBlockHost(capacityBytes: 1 << 20), scratch: MemoryBlockHost(), ImageBuild.Options()
            )
        } throws: { error in
            guard case .image(.host(.noSpace))? = error as? ImageBuildError else { return false }
            return true
        }
    }
}

/// Whether tests run without optimisation, and do less.
let isDebugBuild: Bool = {
    var isDebug = false
    assert(
        {
            isDebug = true
            return true
        }())
    return isDebug
}()
