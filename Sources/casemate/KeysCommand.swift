import ArgumentParser
import CommandSupport
import Inspection
import SecureBlock

struct KeysCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "keys", abstract: "List, add, remove or change what opens a volume.",
        discussion: """
            A volume has eight key slots. Each holds the volume's key, wrapped under a passphrase or a key file; any one of them \
            opens the volume. The volume must not be mounted.

            Removing a slot does not change the volume's key: whoever kept a copy of the old slot and knows its passphrase \
            can still read what a copy of the volume holds.
            """,
        subcommands: [KeysList.self, KeysAdd.self, KeysRemove.self, KeysChange.self])
}

/// A second secret, beside the one that opens the volume now.
struct NewSecretArguments: ParsableArguments {
    @Option(
        name: .customLong("new-passphrase-file"),
        help: ArgumentHelp(
            "Read the new passphrase from PATH instead of asking; one newline at its end does not count.",
            valueName: "path"))
    var passphraseFile: String?

    @Option(
        name: .customLong("new-key-file"),
        help: ArgumentHelp("Use a file of exactly 32 random bytes as the new secret.", valueName: "path"))
    var keyFile: String?

    func validate() throws {
        if passphraseFile != nil, keyFile != nil {
            throw ValidationError("Give --new-passphrase-file or --new-key-file, not both.")
        }
    }

    func credential(volume: String) throws(CommandFailure) -> Credential {
        let source: CredentialSource =
            if let passphraseFile { .passphraseFile(passphraseFile) } else if let keyFile { .keyFile(keyFile) } else
            {
                .prompt(twice: true)
            }
        return try source.read(volume: volume) { Terminal.note("casemate: warning: \($0)") }
    }
}

struct KeysList: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "list", abstract: "Show which key slots are in use. Changes nothing.")

    @Argument(help: "The volume's file or block device.", completion: .file())
    var volume: String
    @OptionGroup var secrets: SecretArguments

    func run() throws {
        let access = VolumeAccess(path: volume, secrets)
        let device = try access.openDevice(.readOnly)
        let status = device.status
        try access.close(device)
        let lines = status.keySlots.map { slot in
            "\(slot.slot)  \(slot.state.words)\(slot.slot == status.usedKeySlot ? "  (used now)" : "")"
        }
        try Terminal.require(lines.joined(separator: "\n"))
    }
}

struct KeysAdd: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "add", abstract: "Let another passphrase or key file open the volume too.")

    @Argument(help: "The volume's file or block device.", completion: .file())
    var volume: String
    @OptionGroup var secrets: SecretArguments
    @OptionGroup var new: NewSecretArguments

    func run() throws {
        try changeKeys(volume, secrets) { device throws(CommandFailure) in
            let credential = try new.credential(volume: volume)
            do throws(KeySlotChangeError) {
                return "key slot \(try device.addKeySlot(credential)) opens the volume too"
            } catch { throw CommandFailure(error, volume: volume) }
        }
    }
}

struct KeysRemove: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "remove", abstract: "Take a key slot away. The last one in use stays.")

    @Argument(help: "The volume's file or block device.", completion: .file())
    var volume: String
    @Option(help: "The slot's number, as casemate keys list shows it.")
    var slot: Int
    @OptionGroup var secrets: SecretArguments

    func run() throws {
        try changeKeys(volume, secrets) { device throws(CommandFailure) in
            do throws(KeySlotChangeError) {
                try device.removeKeySlot(slot)
                return "key slot \(slot) is empty"
            } catch { throw CommandFailure(error, volume: volume) }
        }
    }
}

struct KeysChange: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "change", abstract: "Replace the passphrase or key file that is given by a new one.")

    @Argument(help: "The volume's file or block device.", completion: .file())
    var volume: String
    @OptionGroup var secrets: SecretArguments
    @OptionGroup var new: NewSecretArguments

    func run() throws {
        try changeKeys(volume, secrets) { device throws(CommandFailure) in
            let old = device.status.usedKeySlot
            let credential = try new.credential(volume: volume)
            do throws(KeySlotChangeError) {
                // The new one is durable before the old one goes: a crash in between leaves both.
                let slot = try device.addKeySlot(credential)
                try device.removeKeySlot(old)
                return "key slot \(slot) opens the volume in place of slot \(old)"
            } catch { throw CommandFailure(error, volume: volume) }
        }
    }
}

/// Opens the volume for writing, has `change` done, closes it, and says what was done.
private func changeKeys(
    _ volume: String, _ secrets: SecretArguments, _ change: (SecureDevice) throws(CommandFailure) -> String
) throws {
    let access = VolumeAccess(path: volume, secrets)
    let device = try access.openDevice(.readWrite)
    let said: String
    do throws(CommandFailure) {
        said = try change(device)
    } catch {
        try access.close(device)
        throw error
    }
    try access.close(device)
    try Terminal.require("\(volume): \(said)")
}
