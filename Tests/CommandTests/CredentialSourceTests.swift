import CommandSupport
import Foundation
import Testing

@Suite struct CredentialSourceTests {
    private func secret(_ content: String) throws -> [UInt8] {
        try inTemporaryFolder { folder in
            let path = folder.appendingPathComponent("passphrase").path
            try Data(content.utf8).write(to: URL(fileURLWithPath: path))
            guard case .passphrase(let secret) = try CredentialSource.passphraseFile(path).read(volume: "v") else {
                return []
            }
            return secret.withUnsafeBytes { Array($0) }
        }
    }

    @Test(arguments: [
        ("abc\n", "abc"), ("abc", "abc"), ("abc\n\n", "abc\n"), ("abc\r\n", "abc\r"), (" a b ", " a b "),
        ("\na", "\na"),
        ("ü🧱\n", "ü🧱"), ("a\u{0}b", "a\u{0}b"),
    ])
    func oneNewlineDoesNotCount(_ content: String, _ passphrase: String) throws {
        #expect(try secret(content) == Array(passphrase.utf8))
    }

    @Test(arguments: ["", "\n"])
    func emptyPassphrasesAreRefused(_ content: String) {
        #expect(throws: CommandFailure.self) { try secret(content) }
    }

    @Test func lengthIsLimited() throws {
        #expect(try secret(String(repeating: "x", count: 4096)).count == 4096)
        #expect(throws: CommandFailure.self) { try secret(String(repeating: "x", count: 4097)) }
    }

    @Test(arguments: [0, 31, 33, 4096, 5000])
    func keyFilesHaveOneSize(_ count: Int) throws {
        try inTemporaryFolder { folder in
            let file = folder.appendingPathComponent("key")
            try Data(repeating: 7, count: count).write(to: file)
            let failure = #expect(throws: CommandFailure.self) {
                try CredentialSource.keyFile(file.path).read(volume: "v")
            }
            #expect(failure?.status == .credentialUnusable)
            #expect(failure?.place == file.path)
        }
    }

    @Test(arguments: [(0o600, 0), (0o400, 0), (0o640, 1), (0o604, 1), (0o666, 1)])
    func keysThatOthersReadAreWarnedOf(_ mode: Int, _ warnings: Int) throws {
        try inTemporaryFolder { folder in
            let file = folder.appendingPathComponent("key")
            try Data(repeating: 7, count: 32).write(to: file)
            try FileManager.default.setAttributes([.posixPermissions: mode], ofItemAtPath: file.path)
            var heard: [String] = []
            let key = try CredentialSource.keyFile(file.path).read(volume: "v") { heard.append($0) }
            guard case .keyFile(let bytes) = key else {
                Issue.record("not a key")
                return
            }
            #expect(bytes.byteCount == 32)
            #expect(heard.count == warnings)
        }
    }

    @Test func aMissingFileIsNamed() {
        let failure = #expect(throws: CommandFailure.self) {
            try CredentialSource.passphraseFile("/nonexistent/passphrase").read(volume: "v")
        }
        #expect(failure?.status == .credentialUnusable)
        #expect(failure?.place == "/nonexistent/passphrase")
    }

    /// However a failure or a secret is turned into text, the secret is not in it.
    @Test func nothingPrintsASecret() throws {
        try inTemporaryFolder { folder in
            let file = folder.appendingPathComponent("p")
            try Data("correct horse".utf8).write(to: file)
            let secret = try CredentialSource.passphraseFile(file.path).read(volume: "v")
            var dumped = ""
            dump(secret, to: &dumped)
            for text in ["\(secret)", String(reflecting: secret), dumped] { #expect(!text.contains("horse")) }
        }
    }

    @Test(arguments: [
        ("none", AnchorSource.none), ("file:/a/b", .file(path: "/a/b")), ("file:x:y", .file(path: "x:y")),
        ("tpm:0x1800100", .tpm(index: 0x0180_0100)),
    ])
    func anchorsAreNamed(_ text: String, _ source: AnchorSource) {
        #expect(AnchorSource(text) == source)
        #expect(source.description == text)
    }

    @Test(arguments: [
        "", "file:", "file", "tpm:", "tpm:0x", "tpm:0x81000001", "tpm:1800100", "tpm:0x0180010000", "NONE", "/a/b",
    ])
    func otherAnchorsAreRefused(_ text: String) {
        #expect(AnchorSource(text) == nil)
    }
}
