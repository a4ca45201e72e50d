import ArgumentParser
import CommandSupport
import Inspection
import SecureBlock

extension HistoryPolicy: ExpressibleByArgument {
    public init?(argument: String) { self.init(text: argument) }
}

struct HistoryCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "history", abstract: "Show or change how much history a volume keeps.",
        discussion: """
            The log keeps old commits until their space is needed, the newest longest. A policy says how far back they are wanted. \
            When space runs short, history gives way, unless the policy is strict: then writes fail instead.

              casemate history secrets.volume
              casemate history secrets.volume --keep 24h
              casemate history secrets.volume --keep 10G --strict
            """)

    @Argument(help: "The volume's file or block device.", completion: .file())
    var volume: String
    @OptionGroup var secrets: SecretArguments

    @Option(help: "How much: time (30s, 90m, 24h, 7d), log (512M, 10G) or none.")
    var keep: HistoryPolicy?

    @Flag(help: "Have writes fail rather than history shrink.")
    var strict = false

    func validate() throws {
        guard !strict || keep.map({ !$0.isNone }) == true else {
            throw ValidationError("--strict goes with --keep and an amount.")
        }
    }

    func run() throws {
        let access = VolumeAccess(path: volume, secrets)
        guard var policy = keep else {
            let device = try access.openDevice(.readOnly)
            let words = device.historyPolicy.words
            try access.close(device)
            return try Terminal.require("\(volume): history is kept: \(words)")
        }
        policy.isStrict = strict
        try access.withDevice { device throws(CommandFailure) in
            do throws(ReshapeError) { try device.setHistoryPolicy(policy) } catch {
                throw CommandFailure(error, volume: volume)
            }
            return "history is kept: \(policy.words)"
        }
    }
}
