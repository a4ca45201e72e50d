import CommandSupport
import FUSEFront
import Glibc
import Logging
import SecureBlock
import VolumeControl

/// One run: filesystems opened, mounted, served, closed.
struct DebugMount {
    private let assembly: Assembly
    private let session: FUSESession
    private let control: ControlServer?

    /// Opens and mounts.
    init(
        _ command: FuseDebug, _ options: FUSEOptions, _ logger: Logger,
        _ credential: @escaping (String) throws(CommandFailure) -> Credential
    ) throws(CommandFailure) {
        let faults = FaultLog(logger)
        var settings = Assembly.Settings(credential: credential, faults: faults)
        settings.readOnly = options.readOnly
        settings.noAccessTime = !options.updatesAccessTimes
        settings.commitSeconds = options.commitSeconds
        settings.returnsFreeSpace = options.returnsFreeSpace
        settings.anchor = command.anchor.flatMap { AnchorSource($0) }
        assembly = try Assembly(command.orderedMounts, block: command.block, settings)
        var control: ControlServer?
        do throws(FUSEError) {
            if let service = assembly.controlService(logger) {
                control = try ControlServer(root: assembly.filesystem.root, service: service, logger: logger)
            }
            session = try FUSESession(
                serving: assembly.filesystem, at: command.mountpoint, options, control: control,
                trace: try Self.trace(command), logger: logger, faults: faults)
            self.control = control
        } catch {
            control?.stop()
            for failure in assembly.close() { Terminal.note("fuse-debug: \(failure)") }
            throw CommandFailure(error, mountpoint: command.mountpoint)
        }
    }

    private static func trace(_ command: FuseDebug) throws(FUSEError) -> OperationTrace? {
        if let path = command.trace { return try OperationTrace(appendingTo: path) }
        return command.debug ? OperationTrace(to: STDERR_FILENO) : nil
    }

    /// Serves until unmounted, then closes everything; what could not be closed is thrown, and told to whoever
    /// unmounted.
    /// - Parameter ready: called once mounted, before the first request is served.
    func serve(_ ready: () throws(CommandFailure) -> Void) throws(CommandFailure) {
        var failures: [CommandFailure] = []
        do throws(CommandFailure) { try ready() } catch {
            failures.append(error)
            session.stop()
        }
        do throws(FUSEError) { try session.run() } catch {
            failures.append(CommandFailure(error, mountpoint: session.mountpoint))
        }
        control?.stop()
        failures += assembly.close()
        session.announceClosed(failure: failures.isEmpty ? nil : failures.map(\.report).joined(separator: "\n"))
        if let first = failures.first { throw first }
    }
}
