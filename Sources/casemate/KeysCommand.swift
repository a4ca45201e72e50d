import ArgumentParser
import CommandSupport
import Inspection
import SecureBlock
import VolumeControl

struct KeysCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "keys", abstract: "List, add, remove or change what opens a volume, or its key itself.",
        discussion: """
            A volume has eight key slots. Each holds the volume's key, wrapped under a passphrase, a key file or a secret of this machine's TPM; any one of them \
            opens the volume. VOLUME may also be the directory where it is mounted; who changes slots then gives a secret that \
            opens the volume all the same.

            Removing a slot does not change the volume's key: whoever kept a copy of the old slot and knows its passphrase \
            can still read what a copy of the volume holds. casemate keys rotate changes the key; an old copy of the volume, \
            with the slots it had, can be opened as before.
            """,
        subcommands: [KeysList.self, KeysAdd.self, KeysRemove.self, KeysChange.self, KeysRotate.self])
}

/// The volume that a `keys` command is about, and what opens it.
struct KeysArguments: ParsableArguments {
    @Argument(help: "The volume's file or block device, or where it is mounted.", completion: .file())
    var volume: String
    @OptionGroup var secrets: SecretArguments

    /// Has `request` performed by the process that serves the volume, or opens the volume and has `change` done.
    /// - Parameter new: the secret that goes with the request, asked for once the one that opens the volume is known.
    func change(
        _ request: ControlRequest, new: NewSecretArguments? = nil,
        _ change: (KeySlotEditor, _ used: Int, _ new: Credential?) throws(CommandFailure) -> String
    ) throws {
        let access = VolumeAccess(path: volume, secrets)
        switch try access.find(.readWrite) {
        case .mounted(let client):
            var credentials = [try access.credential()]
            if let new { credentials.append(try new.credential(volume: volume)) }
            try access.ask(client, request, credentials)
        case .file(let host):
            let device = try access.openDevice(.readWrite, on: host)
            let said: String
            do throws(CommandFailure) {
                let editor = KeySlotEditor(device, volume: volume)
                said = try change(editor, device.status.usedKeySlot, try new?.credential(volume: volume))
            } catch {
                try access.close(device)
                throw error
            }
            try access.close(device)
            try Terminal.require(said)
        }
    }
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

    @Flag(
        name: .customLong("new-tpm"),
        help:
            "Seal the new slot's secret in this machine's TPM 2.0: with it, the volume opens without a passphrase.")
    var tpm = false

    @Flag(name: .customLong("new-tpm-pin"), help: "As --new-tpm, with a PIN whose wrong guesses the TPM limits.")
    var asksPIN = false

    @Option(
        name: .customLong("new-tpm-pin-file"),
        help: ArgumentHelp("As --new-tpm-pin, but read the PIN from PATH.", valueName: "path"))
    var pinFile: String?

    @Option(
        name: .customLong("new-tpm-pcrs"),
        help: ArgumentHelp(
            """
            As --new-tpm, and only while these platform registers (SHA-256 bank) are as they are now, such as 0,2,7. They change \
            with firmware, boot loader and kernel: have another key slot.
            """, valueName: "numbers"))
    var registers: RegisterList?

    private var usesTPM: Bool { tpm || asksPIN || pinFile != nil || registers != nil }

    func validate() throws {
        guard [passphraseFile != nil, keyFile != nil, usesTPM].count(where: { $0 }) <= 1 else {
            throw ValidationError("Give one of --new-passphrase-file, --new-key-file and --new-tpm.")
        }
        if asksPIN, pinFile != nil { throw ValidationError("Give --new-tpm-pin or --new-tpm-pin-file, not both.") }
    }

    func credential(volume: String) throws(CommandFailure) -> Credential {
        let source: CredentialSource =
            if let passphraseFile {
                .passphraseFile(passphraseFile)
            } else if let keyFile {
                .keyFile(keyFile)
            } else if usesTPM {
                .tpm(
                    pinFile.map { .file($0) } ?? (asksPIN ? .prompt(twice: true) : .none),
                    registers: registers?.numbers ?? [])
            } else {
                .prompt(twice: true)
            }
        return try source.read(volume: volume) { Terminal.note("casemate: warning: \($0)") }
    }
}

struct KeysList: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "list", abstract: "Show which key slots are in use. Changes nothing.")

    @OptionGroup var arguments: KeysArguments

    func run() throws {
        let access = VolumeAccess(path: arguments.volume, arguments.secrets)
        switch try access.find(.readOnly) {
        case .mounted(let client): try access.ask(client, .keysList)
        case .file(let host):
            let device = try access.openDevice(.readOnly, on: host)
            let text = device.status.keySlotText
            try access.close(device)
            try Terminal.require(text)
        }
    }
}

struct KeysAdd: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "add", abstract: "Let another passphrase, key file or TPM open the volume too.")

    @OptionGroup var arguments: KeysArguments
    @OptionGroup var new: NewSecretArguments

    func run() throws {
        try arguments.change(.keysAdd, new: new) { editor, _, new throws(CommandFailure) in
            guard let new else { return "" }
            return try editor.add(new)
        }
    }
}

struct KeysRemove: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "remove", abstract: "Take a key slot away. The last one in use stays.")

    @OptionGroup var arguments: KeysArguments
    @Option(help: "The slot's number, as casemate keys list shows it.")
    var slot: Int

    func validate() throws {
        guard (0..<Layout.keySlotCount).contains(slot) else {
            throw ValidationError("--slot is between 0 and \(Layout.keySlotCount - 1).")
        }
    }

    func run() throws {
        try arguments.change(.keysRemove(slot: slot)) { editor, _, _ throws(CommandFailure) in
            try editor.remove(slot)
        }
    }
}

struct KeysChange: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "change", abstract: "Replace the passphrase, key file or TPM that is given by a new one.")

    @OptionGroup var arguments: KeysArguments
    @OptionGroup var new: NewSecretArguments

    func run() throws {
        try arguments.change(.keysChange, new: new) { editor, used, new throws(CommandFailure) in
            guard let new else { return "" }
            return try editor.replace(used, by: new)
        }
    }
}
