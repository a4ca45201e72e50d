import Foundation
import Glibc

/// Somebody on the way between a program and a TPM: reads everything, and may change what the TPM answers.
public final class TPMInterposer: @unchecked Sendable {
    public typealias Change = @Sendable (_ answer: Int, _ bytes: inout [UInt8]) -> Void

    private let lock = NSLock()
    private var recorded: [UInt8] = []
    private var lengths: [Int] = []
    private var change: Change?
    private let listeners: [Int32]
    private let port: UInt16

    public var address: String { "swtpm:host=localhost,port=\(port)" }

    public init(before tpm: SoftwareTPM) throws {
        guard let port = SoftwareTPM.freePair() else { throw SoftwareTPM.Failure.noPorts }
        self.port = port
        listeners = (0..<2).map { index in
            let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
            var yes: Int32 = 1
            setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &yes, socklen_t(MemoryLayout<Int32>.size))
            let isBound = SoftwareTPM.onLoopback(port + UInt16(index)) { bind(descriptor, $0, $1) } == 0
            return isBound && listen(descriptor, 4) == 0 ? descriptor : -1
        }
        guard !listeners.contains(-1) else { throw SoftwareTPM.Failure.noPorts }
        let (commands, control) = (listeners[0], listeners[1])
        let target = tpm.port
        Thread.detachNewThread { [weak self] in Self.serve(commands, target) { self?.passCommands($0, $1) } }
        Thread.detachNewThread { Self.serve(control, target + 1) { Self.passBytes($0, $1) } }
    }

    deinit { end() }

    /// No conversation begins from here on.
    public func end() { for listener in listeners { shutdown(listener, Int32(SHUT_RDWR)) } }

    /// Counts answers from 0 again, and has each go through `change`.
    public func begin(_ change: Change? = nil) {
        lock.withLock {
            (recorded, lengths) = ([], [])
            self.change = change
        }
    }

    /// Everything that went by since ``begin(_:)``, in both directions.
    public var traffic: [UInt8] { lock.withLock { recorded } }
    /// The answers' lengths since ``begin(_:)``.
    public var answers: [Int] { lock.withLock { lengths } }

    private static func serve(_ listener: Int32, _ port: UInt16, _ pass: (Int32, Int32) -> Void) {
        while true {
            let client = accept(listener, nil, nil)
            guard client >= 0 else { return }
            let server = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
            if SoftwareTPM.onLoopback(port, { connect(server, $0, $1) }) == 0 { pass(client, server) }
            close(client)
            close(server)
        }
    }

    /// One command, one answer; each has its length in bytes 2 to 5.
    private func passCommands(_ client: Int32, _ server: Int32) {
        while let command = Self.message(client) {
            lock.withLock { recorded += command }
            guard Self.write(server, command), var answer = Self.message(server) else { return }
            let (number, change) = lock.withLock {
                recorded += answer
                lengths.append(answer.count)
                return (lengths.count - 1, self.change)
            }
            change?(number, &answer)
            guard Self.write(client, answer) else { return }
        }
    }

    private static func passBytes(_ client: Int32, _ server: Int32) {
        var waiting = [client, server].map { pollfd(fd: $0, events: Int16(POLLIN), revents: 0) }
        var chunk = [UInt8](repeating: 0, count: 4096)
        while poll(&waiting, 2, -1) > 0 {
            for (from, to) in [(0, server), (1, client)] where waiting[from].revents != 0 {
                let count = read(waiting[from].fd, &chunk, chunk.count)
                guard count > 0, write(to, [UInt8](chunk[..<count])) else { return }
            }
        }
    }

    private static func message(_ descriptor: Int32) -> [UInt8]? {
        guard let head = bytes(descriptor, 6) else { return nil }
        let count = head[2...].reduce(0) { $0 << 8 | Int($1) }
        guard (6...1 << 16).contains(count), let rest = bytes(descriptor, count - 6) else { return nil }
        return head + rest
    }

    private static func bytes(_ descriptor: Int32, _ count: Int) -> [UInt8]? {
        var found: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: max(count, 1))
        while found.count < count {
            let got = read(descriptor, &chunk, count - found.count)
            guard got > 0 else { return nil }
            found += chunk[..<got]
        }
        return found
    }

    private static func write(_ descriptor: Int32, _ bytes: [UInt8]) -> Bool {
        var rest = bytes[...]
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes {
                send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL))
            }
            guard count > 0 else { return false }
            rest = rest.dropFirst(count)
        }
        return true
    }
}
