import ArgumentParser
import CommandSupport
import FUSEFront
import Glibc
import TPM

@main
struct Program {
    static func main() {
        // Before anything else: a crash must not print or dump memory that will hold keys.
        ProcessHardening.apply()
        ProcessMemory.bound()
        TPMLibrary.silence()
        // Whoever starts us may have signals blocked; Control-C and kill(1) have to work all the same.
        var none = sigset_t()
        sigemptyset(&none)
        sigprocmask(SIG_SETMASK, &none, nil)
        let arguments = Array(CommandLine.arguments.dropFirst())
        do {
            var command = try Casemate.parseAsRoot(arguments)
            try command.run()
        } catch let failure as CommandFailure {
            Terminal.note("casemate: \(failure)")
            let status: FsckStatus = failure.status == .usage ? .usage : .operationalError
            exit(arguments.first == "fsck" ? status.rawValue : failure.status.rawValue)
        } catch let status as ExitCode {
            exit(status.rawValue)
        } catch {
            // Help and usage errors, told and numbered by the parser; `fsck(8)` has a number of its own for the latter.
            let status = Casemate.exitCode(for: error)
            let text = Casemate.fullMessage(for: error)
            if status.isSuccess {
                // Nobody to tell when even that fails.
                do { try Terminal.require(text) } catch { exit(CommandStatus.internal.rawValue) }
                exit(CommandStatus.success.rawValue)
            }
            Terminal.note(text)
            exit(arguments.first == "fsck" ? FsckStatus.usage.rawValue : status.rawValue)
        }
    }
}

struct Casemate: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "casemate",
        abstract: "Encrypted volumes for storage you do not trust.",
        discussion: """
            A volume is one file. Mounted, it is an ordinary directory; whoever holds the file can neither read it nor change it \
            unnoticed.

              casemate create secrets.volume --size 2G
              casemate mount secrets.volume ~/secrets
              casemate unmount ~/secrets

            With --anchor file:PATH on other storage (a USB stick, another disk) or --anchor tpm:0xINDEX an older copy of the \
            volume is refused too.
            Every failure class has its own exit status: casemate exit-codes.
            """,
        version: Version.text,
        subcommands: [
            CreateCommand.self, MountCommand.self, SyncCommand.self, UnmountCommand.self, InfoCommand.self,
            FsckCommand.self, ReplayCommand.self, KeysCommand.self, SnapshotCommand.self, HistoryCommand.self,
            ResizeCommand.self, ImageCommand.self,
            BenchCommand.self,
            ExitCodesCommand.self,
        ])
}

enum Version {
    static let text = "casemate 0.1, draft format 1"
}
