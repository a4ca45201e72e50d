import EncFS
import MemFS
import SecureBlock
import SimHost
import VFS

/// Short sequences of operations on `EncFS` over a real device, with a crash at every host write: what mounts is the
/// filesystem as of one commit, not older than the last acknowledged, and sound. The same operations on `MemFS` say what
/// it should hold.
public struct FileCrashSearch {
    /// What a sequence came to.
    public struct Result: Sendable {
        /// Distinct crash images.
        public var images = 0
        /// What must not happen, in words that name sequence and image.
        public var violations: [String] = []
    }

    private let sequence: [FileOperation]
    private let host: CrashHost
    private let model = MemFS(maximumBytes: 16 << 20)
    /// What may be found at each commit; more than one where an operation commits in its middle.
    private var states: [UInt64: [String]] = [:]
    private var result = Result()

    /// - Parameters:
    ///   - policy: which images are made of each moment.
    ///   - checksEvery: one image in so many is checked as by `casemate fsck`.
    public static func run(
        _ sequence: [FileOperation], _ policy: CrashPolicy = .exhaustive(seed: 1), checksEvery: Int = 16
    ) -> Result {
        var search: FileCrashSearch
        do {
            search = FileCrashSearch(sequence, try base.get())
            try search.run(policy, checksEvery)
        } catch {
            var result = Result()
            result.violations.append("\(sequence): \(error)")
            return result
        }
        return search.result
    }

    private init(_ sequence: [FileOperation], _ contents: SparseBytes) {
        self.sequence = sequence
        host = CrashHost(contents: contents, anchor: nil)
    }

    private mutating func run(_ policy: CrashPolicy, _ checksEvery: Int) throws {
        try FileOperation.prepare(model)
        let device = try Self.open(host, .readWrite)
        let files = try EncFS(mounting: device, Self.options)
        try note(device, files)
        let begin = host.eventCount
        for operation in sequence {
            let expected = errno(operation, model), found = errno(operation, files)
            if expected != found {
                violate("\(operation): \(describe(found)) where MemFS has \(describe(expected))")
            }
            let state = try files.dump(), right = try model.dump()
            if state != right { violate("after \(operation): \(Self.difference(state, right))") }
            if operation.commits { try note(device, files) }
        }
        try files.sync()
        try note(device, files)
        try files.close()
        try check(host.contents, "the end")
        let end = host.eventCount
        var enumerator = CrashImages(host, policy)
        for event in begin...end where result.violations.count < 8 {
            for image in enumerator.next(at: event) {
                result.images += 1
                hold(image, isChecked: result.images % checksEvery == 0)
            }
        }
    }

    private func errno(_ operation: FileOperation, _ files: some FileSystem) -> Errno? {
        do throws(VFSError) {
            try operation.perform(files)
            return nil
        } catch { return error.errno }
    }

    private func describe(_ errno: Errno?) -> String { errno.map { "\($0)" } ?? "success" }

    private mutating func violate(_ text: String) { result.violations.append("\(sequence): \(text)") }

    /// The state now is what its commit must show.
    private mutating func note(_ device: SecureDevice, _ files: EncFS) throws {
        try files.sync()
        states[device.status.commit.rawValue] = try files.dump()
        host.mark(device.status.commit.rawValue)
    }

    /// Opens one image and compares.
    private mutating func hold(_ image: CrashImage, isChecked: Bool) {
        do {
            let device = try Self.open(image.makeHost(), .readOnly)
            let opened = device.status.commit.rawValue
            if opened < image.lastMark ?? 0 { violate("\(image): opened \(opened), which is too old") }
            let files = try EncFS(mounting: device, Self.options)
            let found = try files.dump()
            if let state = states[opened] {
                if found != state { violate("\(image): commit \(opened): \(Self.difference(found, state))") }
            } else if !states.values.contains(found) {
                // Closing repeats the last commit; an operation that commits may do so in its middle.
                if !sequence.contains(where: \.commits) {
                    violate("\(image): commit \(opened) is no state that was synced")
                }
            }
            try files.close()
            if isChecked { try check(device, "\(image)") }
        } catch { violate("\(image): \(error)") }
    }

    private mutating func check(_ contents: SparseBytes, _ label: String) throws {
        try check(try Self.open(MemoryBlockHost(contents: contents), .readOnly), label)
        // What a mount finishes is finished then.
        let host = MemoryBlockHost(contents: contents)
        try EncFS(mounting: try Self.open(host, .readWrite), Self.options).close()
        try check(try Self.open(host, .readOnly), "\(label), mounted once more")
    }

    private mutating func check(_ device: SecureDevice, _ label: String) throws {
        var findings: [String] = []
        _ = try EncFS.check(device, readData: true, progress: { _, _ in }) { findings.append("\($0)") }
        if let first = findings.first(where: { !$0.hasPrefix("note") }) { violate("\(label): check: \(first)") }
    }

    static func difference(_ found: [String], _ expected: [String]) -> String {
        let extra = found.filter { !expected.contains($0) }, missing = expected.filter { !found.contains($0) }
        return "has \(extra.prefix(3)), should have \(missing.prefix(3))"
    }

    /// No commits but those that are asked for.
    static var options: EncFS.MountOptions {
        var options = EncFS.MountOptions()
        options.commitIntervalMilliseconds = 0
        return options
    }

    private static func credential() throws -> Credential {
        .keyFile(
            try [UInt8](repeating: 7, count: 32).withRawBytes { bytes throws(SealError) in
                try SecretBytes(copying: bytes)
            })
    }

    private static func open(_ host: any BlockHost, _ mode: OpenMode) throws -> SecureDevice {
        var options = DeviceOptions()
        options.maintenance = .inline
        return try SecureDevice.open(host, credential: try credential(), mode: mode, options: options)
    }

    /// A closed volume with the tree that operations expect.
    private static let base: Swift.Result<SparseBytes, any Error> = Swift.Result {
        let host = MemoryBlockHost()
        var options = VolumeOptions(logicalBytes: 512 * UInt64(blockBytes))
        options.segmentBytes = 16 * blockBytes
        try SecureDevice.create(on: host, options, credential: try credential())
        let device = try open(host, .readWrite)
        var format = EncFS.FormatOptions()
        format.nodeBytes = 4096
        try EncFS.format(device, format)
        let files = try EncFS(mounting: device, Self.options)
        try FileOperation.prepare(files)
        try files.close()
        return host.contents
    }
}
