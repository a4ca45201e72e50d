import ArgumentParser
import CommandSupport
import Inspection
import SecureBlock

struct KeysRotate: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "rotate", abstract: "Draw a new volume key and seal everything again under it.",
        discussion: """
            The volume then opens with the secret given here, and with those given by --also-passphrase-file and --also-key-file. \
            Whoever had the old key, or an old key slot and its secret, can read an old copy of the volume for ever, and nothing \
            that is written from now on. Safe to interrupt: what is left is sealed again the next time.
            """)

    @Argument(help: "The volume's file or block device.", completion: .file())
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

    @Flag(name: .customLong("drop-others"), help: "Empty the key slots whose secrets are not given.")
    var dropsOthers = false

    func run() throws {
        let access = VolumeAccess(path: volume, secrets)
        let host = try access.openHost(.readWrite)
        let credentials: [Credential]
        let device: SecureDevice
        do throws(CommandFailure) {
            var given = [try access.credential()]
            let others =
                passphraseFiles.map(CredentialSource.passphraseFile) + keyFiles.map(CredentialSource.keyFile)
            for source in others {
                given.append(try source.read(volume: volume) { Terminal.note("casemate: warning: \($0)") })
            }
            credentials = given
            device = try access.open(host, .readWrite, given[0])
        } catch {
            host.close()
            throw error
        }
        let progress: ResealProgress
        do {
            let slots = try device.rotateVolumeKey(
                for: credentials, droppingOtherSlots: dropsOthers, scrypt: cost.scrypt(for: credentials))
            Terminal.note("casemate: \(volume): new key in slot \(slots.map(String.init).joined(separator: ", "))")
            progress = try device.reseal()
        } catch let error as KeySlotChangeError {
            try access.close(device)
            throw CommandFailure(error, volume: volume)
        } catch {
            try access.close(device)
            throw error
        }
        try access.close(device)
        try Terminal.require(
            progress.isDone
                ? "\(volume): everything is sealed under the new key"
                : "\(volume): \(progress.segments) segments are still under an older key, \(progress.pinnedSegments) of "
                    + "them for snapshots")
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
        let takesPassphrase = credentials.contains { if case .passphrase = $0 { true } else { false } }
        guard takesPassphrase else { return .standard }
        do throws(SealError) { return try ScryptCost.calibrated(milliseconds: milliseconds) } catch {
            throw CommandFailure(.cryptoFailed, "scrypt: \(error)")
        }
    }
}
