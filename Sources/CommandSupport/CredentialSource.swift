import CLinux
import Glibc
public import SecureBlock
import SystemPackage

/// Where a command gets the secret that opens a volume. Never the secret itself: that is in no argument or variable.
public enum CredentialSource: Hashable, Sendable {
    /// Ask on the terminal; `twice` where a typing error would lock the owner out.
    case prompt(twice: Bool)
    /// The file's content without one trailing newline; `-` is standard input.
    case passphraseFile(String)
    /// A file of exactly ``Credential/keyFileBytes`` bytes.
    case keyFile(String)

    /// Reads the secret.
    /// - Parameters:
    ///   - volume: the volume's path, for the question.
    ///   - warn: gets a line for what is allowed and unwise, such as a key file that everybody may read.
    /// - Throws: a failure with status ``CommandStatus/credentialUnusable``.
    public func read(volume: String, warn: (String) -> Void = { _ in }) throws(CommandFailure) -> Credential {
        switch self {
        case .prompt(let twice): try Self.ask(volume: volume, twice: twice)
        case .passphraseFile("-"): try Self.passphrase(from: STDIN_FILENO, path: "standard input")
        case .passphraseFile(let path):
            try Self.withFile(path, warn) { descriptor throws(CommandFailure) in
                try Self.passphrase(from: descriptor, path: path)
            }
        case .keyFile(let path):
            try Self.withFile(path, warn) { descriptor throws(CommandFailure) in
                try Self.key(from: descriptor, path: path)
            }
        }
    }

    private static func ask(volume: String, twice: Bool) throws(CommandFailure) -> Credential {
        do {
            let prompt = try PassphrasePrompt()
            let first = try prompt.ask(twice ? "New passphrase for \(volume): " : "Passphrase for \(volume): ")
            guard !first.isEmpty else { throw PassphrasePrompt.Failure.empty }
            if twice {
                let second = try prompt.ask("The same again: ")
                guard first.equals(second) else { throw PassphrasePrompt.Failure.different }
            }
            return try .passphrase(first.secret())
        } catch let failure as PassphrasePrompt.Failure {
            throw CommandFailure(.credentialUnusable, failure.words, advice: failure.advice)
        } catch let failure as CommandFailure {
            throw failure
        } catch {
            throw CommandFailure(.internal, "\(error)")
        }
    }

    private static func passphrase(from descriptor: Int32, path: String) throws(CommandFailure) -> Credential {
        var input = try content(of: descriptor, path: path)
        if input.last == UInt8(ascii: "\n") { input.removeLast() }
        guard !input.isEmpty else { throw CommandFailure(.credentialUnusable, "the passphrase is empty", at: path) }
        return try .passphrase(input.secret())
    }

    private static func key(from descriptor: Int32, path: String) throws(CommandFailure) -> Credential {
        let input = try content(of: descriptor, path: path)
        guard input.count == Credential.keyFileBytes else {
            throw CommandFailure(
                .credentialUnusable,
                "a key file has exactly \(Credential.keyFileBytes) bytes, this one has \(input.count)",
                at: path,
                advice: "To make one: head -c \(Credential.keyFileBytes) /dev/urandom > FILE; chmod 600 FILE")
        }
        return try .keyFile(input.secret())
    }

    private static func content(of descriptor: Int32, path: String) throws(CommandFailure) -> SecretInput {
        var input = SecretInput()
        do {
            guard try input.fill(from: descriptor) else {
                throw CommandFailure(
                    .credentialUnusable, "longer than the \(SecretInput.capacity) bytes that are allowed", at: path)
            }
        } catch let failure as CommandFailure {
            throw failure
        } catch {
            throw CommandFailure(.credentialUnusable, "cannot be read: \(error)", at: path)
        }
        return input
    }

    private static func withFile<Result: ~Copyable>(
        _ path: String, _ warn: (String) -> Void, _ body: (Int32) throws(CommandFailure) -> Result
    ) throws(CommandFailure) -> Result {
        let descriptor = casemate_open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY, 0)
        guard descriptor >= 0 else {
            throw CommandFailure(.credentialUnusable, "cannot be opened: \(lastError())", at: path)
        }
        defer { close(descriptor) }
        var status = stat()
        if fstat(descriptor, &status) == 0, status.st_mode & S_IFMT == S_IFREG, status.st_mode & 0o077 != 0 {
            warn("\(path): others than its owner may read or write this file; to change that: chmod 600 \(path)")
        }
        return try body(descriptor)
    }
}

extension SecretInput {
    /// The bytes in memory that is kept and wiped as secrets are.
    borrowing func secret() throws(CommandFailure) -> SecretBytes {
        do {
            return try withBytes { bytes throws(SealError) in try SecretBytes(copying: bytes) }
        } catch {
            throw CommandFailure(.cryptoFailed, "no memory for a secret: \(error)")
        }
    }
}
