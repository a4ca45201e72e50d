import CLinux
import Glibc
public import SecureBlock
import SystemPackage
import TPM

/// Where a command gets the secret that opens a volume. Never the secret itself: that is in no argument or variable.
public enum CredentialSource: Hashable, Sendable {
    /// Ask on the terminal; `twice` where a typing error would lock the owner out.
    case prompt(twice: Bool)
    /// The file's content without one trailing newline; `-` is standard input.
    case passphraseFile(String)
    /// A file of exactly ``Credential/keyFileBytes`` bytes.
    case keyFile(String)
    /// What a TPM keeps; for a new slot also the platform registers that it is sealed to.
    case tpm(PIN, registers: [Int])

    /// What goes with a TPM.
    public enum PIN: Hashable, Sendable {
        case none
        case prompt(twice: Bool)
        /// The file's content without one trailing newline; `-` is standard input.
        case file(String)
    }

    /// Reads the secret.
    /// - Parameters:
    ///   - volume: the volume's path, for the question.
    ///   - warn: gets a line for what is allowed and unwise, such as a key file that everybody may read.
    /// - Throws: a failure with status ``CommandStatus/credentialUnusable``.
    public func read(volume: String, warn: (String) -> Void = { _ in }) throws(CommandFailure) -> Credential {
        switch self {
        case .prompt(let twice): try .passphrase(Self.ask("passphrase", volume: volume, twice: twice))
        case .tpm(let pin, let registers): try Self.sealer(pin, registers, volume, warn)
        case .passphraseFile(let path): try .passphrase(Self.line("passphrase", path, warn))
        case .keyFile(let path):
            try Self.withFile(path, warn) { descriptor throws(CommandFailure) in
                try Self.key(from: descriptor, path: path)
            }
        }
    }

    private static func sealer(
        _ pin: PIN, _ registers: [Int], _ volume: String, _ warn: (String) -> Void
    ) throws(CommandFailure) -> Credential {
        let secret: SecretBytes? =
            switch pin {
            case .none: nil
            case .prompt(let twice): try ask("PIN", volume: volume, twice: twice)
            case .file(let path): try line("PIN", path, warn)
            }
        guard let sealer = TPMSealer(at: .fromEnvironment, pin: secret, registers: registers) else {
            throw CommandFailure(.usage, "platform registers have numbers from 0 to 23")
        }
        return .sealer(sealer)
    }

    private static func ask(_ what: String, volume: String, twice: Bool) throws(CommandFailure) -> SecretBytes {
        do {
            let prompt = try PassphrasePrompt()
            let name = what == "PIN" ? what : "Passphrase"
            let first = try prompt.ask(twice ? "New \(what) for \(volume): " : "\(name) for \(volume): ")
            guard !first.isEmpty else { throw PassphrasePrompt.Failure.empty }
            if twice {
                let second = try prompt.ask("The same again: ")
                guard first.equals(second) else { throw PassphrasePrompt.Failure.different }
            }
            return try first.secret()
        } catch let failure as PassphrasePrompt.Failure {
            throw CommandFailure(.credentialUnusable, failure.words, advice: failure.advice)
        } catch let failure as CommandFailure {
            throw failure
        } catch {
            throw CommandFailure(.internal, "\(error)")
        }
    }

    /// The content of a file without one trailing newline.
    private static func line(
        _ what: String, _ path: String, _ warn: (String) -> Void
    ) throws(CommandFailure) -> SecretBytes {
        if path == "-" { return try line(what, from: STDIN_FILENO, path: "standard input") }
        return try withFile(path, warn) { descriptor throws(CommandFailure) in
            try line(what, from: descriptor, path: path)
        }
    }

    private static func line(
        _ what: String, from descriptor: Int32, path: String
    ) throws(CommandFailure) -> SecretBytes {
        var input = try content(of: descriptor, path: path)
        if input.last == UInt8(ascii: "\n") { input.removeLast() }
        guard !input.isEmpty else { throw CommandFailure(.credentialUnusable, "the \(what) is empty", at: path) }
        return try input.secret()
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
