import SecureBlock
import SimHost
import Synchronization
import Testing
import VFS

@testable import EncFS

/// Lines reported from any thread.
final class FaultLog: Sendable {
    private let lines = Mutex<[String]>([])
    func add(_ line: String) { lines.withLock { $0.append(line) } }
    var all: [String] { lines.withLock { $0 } }
}

extension EncFS.MountOptions {
    /// No commits but those a test asks for.
    static var quiet: EncFS.MountOptions {
        var options = EncFS.MountOptions()
        options.commitIntervalMilliseconds = 0
        return options
    }
}

func freshDevice(
    blocks: UInt64 = 8192, nodeBytes: Int = 16384, _ options: SimBlockDevice.Options = .init()
) throws -> SimBlockDevice {
    let device = SimBlockDevice(blocks: blocks, options)
    var format = EncFS.FormatOptions()
    format.nodeBytes = nodeBytes
    try EncFS.format(device, format)
    return device
}

/// Everything `check` found, as text.
func findings(_ device: SimBlockDevice, readData: Bool = true) throws -> [String] {
    var found: [String] = []
    _ = try EncFS.check(device, readData: readData, progress: { _, _ in }) { found.append("\($0)") }
    return found
}

extension EncFS {
    func make(
        _ name: String, in directory: NodeID? = nil, kind: NodeKind = .regular, permissions: UInt16 = 0o644
    ) throws -> NodeID {
        let entry = try make(
            NewNode(kind: kind, permissions: permissions), named: Name(name), in: directory ?? root, by: .root)
        forget(entry.node, count: 1)
        return entry.node
    }

    func find(_ name: String, in directory: NodeID? = nil) throws -> NodeID {
        let entry = try lookup(Name(name), in: directory ?? root)
        forget(entry.node, count: 1)
        return entry.node
    }

    @discardableResult
    func write(_ bytes: [UInt8], to node: NodeID, at offset: UInt64) throws -> Int {
        try bytes.withUnsafeBytes { try write(node, .none, at: .offset(offset), $0, []).count }
    }

    func read(_ node: NodeID, at offset: UInt64 = 0, count: Int) throws -> [UInt8] {
        var bytes = [UInt8](repeating: 0xEE, count: count)
        let got = try bytes.withUnsafeMutableBytes { try read(node, .none, at: offset, into: $0) }
        return Array(bytes.prefix(got))
    }

    func setSize(_ size: UInt64, of node: NodeID) throws {
        var change = AttributeChange()
        change.size = size
        _ = try setAttributes(node, change, by: .root)
    }

    func names(in directory: NodeID? = nil) throws -> [String] {
        var names: [String] = []
        try readDirectory(directory ?? root, .none, after: .start, plus: false) {
            names.append($0.name.description)
            return true
        }
        return names
    }

    func sync() throws { try commit(nil, dataOnly: false).wait() }
}

/// The error number a call fails with; `nil` for success.
func errno<R>(_ body: () throws -> R) -> Errno? {
    do {
        _ = try body()
        return nil
    } catch {
        return (error as? VFSError)?.errno
    }
}

func pattern(_ count: Int, seed: UInt64) -> [UInt8] {
    var generator = SimRandom(seed: seed)
    var bytes: [UInt8] = []
    bytes.reserveCapacity(count + 8)
    while bytes.count < count { withUnsafeBytes(of: generator.next()) { bytes.append(contentsOf: $0) } }
    return Array(bytes.prefix(count))
}
