import EncFS
import Foundation
import HostFS
import LibOSCore
import MemFS
import SecureBlock
import SimHost
import Testing
import UnionFS
import VFS

/// A kind of filesystem that the conformance suite runs against.
struct Subject: Sendable, CustomTestStringConvertible {
    var name: String
    /// What the subject has beyond the least that every filesystem has.
    var features: Features = .all
    /// What it has and a front does not hand on, with reasons.
    var gaps: [FrontGap] = []
    /// Spoken to through the kernel.
    var isMounted: Bool { !gaps.isEmpty }
    /// What the test at hand asks for.
    var needed: Features = []
    /// Why it cannot be had on this machine.
    var obstacle: String?
    /// A fresh, empty filesystem.
    let build: @Sendable () throws -> Specimen

    init(
        name: String, features: Features = .all, gaps: [FrontGap] = [], obstacle: String? = nil,
        build: @escaping @Sendable () throws -> Specimen
    ) {
        self.name = name
        self.features = features
        self.gaps = gaps
        self.obstacle = obstacle
        self.build = build
    }

    var testDescription: String { name }

    /// A fresh, empty filesystem; the test case is cancelled, with the reason, where a front does not hand on what it
    /// needs, or this machine has no such front.
    func make() throws -> Specimen {
        if let reason = obstacle ?? gaps.first(where: { needed.contains($0.feature) })?.reason {
            // A cancelled test case leaves no line of its own; scripts/test lists this one.
            print("Test \(Test.current?.name ?? "?") with \(name) skipped: \(reason)")
            try Test.cancel("\(name): \(reason)")
        }
        return try build()
    }

    struct Features: OptionSet, Sendable {
        let rawValue: Int
        static let allocation = Features(rawValue: 1)
        static let holes = Features(rawValue: 2)
        static let extendedAttributes = Features(rawValue: 4)
        static let unnamedFiles = Features(rawValue: 8)
        static let hugeFiles = Features(rawValue: 16)
        static let exchange = Features(rawValue: 32)
        /// Files may belong to others than this process's user, and device nodes be made.
        static let owners = Features(rawValue: 64)
        static let accessControlLists = Features(rawValue: 128)
        /// Files share blocks until one is written.
        static let sharing = Features(rawValue: 256)
        /// Ranges can be taken out and put in.
        static let shifting = Features(rawValue: 512)
        /// Access times move with reads as `relatime` says, and not with `O_NOATIME`.
        static let accessTimes = Features(rawValue: 1024)
        static let birthTimes = Features(rawValue: 2048)
        /// A read never mixes two writes.
        static let wholeReads = Features(rawValue: 4096)
        /// So small that a test can fill it.
        static let bounded = Features(rawValue: 8192)
        static let all = Features(rawValue: 16383)
    }

    static let all = inProcess + throughFUSE

    private static let inProcess: [Subject] = [
        Subject(name: "MemFS", features: memoryFeatures) {
            let files = MemFS(maximumBytes: 64 << 20)
            return try Specimen(files, check: { files.checkInvariants() })
        },
        Subject(name: "Namespace", features: memoryFeatures) {
            let files = MemFS(maximumBytes: 64 << 20)
            return try Specimen(Namespace(root: files), check: { files.checkInvariants() })
        },
        Subject(name: "mount of a Namespace", features: memoryFeatures) {
            let outer = MemFS(maximumBytes: 1 << 20)
            let files = MemFS(maximumBytes: 64 << 20)
            let namespace = Namespace(root: outer)
            _ = try outer.make(
                NewNode(kind: .directory, permissions: 0o755), named: Name("mnt"), in: outer.root, by: .root)
            try namespace.mount(files, at: "/mnt")
            return try Specimen(
                namespace, below: "mnt",
                check: { outer.checkInvariants() + files.checkInvariants() })
        },
        Subject(
            name: "HostFS", features: hostFeatures
        ) {
            let directory = try TemporaryDirectory()
            let files = try HostFS(root: directory.path, readOnly: false)
            return try Specimen(
                files, check: { files.openFileCount == 0 ? [] : ["\(files.openFileCount) files left open"] },
                cleanup: { directory.remove() })
        },
        Subject(
            name: "HostFS with few descriptors",
            features: hostFeatures
        ) {
            let directory = try TemporaryDirectory()
            let files = try HostFS(root: directory.path, readOnly: false, descriptorLimit: 2)
            return try Specimen(
                files, check: { files.openFileCount == 0 ? [] : ["\(files.openFileCount) files left open"] },
                cleanup: { directory.remove() })
        },
        Subject(name: "UnionFS", features: memoryFeatures) {
            let (upper, lower) = (MemFS(maximumBytes: 64 << 20), MemFS(maximumBytes: 1 << 20))
            let union = try UnionFS(upper: upper, lowers: [lower])
            // Merged directories have union semantics, which tests of their own look at; below is plain.
            _ = try union.make(
                NewNode(kind: .directory, permissions: 0o755), named: Name("plain"), in: union.root, by: .root)
            return try Specimen(union, below: "plain", check: { lower.checkInvariants() })
        },
        Subject(name: "EncFS") {
            // Without every commit there ever was: a long run makes thousands.
            var options = SimBlockDevice.Options()
            options.keepsHistory = false
            let device = SimBlockDevice(blocks: 16384, options)
            try EncFS.format(device, EncFS.FormatOptions())
            return try encrypted(device)
        },
        Subject(name: "EncFS on a SecureDevice") {
            let host = MemoryBlockHost()
            let key = try SecretBytes.random(byteCount: Credential.keyFileBytes)
            var volume = VolumeOptions(logicalBytes: 64 << 20)
            volume.segmentBytes = 1 << 20
            try SecureDevice.create(on: host, volume, credential: .keyFile(key))
            let device = try SecureDevice.open(host, credential: .keyFile(key))
            try EncFS.format(device, EncFS.FormatOptions())
            return try encrypted(device)
        },
    ]

    /// An EncFS that commits when asked to only, and is checked after every test.
    private static func encrypted(_ device: any BlockDevice) throws -> Specimen {
        var options = EncFS.MountOptions()
        options.commitIntervalMilliseconds = 0
        let files = try EncFS(mounting: device, options)
        return try Specimen(
            files,
            check: {
                do {
                    try files.commit(nil, dataOnly: false).wait()
                    var findings: [String] = []
                    _ = try EncFS.check(device, readData: true, progress: { _, _ in }) { found in
                        // Files without names that are still in use are notes.
                        if found.severity == .error { findings.append("\(found)") }
                    }
                    return findings
                } catch {
                    return ["\(error)"]
                }
            })
    }

    /// The host keeps its own lists, if any, and files of its own beside ours.
    private static let hostFeatures: Features = {
        let absent: Features = [
            .hugeFiles, .accessControlLists, .sharing, .shifting, .accessTimes, .wholeReads, .bounded,
        ]
        return Features.all.subtracting(isPrivileged ? absent : absent.union(.owners))
    }()
    /// Pages in memory have one file.
    private static let memoryFeatures = Features.all.subtracting(.sharing)

    /// Whether tests may make device nodes and give files away on the host.
    static let isPrivileged = geteuid() == 0

    /// For tests with very many cases: what stands on the simulated device need not stand on the real one too.
    static let quick = all.filter { $0.name != "EncFS on a SecureDevice" }

    /// Subjects whose filesystem has all of `features`, also where a front does not hand them on: their test cases are
    /// cancelled with the reason.
    static func having(_ features: Features) -> [Subject] {
        all.compactMap { subject in
            let kept = subject.gaps.reduce(into: subject.features) { $0.formUnion($1.feature) }
            guard kept.isSuperset(of: features) else { return nil }
            var subject = subject
            subject.needed = features
            return subject
        }
    }

    static func named(_ name: String) -> Subject {
        guard let subject = inProcess.first(where: { $0.name == name }) else { preconditionFailure("no \(name)") }
        return subject
    }
}

/// One filesystem under test, with short forms of the calls that tests use most.
final class Specimen {
    let files: any FileSystem
    let check: () -> [String]
    private let cleanup: () -> Void

    /// The directory that tests work in, and its name below the filesystem's own root where it is another.
    let root: NodeID
    let place: String?

    init(
        _ files: any FileSystem, below place: String? = nil, check: @escaping () -> [String] = { [] },
        cleanup: @escaping () -> Void = {}
    ) throws {
        self.files = files
        self.place = place
        root = try place.map { try files.lookup(Name($0), in: files.root).node } ?? files.root
        self.check = check
        self.cleanup = cleanup
    }

    deinit { cleanup() }

    /// To be called at the end of a test: the structures are sound.
    func checkInvariants(_ location: SourceLocation = #_sourceLocation) {
        #expect(check() == [], sourceLocation: location)
    }

    @discardableResult
    func file(_ name: String, in directory: NodeID? = nil, _ contents: String = "", permissions: UInt16 = 0o644)
        throws -> NodeID
    {
        let entry = try files.make(
            NewNode(kind: .regular, permissions: permissions), named: Name(name), in: directory ?? root, by: .root)
        if !contents.isEmpty { try write(entry.node, at: 0, Array(contents.utf8)) }
        return entry.node
    }

    @discardableResult
    func directory(_ name: String, in directory: NodeID? = nil, permissions: UInt16 = 0o755) throws -> NodeID {
        try files.make(
            NewNode(kind: .directory, permissions: permissions), named: Name(name), in: directory ?? root, by: .root
        ).node
    }

    func withHandle<R>(_ node: NodeID, _ flags: OpenFlags, _ body: (Handle) throws -> R) throws -> R {
        let handle = try files.open(node, flags)
        defer { files.close(node, handle) }
        return try body(handle)
    }

    @discardableResult
    func write(_ node: NodeID, at offset: UInt64, _ bytes: [UInt8], _ flags: WriteFlags = []) throws -> Written {
        try withHandle(node, .write) { handle throws in
            try bytes.withUnsafeBytes { try files.write(node, handle, at: .offset(offset), $0, flags) }
        }
    }

    func read(_ node: NodeID, at offset: UInt64 = 0, count: Int = 1 << 16) throws -> [UInt8] {
        try withHandle(node, .read) { try read(node, $0, at: offset, count: count) }
    }

    func read(_ node: NodeID, _ handle: Handle, at offset: UInt64, count: Int) throws -> [UInt8] {
        var bytes = [UInt8](repeating: 0xAA, count: count)
        let got = try bytes.withUnsafeMutableBytes { try files.read(node, handle, at: offset, into: $0) }
        return Array(bytes[..<got])
    }

    func text(_ node: NodeID) throws -> String { String(decoding: try read(node), as: UTF8.self) }

    func lookup(_ name: String, in directory: NodeID? = nil) throws -> NodeID {
        try files.lookup(Name(name), in: directory ?? root).node
    }

    func attributes(_ node: NodeID) throws -> Attributes { try files.attributes(node) }

    func remove(_ name: String, in directory: NodeID? = nil, _ kind: RemovalKind = .nonDirectory) throws {
        try files.remove(Name(name), in: directory ?? root, kind)
    }

    func rename(
        _ name: String, in directory: NodeID? = nil, to newName: String, into newDirectory: NodeID? = nil,
        _ flags: RenameFlags = []
    ) throws {
        try files.rename(Name(name), in: directory ?? root, to: Name(newName), in: newDirectory ?? root, flags)
    }

    func set(_ node: NodeID, by caller: Caller = .root, _ edit: (inout AttributeChange) -> Void) throws {
        var change = AttributeChange()
        edit(&change)
        _ = try files.setAttributes(node, change, by: caller)
    }

    /// Every entry, read `step` at a time.
    func list(_ directory: NodeID? = nil, step: Int = .max) throws -> [String] {
        let node = directory ?? root
        return try withHandle(node, [.read, .directory]) { handle throws in
            var names: [String] = []
            var cookie = DirectoryCookie.start
            while true {
                var given = 0
                try files.readDirectory(node, handle, after: cookie, plus: false) { entry in
                    guard given < step else { return false }
                    given += 1
                    names.append(entry.name.description)
                    cookie = entry.cookie
                    return true
                }
                if given < step { return names }
            }
        }
    }
}

/// Expects `body` to fail with `errno`.
func expect<R>(
    _ errno: Errno, _ location: SourceLocation = #_sourceLocation, body: () throws -> R
) {
    do {
        _ = try body()
        Issue.record("no error, \(errno) expected", sourceLocation: location)
    } catch let error as VFSError {
        #expect(error.errno == errno, sourceLocation: location)
    } catch {
        Issue.record("\(error), \(errno) expected", sourceLocation: location)
    }
}

func name(_ text: String) throws -> Name { try Name(text) }
