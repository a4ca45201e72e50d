import ArgumentParser
import CommandSupport
import Inspection
import SecureBlock

/// What opens a volume: a passphrase or a key file, and the anchor.
struct SecretArguments: ParsableArguments {
    @Option(
        name: .customLong("passphrase-file"),
        help: ArgumentHelp(
            "Read the passphrase from PATH instead of asking; one newline at its end does not count. '-' is standard input.",
            valueName: "path"))
    var passphraseFile: String?

    @Option(
        name: .customLong("key-file"),
        help: ArgumentHelp("Use a file of exactly 32 random bytes instead of a passphrase.", valueName: "path"))
    var keyFile: String?

    @Option(
        help: ArgumentHelp(
            "Where the volume's last commit is remembered, on other storage than the volume: file:PATH, or none.",
            valueName: "anchor"))
    var anchor: AnchorSource?

    @Option(
        name: .customLong("anchor-window"),
        help: ArgumentHelp(
            """
            How far the anchor may lag behind what was synced: every (not at all), a time such as 500ms or 2s, a number of \
            commits, or both with a comma between. What it lags by, the host can undo unnoticed. create remembers it.
            """, valueName: "window"))
    var anchorWindow: AnchorPolicy?

    func validate() throws {
        if passphraseFile != nil, keyFile != nil {
            throw ValidationError("Give --passphrase-file or --key-file, not both.")
        }
    }

    func source(twice: Bool = false) -> CredentialSource {
        if let passphraseFile { return .passphraseFile(passphraseFile) }
        if let keyFile { return .keyFile(keyFile) }
        return .prompt(twice: twice)
    }
}

extension AnchorSource: ExpressibleByArgument {
    public init?(argument: String) { self.init(argument) }
    public var defaultValueDescription: String { description }
}

extension AnchorPolicy: ExpressibleByArgument {
    public init?(argument: String) { self.init(argument) }
}

extension CipherSuite: ExpressibleByArgument {
    public init?(argument: String) { self.init(name: argument) }
    public var defaultValueDescription: String { name }
    public static var allValueStrings: [String] { allCases.map(\.name) }
}

extension ByteCount: ExpressibleByArgument {
    public init?(argument: String) { self.init(argument) }
    public var defaultValueDescription: String { description }
}
