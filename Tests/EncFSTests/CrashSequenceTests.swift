import SimHost
import Synchronization
import Testing
import VFS

@testable import EncFS
@testable import SecureBlock

/// Every sequence of one or two operations on a small filesystem, over a real device, with a crash at every host write:
/// what mounts is the filesystem as of one commit, not older than the last acknowledged, and sound.
@Suite struct CrashSequenceTests {
    /// What can be done to the small tree.
    enum Operation: CaseIterable, CustomTestStringConvertible {
        case create, write, outgrowInline, truncate, extend, unlink, renameIntoDirectory, renameOver, exchange
        case makeDirectory, removeDirectory, link, symbolicLink, setAttribute, largeAttribute, punch, permissions,
            sync

        func perform(_ files: EncFS) throws {
            let directory = try files.find("d")
            switch self {
            case .create: _ = try files.make("n")
            case .write: try files.write(pattern(6000, seed: 1), to: try files.find("a"), at: 1000)
            case .outgrowInline:
                try files.write(pattern(3000, seed: 2), to: try files.find("b", in: directory), at: 50)
            case .truncate: try files.setSize(100, of: try files.find("a"))
            case .extend: try files.setSize(50_000, of: try files.find("a"))
            case .unlink: try files.remove(Name("a"), in: files.root, .nonDirectory)
            case .renameIntoDirectory:
                try files.rename(Name("a"), in: files.root, to: Name("a"), in: directory, [])
            case .renameOver: try files.rename(Name("b"), in: directory, to: Name("a"), in: files.root, [])
            case .exchange: try files.rename(Name("b"), in: directory, to: Name("a"), in: files.root, .exchange)
            case .makeDirectory: _ = try files.make("e", kind: .directory, permissions: 0o755)
            case .removeDirectory: try files.remove(Name("empty"), in: files.root, .directory)
            case .link:
                let entry = try files.link(try files.find("a"), as: Name("l"), in: directory)
                files.forget(entry.node, count: 1)
            case .symbolicLink:
                let entry = try files.make(
                    NewNode(kind: .symbolicLink, permissions: 0o777, target: Array("d/b".utf8)), named: Name("s"),
                    in: files.root, by: .root)
                files.forget(entry.node, count: 1)
            case .setAttribute:
                try files.setExtendedAttribute(
                    Array("user.a".utf8), of: try files.find("a"), to: [1, 2, 3], .createOrReplace)
            case .largeAttribute:
                try files.setExtendedAttribute(
                    Array("user.b".utf8), of: directory, to: pattern(9000, seed: 3), .createOrReplace)
            case .punch: try files.allocate(try files.find("a"), .none, 4096..<9000, .punchHole)
            case .permissions:
                var change = AttributeChange()
                change.permissions = 0o600
                _ = try files.setAttributes(try files.find("a"), change, by: .root)
            case .sync: try files.sync()
            }
        }

        var testDescription: String { "\(self)" }
    }

    private static let totals = Mutex((sequences: 0, images: 0))

    /// The first operation is the argument; the second is none and each in turn.
    @Test(arguments: Operation.allCases)
    func everyCrashIsOneCommit(first: Operation) throws {
        let seconds: [Operation?] = isDebug ? [nil] : [nil] + Operation.allCases.map { $0 }
        for second in seconds {
            var sequence = [first]
            if let second { sequence.append(second) }
            let images = try crashes(of: sequence)
            Self.totals.withLock {
                $0.sequences += 1
                $0.images += images
            }
        }
        let (sequences, images) = Self.totals.withLock { $0 }
        if sequences == Operation.allCases.count * seconds.count {
            print("EncFS: \(images) distinct crash images of \(sequences) sequences of operations")
        }
    }

    private func crashes(of sequence: [Operation]) throws -> Int {
        let host = CrashHost(contents: try Self.base.get(), anchor: nil)
        let device = try Self.open(host, .readWrite)
        let files = try EncFS(mounting: device, .quiet)
        var states = [device.status.commit.rawValue: try dump(files)]
        host.mark(device.status.commit.rawValue)
        let begin = host.eventCount
        for operation in sequence {
            do { try operation.perform(files) } catch is VFSError {
                // The first one may have taken away what the second one needs: an error is then a fine result.
            }
            if operation == .sync { note(device, host, try dump(files), &states) }
        }
        try files.sync()
        note(device, host, try dump(files), &states)
        try files.close()
        let end = host.eventCount
        var enumerator = CrashImages(host, .exhaustive(seed: 1))
        var images = 0
        for event in begin...end {
            for image in enumerator.next(at: event) {
                images += 1
                try hold(image, states, isChecked: images % 16 == 0, "\(sequence), \(image)")
            }
        }
        return images
    }

    private func note(
        _ device: SecureDevice, _ host: CrashHost, _ state: [String], _ states: inout [UInt64: [String]]
    ) {
        states[device.status.commit.rawValue] = state
        host.mark(device.status.commit.rawValue)
    }

    private func hold(_ image: CrashImage, _ states: [UInt64: [String]], isChecked: Bool, _ label: String) throws {
        do {
            let device = try Self.open(image.makeHost(), .readOnly)
            let opened = device.status.commit.rawValue
            #expect(opened >= image.lastMark ?? 0, "\(label): opened \(opened)")
            let files = try EncFS(mounting: device, .quiet)
            // A closing commit repeats the state before it.
            let expected = states[opened] ?? states[states.keys.max() ?? 0]
            let found = try dump(files)
            if found != expected { Issue.record("\(label): commit \(opened) is \(found), not \(expected ?? [])") }
            if isChecked {
                var findings: [String] = []
                _ = try EncFS.check(device, readData: true, progress: { _, _ in }) { findings.append("\($0)") }
                #expect(findings.filter { !$0.hasPrefix("note") } == [], "\(label)")
            }
            try files.close()
        } catch { Issue.record("\(label): \(error)") }
    }

    /// Every name with all that can be seen of it but times.
    private func dump(_ files: EncFS) throws -> [String] {
        var lines: [String] = []
        var directories: [(String, NodeID)] = [("", files.root)]
        while let (path, directory) = directories.popLast() {
            for name in try files.names(in: directory).sorted() where name != "." && name != ".." {
                let node = try files.find(name, in: directory)
                let attributes = try files.attributes(node)
                var line = "\(path)/\(name) \(attributes.kind) \(attributes.permissions) \(attributes.linkCount)"
                switch attributes.kind {
                case .directory: directories.append(("\(path)/\(name)", node))
                case .regular:
                    var hash: UInt64 = 0xCBF2_9CE4_8422_2325
                    for byte in try files.read(node, count: Int(attributes.size)) {
                        hash = (hash ^ UInt64(byte)) &* 0x100_0000_01B3
                    }
                    line += " \(attributes.size) \(hash)"
                case .symbolicLink: line += " \(try files.readLink(node))"
                default: break
                }
                for attribute in try files.extendedAttributeNames(of: node) {
                    line += " \(attribute) \(try files.extendedAttribute(attribute, of: node))"
                }
                lines.append(line)
            }
        }
        return lines.sorted()
    }

    private static func open(_ host: any BlockHost, _ mode: OpenMode) throws -> SecureDevice {
        var options = DeviceOptions()
        options.maintenance = .inline
        let key = try [UInt8](repeating: 7, count: 32).withUnsafeBytes { try SecretBytes(copying: $0) }
        return try SecureDevice.open(host, credential: .keyFile(key), mode: mode, options: options)
    }

    /// A volume with `a` (5,000 bytes), `d/b` (inline) and `empty/`, closed.
    private static let base: Result<SparseBytes, any Error> = Result {
        let host = MemoryBlockHost()
        var options = VolumeOptions(logicalBytes: 512 * UInt64(blockBytes))
        options.segmentBytes = 16 * blockBytes
        let key = try [UInt8](repeating: 7, count: 32).withUnsafeBytes { try SecretBytes(copying: $0) }
        try SecureDevice.create(on: host, options, credential: .keyFile(key))
        let device = try open(host, .readWrite)
        var format = EncFS.FormatOptions()
        format.nodeBytes = 4096
        try EncFS.format(device, format)
        let files = try EncFS(mounting: device, .quiet)
        try files.write(pattern(5000, seed: 9), to: try files.make("a"), at: 0)
        let directory = try files.make("d", kind: .directory, permissions: 0o755)
        try files.write(pattern(40, seed: 8), to: try files.make("b", in: directory), at: 0)
        _ = try files.make("empty", kind: .directory, permissions: 0o755)
        try files.close()
        return host.contents
    }
}

private let isDebug: Bool = {
    var isDebug = false
    assert(
        {
            isDebug = true
            return true
        }())
    return isDebug
}()
