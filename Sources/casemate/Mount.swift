import CommandSupport
import EncFS
import FUSEFront
import Inspection
import Logging
import SecureBlock
import VolumeControl

/// A volume or an image on its way from an open device to a served directory, and back.
struct Mount {
    let access: VolumeAccess
    let directory: String
    let options: FUSEOptions
    let log: LineLog.Target

    private var logger: Logger {
        let log = log
        return Logger(label: "casemate") { _ in LineLog(target: log) }
    }

    /// What is served: a filesystem, what answers for it, and how all of it is closed.
    private struct Served {
        let files: EncFS
        let service: any ControlService
        let close: () throws(CommandFailure) -> Void
    }

    /// Opens the volume, mounts it, calls `ready`, and serves until somebody unmounts. On return everything is durable
    /// and `host` is closed, or the failure says what is not.
    func serve(_ mode: OpenMode, _ host: FileBlockHost, _ credential: Credential, ready: () throws -> Void) throws {
        let logger = logger
        var access = access
        access.returnsFreeSpace = options.returnsFreeSpace
        let device: SecureDevice
        do throws(CommandFailure) {
            device = try access.open(host, mode, credential)
        } catch {
            host.close()
            throw error
        }
        warn(VolumeSummary.damage(in: device.status) + VolumeSummary.exposure(of: device.status), logger)
        let files = try fileSystem(on: device, logger) { () throws(CommandFailure) in try access.close(device) }
        let served = Served(
            files: files,
            service: MountedVolume(
                path: access.absolutePath, device: device, host: host, files: files, logger: logger)
        ) { () throws(CommandFailure) in try close(files, device) }
        try serve(served, logger, ready: ready)
    }

    /// As ``serve(_:_:_:ready:)``, an image.
    func serve(_ image: ImageAccess, _ host: FileBlockHost, ready: () throws -> Void) throws {
        defer { host.close() }
        let logger = logger
        let device = try image.open(host)
        warn(ImageSummary.exposure(of: device), logger)
        let served = Served(
            files: try fileSystem(on: device, logger) {},
            service: MountedImage(path: access.absolutePath, device: device, host: host)
        ) {}
        try serve(served, logger, ready: ready)
    }

    private func warn(_ warnings: [String], _ logger: Logger) {
        for warning in warnings {
            logger.warning("\(access.path): \(warning)")
            // Until it is mounted, whoever mounts still sees standard error.
            if case .descriptor(2) = log { continue }
            Terminal.note("casemate: warning: \(warning)")
        }
    }

    private func serve(_ served: Served, _ logger: Logger, ready: () throws -> Void) throws {
        let files = served.files
        let session: FUSESession
        let control: ControlServer
        do throws(FUSEError) {
            control = try ControlServer(root: files.root, service: served.service, logger: logger)
            do throws(FUSEError) {
                session = try FUSESession(serving: files, at: directory, options, control: control, logger: logger)
            } catch {
                control.stop()
                throw error
            }
        } catch {
            try served.close()
            throw CommandFailure(error, mountpoint: directory)
        }
        do {
            defer { control.stop() }
            try ready()
            try session.run()
        } catch {
            // Whatever ended the serving, what was written is still to be saved.
            finish(session, served, logger)
            if let error = error as? FUSEError { throw CommandFailure(error, mountpoint: directory) }
            throw error
        }
        if let failure = finish(session, served, logger) { throw failure }
    }

    /// - Parameter otherwise: what to do with the device when there is no filesystem on it that can be mounted.
    private func fileSystem(
        on device: any BlockDevice, _ logger: Logger, otherwise: () throws(CommandFailure) -> Void
    ) throws(CommandFailure) -> EncFS {
        var mounting = EncFS.MountOptions()
        mounting.readOnly = options.readOnly
        mounting.noAccessTime = !options.updatesAccessTimes
        if let seconds = options.commitSeconds { mounting.commitIntervalMilliseconds = seconds * 1000 }
        mounting.reportFault = { logger.error("\($0)") }
        do throws(EncFSError) {
            return try EncFS(mounting: device, mounting)
        } catch {
            let failure = CommandFailure(error, volume: access.path)
            try otherwise()
            throw failure
        }
    }

    /// Closes everything and tells whoever waits for the unmount how it went.
    @discardableResult
    private func finish(_ session: FUSESession, _ served: Served, _ logger: Logger) -> CommandFailure? {
        do throws(CommandFailure) {
            try served.close()
        } catch {
            logger.critical("\(error.what)")
            session.announceClosed(failure: error.report)
            return error
        }
        session.announceClosed()
        return nil
    }

    private func close(_ files: EncFS, _ device: SecureDevice) throws(CommandFailure) {
        do throws(EncFSError) {
            try files.close()
        } catch {
            // The device still has a last checkpoint to write; the first failure is the one that counts.
            let failure = CommandFailure(error, volume: access.path)
            do { try access.close(device) } catch { throw failure }
            throw failure
        }
        try access.close(device)
    }
}
