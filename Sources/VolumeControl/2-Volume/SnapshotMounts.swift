import CommandSupport
import EncFS
import FUSEFront
import Logging
import SecureBlock

/// Snapshots of a mounted volume, each shown at a directory of its own by the process that serves the volume: nobody else
/// can have it open.
///
/// Each lasts until somebody unmounts it, or until the volume itself is unmounted; the snapshot cannot be deleted meanwhile.
final class SnapshotMounts: Sendable {
    private struct State: Sendable {
        /// Being served, and those being made.
        var sessions: [Int: FUSESession] = [:]
        var count = 0
        var made = 0
        var isEnding = false
    }

    /// One that is mounted, and what is closed when it no longer is.
    private struct Mounted: Sendable {
        let session: FUSESession
        let control: ControlServer
        let files: EncFS
        let view: SecureDevice
    }

    private let state = Monitor(State())
    private let volume: String
    private let logger: Logger

    init(volume: String, logger: Logger) {
        self.volume = volume
        self.logger = logger
    }

    /// Shows what `view` holds at `directory`, read-only. Takes `view` over, also when this fails.
    func add(
        _ view: SecureDevice, named name: SnapshotName, host: any BlockHost, at directory: String,
        _ options: FUSEOptions
    ) throws(CommandFailure) {
        let isWelcome = state.withLock { state in
            if state.isEnding { return false }
            state.count += 1
            return true
        }
        do throws(CommandFailure) {
            guard isWelcome else {
                throw CommandFailure(.daemonLost, "the volume is being unmounted", at: volume)
            }
            try serve(mount(view, named: name, host: host, at: directory, options))
        } catch {
            close(view)
            if isWelcome { leave(nil) }
            throw error
        }
    }

    private func mount(
        _ view: SecureDevice, named name: SnapshotName, host: any BlockHost, at directory: String,
        _ options: FUSEOptions
    ) throws(CommandFailure) -> Mounted {
        var options = options
        options.readOnly = true
        // Those of the process are for the volume, whose end is the end of all.
        options.handlesSignals = false
        options.subtype = "casemate"
        // Not the volume's: by its file one finds the mount that may be written.
        options.sourceName = "\(volume) at \(name)"
        let files: EncFS
        do throws(EncFSError) {
            var mounting = EncFS.MountOptions()
            mounting.readOnly = true
            let logger = logger
            mounting.reportFault = { logger.error("\($0)") }
            files = try EncFS(mounting: view, mounting)
        } catch { throw CommandFailure(error, volume: volume) }
        do throws(FUSEError) {
            let control = try ControlServer(
                root: files.root,
                service: MountedVolume(path: volume, device: view, host: host, files: files, logger: logger),
                logger: logger)
            do throws(FUSEError) {
                let session = try FUSESession(
                    serving: files, at: directory, options, control: control, logger: logger)
                return Mounted(session: session, control: control, files: files, view: view)
            } catch {
                control.stop()
                throw error
            }
        } catch {
            close(files)
            throw CommandFailure(error, mountpoint: directory)
        }
    }

    private func serve(_ mounted: Mounted) throws(CommandFailure) {
        let number = state.withLock { state in
            state.made += 1
            state.sessions[state.made] = mounted.session
            if state.isEnding { mounted.session.stop() }
            return state.made
        }
        do throws(FUSEError) {
            try ServiceThread(named: "snapshot") { [self] in
                run(mounted)
                leave(number)
            }.detach()
        } catch {
            state.withLock { $0.sessions[number] = nil }
            mounted.control.stop()
            close(mounted.files)
            throw CommandFailure(error, mountpoint: mounted.session.mountpoint)
        }
    }

    private func run(_ mounted: Mounted) {
        do throws(FUSEError) { try mounted.session.run() } catch {
            logger.error("\(mounted.session.mountpoint): \(error)")
        }
        mounted.control.stop()
        close(mounted.files)
        close(mounted.view)
        mounted.session.announceClosed()
    }

    private func close(_ files: EncFS) {
        do throws(EncFSError) { try files.close() } catch { logger.error("\(volume): \(error)") }
    }

    private func close(_ view: SecureDevice) {
        do throws(DeviceError) { try view.close() } catch { logger.error("\(volume): \(error)") }
    }

    private func leave(_ number: Int?) {
        state.change { state in
            if let number { state.sessions[number] = nil }
            state.count -= 1
        }
    }

    /// Unmounts all of them, and returns when none of them needs the volume's device any more.
    func end() {
        let sessions = state.withLock { state in
            state.isEnding = true
            return Array(state.sessions.values)
        }
        for session in sessions { session.stop() }
        state.changeWhen({ $0.count == 0 }) { _ in }
    }
}
