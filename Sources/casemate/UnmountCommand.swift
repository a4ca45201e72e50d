import ArgumentParser
import CommandSupport
import FUSEFront

struct UnmountCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "unmount", abstract: "Unmount a volume and wait until it is closed.",
        discussion: """
            Returns once everything is durable and the process that served the mount has closed the volume: then its file may be \
            copied or moved. If that process died (a crash, kill -9) this takes the dead mount away; what was synced is safe.
            """)

    @Argument(help: "Where the volume is mounted.", completion: .directory)
    var directory: String

    func run() throws {
        do {
            switch try Unmounting.unmount(directory) {
            case .closed: break
            case .wasDead:
                Terminal.note(
                    "casemate: \(directory): the process that served it had died; what was synced before is safe")
            }
        } catch {
            throw CommandFailure(error, mountpoint: directory)
        }
    }
}
