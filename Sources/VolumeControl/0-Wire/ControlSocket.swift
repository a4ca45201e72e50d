import CLinux
import FUSEFront
import Glibc

/// A connected socket that carries frames. One thread sends, one receives.
final class ControlSocket: Sendable {
    let descriptor: Int32

    /// Takes the descriptor over. It is non-blocking or blocking; calls wait either way.
    init(_ descriptor: Int32) { self.descriptor = descriptor }
    deinit { close(descriptor) }

    /// Who is at the other end, by the kernel's word.
    func peer() throws(ControlError) -> UInt32 {
        var user: uid_t = 0
        let result = casemate_peer_user(descriptor, &user)
        guard result == 0 else { throw .system(call: "SO_PEERCRED", errno: -result) }
        return user
    }

    /// Whether the other end is gone: nobody waits for an answer any more.
    var hasHungUp: Bool {
        var polled = pollfd(fd: descriptor, events: Int16(Self.hangUp), revents: 0)
        return poll(&polled, 1, 0) > 0
    }

    /// `POLLRDHUP` of `poll(2)`, which the C library shows only to GNU sources.
    private static let hangUp: Int32 = 0x2000

    // MARK: frames

    func send(_ frame: ControlFrame, _ payload: [UInt8], within seconds: Int = 30) throws(ControlError) {
        try payload.withRawBytes { bytes throws(ControlError) in try send(frame, bytes, within: seconds) }
    }

    func send(
        _ frame: ControlFrame, _ payload: UnsafeRawBufferPointer, within seconds: Int = 30
    ) throws(ControlError) {
        let deadline = Deadline(seconds: seconds)
        try frame.header(payload.count).withRawBytes { header throws(ControlError) in
            try sendAll(header, deadline)
        }
        try sendAll(payload, deadline)
    }

    /// The next frame.
    /// - Parameter seconds: for all of it; `nil` waits for as long as the peer lives.
    func receive(within seconds: Int?) throws(ControlError) -> (ControlFrame, [UInt8]) {
        let deadline = seconds.map { Deadline(seconds: $0) }
        let (frame, count) = try receiveHeader(deadline)
        var payload = [UInt8](repeating: 0, count: count)
        try payload.withMutableRawBytes { bytes throws(ControlError) in try receiveAll(bytes, deadline) }
        return (frame, payload)
    }

    /// A frame of secrets, straight into memory that is wiped.
    func receiveSecrets(within seconds: Int) throws(ControlError) -> SecretParcel {
        let deadline = Deadline(seconds: seconds)
        let (frame, count) = try receiveHeader(deadline)
        guard frame == .secrets else { throw .malformed("another frame in the place of the secrets") }
        return try SecretParcel(byteCount: count) { bytes throws(ControlError) in
            try receiveAll(bytes, deadline)
        }
    }

    private func receiveHeader(_ deadline: Deadline?) throws(ControlError) -> (ControlFrame, Int) {
        var header = [UInt8](repeating: 0, count: ControlFrame.headerBytes)
        try header.withMutableRawBytes { bytes throws(ControlError) in try receiveAll(bytes, deadline) }
        return try ControlFrame.parse(header: header)
    }

    // MARK: bytes

    private struct Deadline {
        private let end: ContinuousClock.Instant
        init(seconds: Int) { end = ContinuousClock.now + .seconds(seconds) }
        /// For `poll(2)`; 0 when it is over.
        var milliseconds: Int32 {
            let left = ContinuousClock.now.duration(to: end) / .milliseconds(1)
            return left <= 0 ? 0 : Int32(min(left.rounded(.up), 1e9))
        }
    }

    private func sendAll(_ bytes: UnsafeRawBufferPointer, _ deadline: Deadline) throws(ControlError) {
        var rest = bytes[...]
        while !rest.isEmpty {
            try wait(for: POLLOUT, deadline)
            let part = UnsafeRawBufferPointer(rebasing: rest)
            let count = Glibc.send(
                descriptor, part.baseAddress, part.count, Int32(MSG_NOSIGNAL | MSG_DONTWAIT))
            if count >= 0 {
                rest = rest[(rest.startIndex + count)...]
            } else if errno == EPIPE || errno == ECONNRESET {
                throw .closed
            } else if errno != EINTR, errno != EAGAIN {
                throw .system(call: "send", errno: errno)
            }
        }
    }

    private func receiveAll(
        _ buffer: UnsafeMutableRawBufferPointer, _ deadline: Deadline?
    ) throws(ControlError) {
        var done = 0
        while done < buffer.count {
            try wait(for: POLLIN, deadline)
            let room = UnsafeMutableRawBufferPointer(rebasing: buffer[done...])
            let count = recv(descriptor, room.baseAddress, room.count, Int32(MSG_DONTWAIT))
            if count > 0 {
                done += count
            } else if count == 0 || errno == ECONNRESET {
                throw .closed
            } else if errno != EINTR, errno != EAGAIN {
                throw .system(call: "recv", errno: errno)
            }
        }
    }

    private func wait(for event: Int32, _ deadline: Deadline?) throws(ControlError) {
        var polled = pollfd(fd: descriptor, events: Int16(event), revents: 0)
        while true {
            let count = poll(&polled, 1, deadline?.milliseconds ?? -1)
            if count > 0 { return }
            if count == 0 { throw .timedOut }
            guard errno == EINTR else { throw .system(call: "poll", errno: errno) }
        }
    }
}
