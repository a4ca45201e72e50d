import CLinux
import CommandSupport
import FUSEFront
import Glibc
import Logging
import SecureBlock
import Synchronization
import VFS

/// What answers requests: ``MountedVolume``, or a test's.
package protocol ControlService: AnyObject, Sendable {
    /// Called on a thread of its own, for one request of each ``ControlRequest/Lane`` at a time.
    /// - Parameter credentials: what came with it, of any number.
    func perform(
        _ request: ControlRequest, _ credentials: [Credential], _ job: ControlJob
    ) throws(CommandFailure) -> ControlResult

    /// Called once, after the last request; on return nothing that requests began uses the volume any more.
    func end()
}

extension ControlService {
    package func end() {}
}

/// The daemon's end of the control channel.
///
/// The `ioctl(2)` on the mount's root gives root and the mount's owner the name of a socket and a token; the request
/// travels there, on threads of its own, so that no request for files ever waits for one of these.
///
/// **Fault model.** Anybody on the machine can find and connect the socket. Who is neither root nor the owner is let go
/// at once; who is may send anything: every frame is bounded, every field checked, the number of conversations limited.
package final class ControlServer: ControlHandler, @unchecked Sendable {
    // SAFETY: the mutable state is in `state`; the descriptor is closed when the last thread has ended.
    private struct State {
        var tokens = ControlTokens()
        var conversations = 0
        var busy: Set<ControlRequest.Lane> = []
    }

    /// Conversations at the same time; who comes beyond is told to try again.
    package static let conversationLimit = 16
    /// Seconds for a request to arrive, all of it.
    static let requestSeconds = 10

    private let root: NodeID
    private let owner: UInt32
    private let service: any ControlService
    private let logger: Logger
    private let name = LocalSocket.randomName("control")
    private let listener: Int32
    private let state = Monitor(State())
    private let isStopping = Atomic(false)
    private let thread = Mutex<ServiceThread?>(nil)

    /// Begins to listen.
    /// - Parameter root: the node whose `ioctl(2)` gives the address.
    package init(root: NodeID, service: any ControlService, logger: Logger) throws(FUSEError) {
        self.root = root
        self.service = service
        self.logger = logger
        owner = geteuid()
        listener = try LocalSocket.make(blocking: true)
        do throws(FUSEError) {
            try LocalSocket.withAddress(name) { bind(listener, $0, $1) }
            guard listen(listener, 64) == 0 else {
                throw FUSEError.system(call: "listen", errno: lastError(), path: nil)
            }
        } catch {
            close(listener)
            throw error
        }
        let thread = try ServiceThread(named: "control") { [self] in accept() }
        self.thread.withLock { $0 = thread }
    }

    deinit { close(listener) }

    /// Ends every conversation, cancels what is under way, and returns when nothing uses the service any more.
    package func stop() {
        guard !isStopping.exchange(true, ordering: .acquiringAndReleasing) else { return }
        // Wakes the thread in accept(2).
        shutdown(listener, Int32(SHUT_RDWR))
        thread.withLock { $0?.join() }
        state.changeWhen({ $0.conversations == 0 }) { _ in }
        service.end()
    }

    package func control(
        _ command: UInt32, on node: NodeID, by caller: Caller, _ input: UnsafeRawBufferPointer, outputBytes: Int
    ) throws(VFSError) -> [UInt8] {
        guard command == ControlAddress.command, node == root else { throw VFSError(.inappropriateIOCTLForDevice) }
        guard isAllowed(caller.user) else { throw VFSError(.notPermitted) }
        return ControlAddress(name: name, token: state.withLock { $0.tokens.make(for: caller.user) }).bytes
    }

    private func isAllowed(_ user: UInt32) -> Bool { user == 0 || user == owner }

    // MARK: conversations

    private func accept() {
        while !isStopping.load(ordering: .acquiring) {
            let descriptor = casemate_accept(listener)
            guard descriptor >= 0 else {
                // Out of descriptors or memory: for a moment, until others are closed.
                if errno != EINTR, errno != ECONNABORTED, !isStopping.load(ordering: .acquiring) { usleep(50_000) }
                continue
            }
            begin(ControlSocket(descriptor))
        }
    }

    private func begin(_ socket: ControlSocket) {
        do throws(ControlError) {
            let user = try socket.peer()
            guard isAllowed(user) else { throw .stranger(user: user) }
            let isWelcome = state.withLock { state in
                guard state.conversations < Self.conversationLimit else { return false }
                state.conversations += 1
                return true
            }
            guard isWelcome else {
                fail(socket, CommandFailure(.commandBusy, "too many commands at once", advice: "Try again."))
                return
            }
            do throws(FUSEError) {
                let thread = try ServiceThread(named: "control-request") { [self] in
                    converse(socket, user)
                    state.change { $0.conversations -= 1 }
                }
                thread.detach()
            } catch {
                state.change { $0.conversations -= 1 }
                fail(socket, CommandFailure(.internal, "no thread for the command: \(error)"))
            }
        } catch {
            // Nobody we talk to.
            logger.debug("control: \(error)")
        }
    }

    private func converse(_ socket: ControlSocket, _ user: UInt32) {
        do {
            let (request, credentials) = try receive(socket, user)
            let result = try perform(request, credentials, socket)
            for part in Self.parts(result.text) { try socket.send(.text, part) }
            try socket.send(.done, [result.exitStatus])
        } catch let failure as CommandFailure {
            fail(socket, failure)
        } catch let error as ControlError {
            switch error {
            case .malformed(let what):
                fail(socket, CommandFailure(.commandRefused, "not understood: \(what)"))
            case .version(let found):
                fail(
                    socket,
                    CommandFailure(
                        .commandRefused,
                        "the mount speaks version \(ControlRequest.version) of the control protocol, not \(found)",
                        advice: "Use the casemate that mounted it, or unmount and mount again."))
            case .stranger, .closed, .timedOut, .system: break
            }
        } catch { fail(socket, CommandFailure(.internal, "\(error)")) }
    }

    private func receive(_ socket: ControlSocket, _ user: UInt32) throws -> (ControlRequest, [Credential]) {
        let (frame, payload) = try socket.receive(within: Self.requestSeconds)
        guard frame == .request else { throw ControlError.malformed("another frame in the place of a request") }
        let (request, token) = try ControlRequest.parse(payload)
        guard state.withLock({ $0.tokens.take(token, from: user) }) else {
            throw CommandFailure(.commandRefused, "the token is not one of this mount's", advice: "Try again.")
        }
        let secrets = try socket.receiveSecrets(within: Self.requestSeconds)
        return (request, try Credential.all(in: secrets))
    }

    private func perform(
        _ request: ControlRequest, _ credentials: [Credential], _ socket: ControlSocket
    ) throws(CommandFailure) -> ControlResult {
        let lane = request.lane
        let isFree = lane == .looking || state.withLock { $0.busy.insert(lane).inserted }
        guard isFree else {
            throw CommandFailure(.commandBusy, "another command of this kind is under way", advice: "Wait for it.")
        }
        defer { if lane != .looking { state.change { _ = $0.busy.remove(lane) } } }
        let job = ControlJob(socket) { [self] in isStopping.load(ordering: .acquiring) }
        return try service.perform(request, credentials, job)
    }

    private func fail(_ socket: ControlSocket, _ failure: CommandFailure) {
        // Whoever hung up hears nothing of it.
        do throws(ControlError) { try socket.send(.failure, ControlReply.payload(failure)) } catch {
            logger.debug("control: \(error)")
        }
    }

    private static func parts(_ text: String) -> [[UInt8]] {
        let bytes = Array(text.utf8)
        let limit = ControlFrame.text.limitBytes
        return stride(from: 0, to: bytes.count, by: limit).map { Array(bytes[$0..<min($0 + limit, bytes.count)]) }
    }
}
