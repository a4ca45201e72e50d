import EncFS
import Foundation
import SecureBlock
import VFS

/// The files of a volume that nobody has mounted, in this process.
extension VolumeFile {
    func keyFile(_ path: String) throws -> Credential {
        let bytes = try Array(Data(contentsOf: URL(fileURLWithPath: path)))
        return .keyFile(try bytes.withUnsafeBytes { try SecretBytes(copying: $0) })
    }

    /// Runs `body` with the path of a copy, which nobody else has ever had open: between fork and exec, a program that
    /// another test starts holds every lock that this process has.
    func withCopy<Result>(_ body: (String) throws -> Result) throws -> Result {
        let name = "copy-\(UUID().uuidString)"
        try copy(to: name)
        let copied = folder.appendingPathComponent(name)
        defer { try? FileManager.default.removeItem(at: copied) }
        return try body(copied.path)
    }

    /// Runs `body` on the filesystem, and closes it.
    /// - Parameter key: the key file that opens the volume; the first one unless given.
    func withFiles(_ mode: OpenMode, key: String? = nil, _ body: (EncFS) throws -> Void) throws {
        let isWriting = mode == .readWrite
        try withCopy { copied in
            let host = try FileBlockHost.open(path: copied, FileHostOptions(readOnly: !isWriting))
            let device: SecureDevice
            do { device = try SecureDevice.open(host, credential: keyFile(key ?? self.key), mode: mode) } catch {
                host.close()
                throw error
            }
            var options = EncFS.MountOptions()
            options.readOnly = !isWriting
            let files = try EncFS(mounting: device, options)
            try body(files)
            try files.close()
            try device.close()
            guard isWriting else { return }
            try FileManager.default.removeItem(at: image)
            try FileManager.default.copyItem(at: URL(fileURLWithPath: copied), to: image)
        }
    }
}

extension EncFS {
    /// Makes a file in the root directory.
    func make(_ name: String, holding bytes: [UInt8]) throws {
        let node = try make(
            NewNode(kind: .regular, permissions: 0o600), named: Name(name), in: root, by: .root
        ).node
        let handle = try open(node, .write)
        defer { close(node, handle) }
        _ = try bytes.withUnsafeBytes { try write(node, handle, at: .offset(0), $0, []) }
    }

    /// The node at `path`, from the root.
    func node(at path: String) throws -> NodeID {
        try path.split(separator: "/").reduce(root) { try lookup(Name(String($1)), in: $0).node }
    }

    /// What a file holds, at most `limit` bytes of it.
    func contents(of path: String, from offset: UInt64 = 0, upTo limit: Int) throws -> [UInt8] {
        let node = try node(at: path)
        let handle = try open(node, .read)
        defer { close(node, handle) }
        var bytes = [UInt8](repeating: 0, count: limit)
        let count = try bytes.withUnsafeMutableBytes { try read(node, handle, at: offset, into: $0) }
        return Array(bytes.prefix(count))
    }
}
