import Foundation
import SecureBlock
import Testing

/// A volume made by the built program in a folder of its own, and ways to spoil its file.
struct VolumeFile {
    let folder: URL
    var path: String { folder.appendingPathComponent("v.volume").path }
    var key: String { folder.appendingPathComponent("key").path }
    var passphrase: String { folder.appendingPathComponent("passphrase").path }
    var anchor: String { "file:" + folder.appendingPathComponent("anchor").path }

    static let passphraseText = "tide pool lantern"

    enum Kind { case key, passphrase }

    /// 64 KiB segments keep it small; a key file keeps it fast (no scrypt).
    init(
        in folder: URL, _ kind: Kind = .key, size: String = "8M", anchored: Bool = false,
        options: [String] = [], environment: [String: String] = [:]
    ) throws {
        self.folder = folder
        try Data((0..<32).map { UInt8($0) }).write(to: folder.appendingPathComponent("key"))
        try Data("\(Self.passphraseText)\n".utf8).write(to: folder.appendingPathComponent("passphrase"))
        for name in ["key", "passphrase"] {
            try FileManager.default.setAttributes(
                [.posixPermissions: 0o600], ofItemAtPath: folder.appendingPathComponent(name).path)
        }
        var arguments = ["create", path, "--size", size, "--segment-size", "64K"] + credential(kind) + options
        if anchored { arguments += ["--anchor", anchor] }
        let made = try ProgramRun.run(ProgramRun.casemate, arguments, environment: environment)
        try #require(made.status == 0, "\(made.text)")
    }

    /// Another volume's copy, in a folder of its own, which holds nothing else.
    init(copyOf other: VolumeFile, named name: String) throws {
        folder = other.folder.appendingPathComponent("\(name)-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        try FileManager.default.copyItem(atPath: other.key, toPath: key)
        try FileManager.default.copyItem(at: other.folder.appendingPathComponent(name), to: image)
    }

    func credential(_ kind: Kind = .key) -> [String] {
        switch kind {
        case .key: ["--key-file", key]
        case .passphrase: ["--passphrase-file", passphrase]
        }
    }

    /// Another key file, that opens nothing yet.
    func secondKey() throws -> String {
        let path = folder.appendingPathComponent("second").path
        try Data((100..<132).map { UInt8($0) }).write(to: URL(fileURLWithPath: path))
        return path
    }

    /// Runs a command on the volume with its key file.
    func run(_ command: String, _ more: String...) throws -> ProgramRun {
        try ProgramRun.run(ProgramRun.casemate, [command, path] + credential() + more)
    }

    /// Changes bytes of the file.
    func patch(at offset: UInt64, _ change: (inout [UInt8]) -> Void, count: Int = 1) throws {
        let file = try FileHandle(forUpdating: URL(fileURLWithPath: path))
        defer { try? file.close() }
        try file.seek(toOffset: offset)
        var bytes = [UInt8](try #require(try file.read(upToCount: count)))
        change(&bytes)
        try file.seek(toOffset: offset)
        try file.write(contentsOf: Data(bytes))
    }

    func flipBit(at offset: UInt64) throws { try patch(at: offset, { $0[0] ^= 0x10 }) }

    /// Changes a superblock copy and makes its checksum, which needs no key, fit again.
    func forgeSuperblock(_ copy: Int, _ change: (inout [UInt8]) -> Void) throws {
        try patch(
            at: Layout.superblocks[copy] * UInt64(blockBytes),
            { bytes in
                change(&bytes)
                if let sum = try? Digest.sha256(Array(bytes[..<4032])) {
                    bytes.replaceSubrange(4032..<4064, with: sum)
                }
            }, count: blockBytes)
    }

    static func offset(superblock copy: Int) -> UInt64 { Layout.superblocks[copy] * UInt64(blockBytes) }
    static func offset(keySlot slot: Int) -> UInt64 { Layout.keySlot(slot) * UInt64(blockBytes) }
    static func offset(root slot: Int) -> UInt64 { Layout.rootSlots[slot] * UInt64(blockBytes) }
}
