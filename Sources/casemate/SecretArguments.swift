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

    @Flag(
        help: """
            Use the key slot that this machine's TPM 2.0 opens, or fail. Where no secret is named, such a slot is tried before \
            anybody is asked.
            """)
    var tpm = false

    @OptionGroup var pin: PINArguments

    @Option(
        help: ArgumentHelp(
            """
            Where the volume's last commit is remembered, out of reach of who has the volume: file:PATH on other storage, \
            tpm:0xINDEX for an NV index of this machine's TPM 2.0 (such as tpm:0x01800100), or none.
            """, valueName: "anchor"))
    var anchor: AnchorSource?

    @Flag(
        name: .customLong("adopt-anchor"),
        help: """
            Take the unused anchor that is given in the place of the one that the volume had: where that one is lost, or an \
            older copy of the volume is to be used all the same. This once, freshness is not checked.
            """)
    var adoptsAnchor = false

    @Option(
        name: .customLong("anchor-window"),
        help: ArgumentHelp(
            """
            How far the anchor may lag behind what was synced: every (not at all), a time such as 500ms or 2s, a number of \
            commits, or both with a comma between. What it lags by, the host can undo unnoticed. create remembers it; \
            unless told otherwise, every for a file and 600s for a TPM, whose memory wears out.
            """, valueName: "window"))
    var anchorWindow: AnchorPolicy?

    func validate() throws {
        guard [passphraseFile != nil, keyFile != nil, usesTPM].count(where: { $0 }) <= 1 else {
            throw ValidationError("Give one of --passphrase-file, --key-file and --tpm.")
        }
        if adoptsAnchor, anchor == nil || anchor == AnchorSource.none {
            throw ValidationError("--adopt-anchor goes with --anchor file:PATH or tpm:0xINDEX.")
        }
    }

    private var usesTPM: Bool { tpm || pin.isGiven }

    func source(twice: Bool = false) -> CredentialSource {
        if let passphraseFile { return .passphraseFile(passphraseFile) }
        if let keyFile { return .keyFile(keyFile) }
        if usesTPM { return .tpm(pin.pin(twice: twice), registers: []) }
        return .prompt(twice: twice)
    }
}

/// The PIN that a TPM's key slot may ask for.
struct PINArguments: ParsableArguments {
    @Flag(name: .customLong("tpm-pin"), help: "As --tpm, for a slot with a PIN: ask for it.")
    var asks = false

    @Option(
        name: .customLong("tpm-pin-file"),
        help: ArgumentHelp(
            "As --tpm-pin, but read it from PATH; one newline at its end does not count. '-' is standard input.",
            valueName: "path"))
    var file: String?

    func validate() throws {
        if asks, file != nil { throw ValidationError("Give --tpm-pin or --tpm-pin-file, not both.") }
    }

    var isGiven: Bool { asks || file != nil }

    func pin(twice: Bool) -> CredentialSource.PIN {
        if let file { return .file(file) }
        return asks ? .prompt(twice: twice) : .none
    }
}

/// Numbers of platform registers, as `0,2,7`.
struct RegisterList: ExpressibleByArgument, Hashable {
    let numbers: [Int]

    init?(argument: String) {
        var numbers: [Int] = []
        for part in argument.split(separator: ",", omittingEmptySubsequences: false) {
            guard let number = Int(part), (0...23).contains(number), !numbers.contains(number) else { return nil }
            numbers.append(number)
        }
        self.numbers = numbers
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
