import CLinux
import Foundation
import Glibc
import MemFS
import Mounting
import Testing
import VFS

@testable import FUSEFront

/// Whether this machine lets us mount; a test that needs it says what is missing when it is skipped.
enum Machine {
    static let canMount = ServedMount.isPossible
    static let isRoot = geteuid() == 0
    static let noMount: Comment = "needs /dev/fuse, and root or fusermount3"
    static let noRoot: Comment = "needs root, to act as another user"
}

extension Trait where Self == ConditionTrait {
    static var mounts: Self { .enabled(if: Machine.canMount, Machine.noMount) }
    static var mountsAsRoot: Self { .enabled(if: Machine.canMount && Machine.isRoot, Machine.noRoot) }
}

/// A directory of this test alone.
final class ScratchDirectory: Sendable {
    let path: String

    init() throws {
        let template = FileManager.default.temporaryDirectory.appendingPathComponent("casemate-XXXXXX").path
        var bytes = Array(template.utf8CString)
        path = try #require(mkdtemp(&bytes).map { String(cString: $0) })
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }

    func make(_ name: String) throws -> String {
        let path = path + "/" + name
        try #require(mkdir(path, 0o755) == 0)
        return path
    }
}

/// A filesystem mounted and served by this process at a directory of its own.
final class Mounted: Sendable {
    let path: String
    private let mount: ServedMount
    private let scratch: ScratchDirectory

    var session: FUSESession { mount.session }

    init(
        _ filesystem: any FileSystem = MemFS(), _ options: FUSEOptions? = nil,
        over below: Mounted? = nil, control: (any ControlHandler)? = nil, trace: OperationTrace? = nil
    ) throws {
        scratch = try ScratchDirectory()
        path = try below?.path ?? scratch.make("mount")
        mount = try ServedMount(filesystem, at: path, options ?? FUSEOptions(), control: control, trace: trace)
    }

    /// Waits until the mount is gone, and expects that serving went well.
    func end() {
        #expect(throws: Never.self) { try mount.end() }
    }

    /// Runs `body` on the mounted directory, then takes it down.
    static func with(
        _ filesystem: any FileSystem = MemFS(), _ options: FUSEOptions? = nil, _ body: (String) throws -> Void
    ) throws {
        let mounted = try Mounted(filesystem, options)
        defer { mounted.end() }
        try body(mounted.path)
    }
}

/// What `errno` a call left, or 0 when it went well.
func failure(_ result: Int) -> Int32 { result < 0 ? errno : 0 }
func failure(_ result: Int32) -> Int32 { failure(Int(result)) }

/// An open file that closes itself.
final class OpenFile {
    let descriptor: Int32

    init(_ path: String, _ flags: Int32, _ mode: mode_t = 0o644) throws {
        descriptor = casemate_open(path, flags | O_CLOEXEC, mode)
        try #require(descriptor >= 0, "open \(path): \(errno)")
    }

    deinit { close(descriptor) }

    func write(_ bytes: [UInt8], at offset: Int) throws {
        var done = 0
        while done < bytes.count {
            let count = bytes.withUnsafeBytes {
                pwrite(descriptor, $0.baseAddress.map { $0 + done }, bytes.count - done, offset + done)
            }
            try #require(count > 0, "pwrite: \(errno)")
            done += count
        }
    }

    func read(_ count: Int, at offset: Int) throws -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: count)
        var done = 0
        while done < count {
            let got = bytes.withUnsafeMutableBytes {
                pread(descriptor, $0.baseAddress.map { $0 + done }, count - done, offset + done)
            }
            try #require(got >= 0, "pread: \(errno)")
            if got == 0 { break }
            done += got
        }
        return Array(bytes[..<done])
    }
}

func status(_ path: String) throws -> stat {
    var status = stat()
    try #require(lstat(path, &status) == 0, "lstat \(path): \(errno)")
    return status
}

func exists(_ path: String) -> Bool {
    var status = stat()
    return lstat(path, &status) == 0
}

/// Bytes that differ from place to place.
func pattern(_ count: Int, seed: UInt64 = 1) -> [UInt8] {
    var state = seed &* 0x9E37_79B9_7F4A_7C15 | 1
    return (0..<count).map { _ in
        state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        return UInt8(truncatingIfNeeded: state >> 33)
    }
}
