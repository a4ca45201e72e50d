import ArgumentParser
import CommandSupport
import Inspection
import SecureBlock
import VolumeControl

struct KeysRotate: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "rotate", abstract: "Draw a new volume key and seal everything again under it.",
        discussion: """
            The volume then opens with the secret given here, and with those given by --also-passphrase-file and --also-key-file. \
            Whoever had the old key, or an old key slot and its secret, can read an old copy of the volume for ever, and nothing \
            that is written from now on. Safe to interrupt: what is left is sealed again the next time.
            """)

    @Argument(help: "The volume's file or block device, or where it is mounted.", completion: .file())
    var volume: String
    @OptionGroup var secrets: SecretArguments
    @OptionGroup var cost: PassphraseCost

    @Option(
        name: .customLong("also-passphrase-file"),
        help: ArgumentHelp("Another passphrase that is to open the volume.", valueName: "path"))
    var passphraseFiles: [String] = []

    @Option(
        name: .customLong("also-key-file"),
        help: ArgumentHelp("Another key file that is to open the volume.", valueName: "path"))
    var keyFiles: [String] = []

    @Flag(
        name: .customLong("also-tpm"),
        help:
            "This machine's TPM too is to open the volume, without PIN and registers; others are added afterwards.")
    var alsoTPM = false

    @Flag(name: .customLong("drop-others"), help: "Empty the key slots whose secrets are not given.")
    var dropsOthers = false

    func run() throws {
        let access = VolumeAccess(path: volume, secrets)
        let place = try access.find(.readWrite)
        let line = ProgressLine("sealing again")
        switch place {
        case .mounted(let client):
            let request = ControlRequest.keysRotate(
                dropsOthers: dropsOthers, unlockMilliseconds: cost.milliseconds)
            try access.ask(client, request, try credentials(access), progress: line)
        case .file(let host):
            let given: [Credential]
            let device: SecureDevice
            do throws(CommandFailure) {
                given = try credentials(access)
                device = try access.open(host, .readWrite, given[0])
            } catch {
                host.close()
                throw error
            }
            try rotate(device, access, given, line)
        }
    }

    private func rotate(
        _ device: SecureDevice, _ access: VolumeAccess, _ given: [Credential], _ line: ProgressLine
    ) throws {
        var rotation = KeyRotation()
        rotation.dropsOthers = dropsOthers
        rotation.unlockMilliseconds = cost.milliseconds
        rotation.progress = { line.update($0, of: $1) }
        let said: String
        do throws(CommandFailure) {
            defer { line.finish() }
            said = try rotation.run(device, volume: volume, for: given)
        } catch {
            try access.close(device)
            throw error
        }
        try access.close(device)
        try Terminal.require(said)
    }

    /// All that are to open the volume afterwards, first the one that opens it now.
    private func credentials(_ access: VolumeAccess) throws(CommandFailure) -> [Credential] {
        var given = [try access.credential()]
        let others =
            passphraseFiles.map(CredentialSource.passphraseFile) + keyFiles.map(CredentialSource.keyFile)
            + (alsoTPM ? [.tpm(.none, registers: [])] : [])
        for source in others {
            given.append(try source.read(volume: volume) { Terminal.note("casemate: warning: \($0)") })
        }
        return given
    }
}

/// How long a guess at a passphrase is to take.
struct PassphraseCost: ParsableArguments {
    @Option(
        name: .customLong("unlock-milliseconds"),
        help: ArgumentHelp(
            "How long one guess at a passphrase should take on this machine, about; never less work than the standard.",
            valueName: "ms"))
    var milliseconds: UInt64 = 500

    func scrypt(for credentials: [Credential]) throws(CommandFailure) -> ScryptCost {
        try .calibrated(for: credentials, milliseconds: milliseconds)
    }
}
