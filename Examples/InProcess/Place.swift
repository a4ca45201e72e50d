import Foundation
import SecureBlock

/// Where the example keeps its files on the host.
struct Place {
    static let greeting = "Hello from the host.\n"

    let volume: String
    let anchor: String
    let shared: String
    private let keyFile: String

    init(_ directory: String) throws {
        volume = directory + "/volume"
        anchor = directory + "/anchor"
        shared = directory + "/shared"
        keyFile = directory + "/key"
        try FileManager.default.createDirectory(atPath: shared, withIntermediateDirectories: true)
        try Self.greeting.write(toFile: shared + "/hello.txt", atomically: false, encoding: .utf8)
    }

    var volumeExists: Bool { FileManager.default.fileExists(atPath: volume) }

    /// The volume's key, made with the first run: 32 random bytes that only the owner can read.
    func key() throws -> SecretBytes {
        if !FileManager.default.fileExists(atPath: keyFile) {
            let made = try SecretBytes.random(byteCount: Credential.keyFileBytes)
            var contents = made.withUnsafeBytes { Data($0) }
            defer { contents.resetBytes(in: contents.indices) }
            guard
                FileManager.default.createFile(
                    atPath: keyFile, contents: contents, attributes: [.posixPermissions: 0o600])
            else { throw CocoaError(.fileWriteUnknown) }
        }
        var stored = try Data(contentsOf: URL(fileURLWithPath: keyFile))
        defer { stored.resetBytes(in: stored.indices) }
        return try stored.withUnsafeBytes { bytes throws in try SecretBytes(copying: bytes) }
    }
}
