import ArgumentParser
import CommandSupport
import Glibc
import Inspection
import SecureBlock

struct CreateCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "create", abstract: "Make a new, empty volume.",
        discussion: """
            Makes the file VOLUME (or takes an empty file, or a block device that starts with zeros), protects it with a new random \
            key under your passphrase or key file, and puts an empty filesystem on it. The file starts small and grows with what \
            is stored. Nothing that exists is ever overwritten.

              casemate create secrets.volume --size 2G
              casemate create secrets.volume --size 100G --anchor file:/media/stick/secrets.anchor
              casemate create secrets.volume --size 100G --anchor tpm:0x01800100

            A forgotten passphrase cannot be recovered by anybody.
            """)

    @Argument(help: "The file or block device that will hold the volume.", completion: .file())
    var volume: String

    @Option(help: "How much the volume holds: a number with K, M, G or T (powers of 1024).")
    var size: ByteCount

    @OptionGroup var secrets: SecretArguments
    @OptionGroup var cost: PassphraseCost

    @Option(
        name: .customLong("segment-size"),
        help: "The unit of writing and reuse, a power of two; 4M, and more beyond 1T, unless given.")
    var segmentSize: ByteCount?

    @Option(help: "Room beyond the size for the log to work in, in percent of it.")
    var spare = 10

    @Option(
        help: ArgumentHelp(
            """
            aes-256-gcm (unless told otherwise), chacha20-poly1305, or integrity-only: contents and names are then stored in clear, for all to read, and \
            only protected against changes.
            """, valueName: "suite"))
    var cipher: CipherSuite?

    @Flag(
        name: .customLong("no-filesystem"),
        help: "Put no filesystem on it: a plain disk, for fuse-debug --block.")
    var isPlain = false

    @Option(
        name: .customLong("keep-history"),
        help: "How far back commits are wanted: time (24h, 7d), log (10G) or none; see casemate history --help.")
    var keepHistory = HistoryPolicy.none

    func validate() throws {
        guard size.bytes >= 2 << 20, size.bytes % UInt64(blockBytes) == 0 else {
            throw ValidationError("--size is a multiple of 4096 bytes, and at least 2M.")
        }
        if let bytes = segmentSize?.bytes {
            guard bytes >= 64 << 10, bytes <= 64 << 20, bytes & (bytes - 1) == 0 else {
                throw ValidationError("--segment-size is a power of two from 64K to 64M.")
            }
        }
        guard (1...1000).contains(spare) else { throw ValidationError("--spare is between 1 and 1000 percent.") }
    }

    func run() throws {
        let access = VolumeAccess(path: volume, secrets)
        let existed = Glibc.access(volume, F_OK) == 0
        let host = try access.makeHost()
        do {
            let credential = try access.credential(twice: true)
            var options = VolumeOptions(logicalBytes: size.bytes)
            options.segmentBytes = segmentSize.map { Int($0.bytes) }
            options.sparePerMille = spare * 10
            options.history = keepHistory
            if let cipher { options.cipher = cipher }
            options.anchorPolicy = secrets.anchorWindow
            try access.create(
                on: host, options, credential, scrypt: cost.scrypt(for: [credential]),
                owner: isPlain ? nil : (getuid(), getgid()))
        } catch {
            host.close()
            // What we made and could not finish is no volume. What was there before is left alone.
            if !existed { unlink(volume) }
            throw error
        }
        try Terminal.require("\(volume): a new volume of \(size)")
        if let cipher, !cipher.isConfidential {
            Terminal.note("casemate: integrity only: whoever has the file can read everything in it")
        }
        if secrets.anchor == nil {
            Terminal.note(
                "casemate: no anchor: an older copy of the whole file will not be noticed (see --anchor in --help)")
        } else if secrets.anchorWindow == nil, let window = secrets.anchor?.anchor?.preferredPolicy,
            !window.isEveryCommit
        {
            Terminal.note(
                "casemate: the anchor is \(window) (see --anchor-window): as much can be undone unnoticed after a crash"
            )
        }
    }
}
