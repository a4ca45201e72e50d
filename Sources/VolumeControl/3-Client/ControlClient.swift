import CLinux
import CommandSupport
import FUSEFront
import Glibc
import SecureBlock

/// A mounted volume as a command reaches it.
package struct ControlClient: Sendable {
    /// The mount's root directory, absolute.
    package let mountpoint: String
    /// Who must be at the other end, beside root: secrets go there.
    private let trusted: Set<UInt32>

    /// The longest result that is taken, in bytes.
    static let resultLimit = 64 << 20

    /// The volume mounted at `path`.
    /// - Throws: a failure with status `not-mounted`, `mountpoint-missing` and the like.
    package init(mountpoint path: String) throws(CommandFailure) {
        do throws(FUSEError) {
            mountpoint = try MountpointCheck.directory(path)
            guard let mount = try MountTable.top(at: mountpoint) else { throw .notMounted(path) }
            guard mount.type.hasPrefix("fuse") else { throw .notOurs(path) }
        } catch { throw CommandFailure(error, mountpoint: path) }
        // Root may ask anybody's mount, which then is that user's own volume.
        trusted = geteuid() == 0 ? [] : [geteuid()]
    }

    private init(mountpoint: String, trusted: Set<UInt32>) {
        self.mountpoint = mountpoint
        self.trusted = trusted
    }

    /// Where the volume in the file or device `path` is mounted, if it is and we may ask.
    ///
    /// A mount says itself what its source is, so it is believed only from those who could write the file anyway.
    package static func serving(volume path: String) -> ControlClient? {
        var status = stat()
        guard stat(path, &status) == 0 else { return nil }
        do throws(FUSEError) {
            let real = try MountpointCheck.absolute(path)
            let mount = try MountTable.entries().last { $0.type.hasPrefix("fuse.") && $0.source == real }
            return mount.map { ControlClient(mountpoint: $0.mountpoint, trusted: [status.st_uid, geteuid()]) }
        } catch { return nil }
    }

    /// Has the daemon perform a request, and waits for what it comes to.
    ///
    /// The daemon ends the work when this process does, so Control-C is all it takes to cancel.
    /// - Parameters:
    ///   - progress: done and total, now and then.
    ///   - note: a line for standard error.
    /// - Throws: the daemon's failure, or one of the way there.
    package func run(
        _ request: ControlRequest, _ credentials: [Credential] = [],
        progress: (UInt64, UInt64) -> Void = { _, _ in },
        note: (String) -> Void = { _ in }
    ) throws(CommandFailure) -> ControlResult {
        let address = try askForAddress()
        var secrets = SecretParcel()
        for credential in credentials {
            do throws(FUSEError) { try credential.append(to: &secrets) } catch {
                throw CommandFailure(.credentialUnusable, "too long to be handed over")
            }
        }
        let outcome: Result<ControlResult, CommandFailure>
        do throws(ControlError) {
            let socket = try connect(address)
            try socket.send(.request, request.payload(token: address.token))
            try secrets.withBytes { bytes throws(ControlError) in try socket.send(.secrets, bytes) }
            outcome = try Self.awaitOutcome(socket, progress, note)
        } catch { throw failure(error) }
        return try outcome.get()
    }

    private func askForAddress() throws(CommandFailure) -> ControlAddress {
        let root: Int32
        do throws(FUSEError) { root = try Unmounting.openRoot(mountpoint) } catch {
            throw CommandFailure(error, mountpoint: mountpoint)
        }
        defer { close(root) }
        var answer = [UInt8](repeating: 0, count: ControlAddress.byteCount)
        guard casemate_ioctl(root, UInt(ControlAddress.command), &answer) == 0 else {
            let isForbidden = errno == EPERM || errno == EACCES
            throw CommandFailure(
                isForbidden ? .notPermitted(mountpoint) : .notOurs(mountpoint), mountpoint: mountpoint)
        }
        do throws(ControlError) { return try ControlAddress(answer) } catch { throw failure(error) }
    }

    private func connect(_ address: ControlAddress) throws(ControlError) -> ControlSocket {
        guard address.version == ControlRequest.version else { throw .version(address.version) }
        let socket: ControlSocket
        do throws(FUSEError) {
            let descriptor = try LocalSocket.make(blocking: true)
            socket = ControlSocket(descriptor)
            // Strangers may fill the queue of a socket; that must not hold us for ever.
            var patience = timeval(tv_sec: 30, tv_usec: 0)
            setsockopt(
                descriptor, SOL_SOCKET, SO_SNDTIMEO, &patience, socklen_t(MemoryLayout<timeval>.size))
            try LocalSocket.withAddress(address.name) { Glibc.connect(descriptor, $0, $1) }
        } catch {
            throw .system(call: "connect", errno: errno)
        }
        let peer = try socket.peer()
        guard trusted.isEmpty || peer == 0 || trusted.contains(peer) else { throw .stranger(user: peer) }
        return socket
    }

    private static func awaitOutcome(
        _ socket: ControlSocket, _ progress: (UInt64, UInt64) -> Void, _ note: (String) -> Void
    ) throws(ControlError) -> Result<ControlResult, CommandFailure> {
        var text: [UInt8] = []
        while true {
            let (frame, payload) = try socket.receive(within: nil)
            var fields = FieldReader(payload)
            switch frame {
            case .progress: progress(try fields.u64(), try fields.u64())
            case .note: note(try fields.text())
            case .text:
                guard text.count + payload.count <= resultLimit else { throw .malformed("an endless result") }
                text += payload
            case .done:
                let status = try fields.u8()
                return .success(ControlResult(String(decoding: text, as: UTF8.self), exitStatus: status))
            case .failure: return .failure(try ControlReply.failure(payload))
            case .request, .secrets: throw .malformed("a request in the place of an answer")
            }
        }
    }

    private func failure(_ error: ControlError) -> CommandFailure {
        switch error {
        case .malformed(let what):
            CommandFailure(.commandRefused, "the mount's answer is not understood: \(what)", at: mountpoint)
        case .version(let found):
            CommandFailure(
                .commandRefused,
                "the mount speaks version \(found) of the control protocol, this program \(ControlRequest.version)",
                at: mountpoint, advice: "Use the casemate that mounted it, or unmount and mount again.")
        case .stranger(let user):
            CommandFailure(
                .commandRefused, "the mount is served by user \(user), who is neither root nor the volume's owner",
                at: mountpoint)
        case .closed:
            CommandFailure(
                .daemonLost, "the process that serves the mount hung up before it was done", at: mountpoint,
                advice: "If it is still mounted: the volume is being unmounted, or the command was cut off.")
        case .timedOut:
            CommandFailure(.commandBusy, "the process that serves the mount does not answer", at: mountpoint)
        case .system(let call, let errno):
            CommandFailure(
                .commandRefused, "the mount's process cannot be reached: \(call): \(systemMessage(errno))",
                at: mountpoint,
                advice: "It has to be on this machine and in the same network namespace.")
        }
    }
}
