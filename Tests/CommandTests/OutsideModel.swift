import Foundation
import Glibc
import SimHost
import Synchronization
import Testing

/// Files that a thread writes, renames over one another, removes and makes durable, and what of each may be there.
///
/// Every change is one that Linux makes whole: a file that was written and synchronised under another name takes the place of
/// the one before. Until the directory is synchronised either may be there, afterwards only the new one.
final class OutsideModel: Sendable {
    /// A file's number, from which all its bytes follow; `nil` when there is none.
    typealias Contents = UInt64?

    /// What a reader found of a name.
    enum Found: Hashable { case file(UInt64), invented, error }

    private struct State {
        /// What may be there, by name; no entry: nothing.
        var allowed: [String: Set<Contents>] = [:]
        /// Every file that a name ever had.
        var ever: [String: Set<UInt64>] = [:]
        var acknowledged = 0
        var isEnding = false
    }

    /// The model at one moment, while the serving process stood still.
    struct Moment: Sendable {
        fileprivate var allowed: [String: Set<Contents>]
        fileprivate var ever: [String: Set<UInt64>]
        var acknowledged: Int

        /// Where `found` is not what must be there.
        func differences(_ found: [String: Found]) -> [String] {
            allowed.keys.sorted().compactMap { name in
                let isRight =
                    switch found[name] {
                    case .file(let number): allowed[name]?.contains(number) == true
                    case nil: allowed[name]?.contains(nil) == true
                    case .invented, .error: false
                    }
                return isRight ? nil : "\(name) is \(String(describing: found[name]))"
            } + inventions(found)
        }

        /// Where `found` is nothing that was ever written.
        func inventions(_ found: [String: Found]) -> [String] {
            found.sorted { $0.key < $1.key }.compactMap { name, found in
                switch found {
                case .error: nil
                case .file(let number) where ever[name]?.contains(number) == true: nil
                case .file, .invented: "\(name) is \(found), which nobody wrote"
                }
            }
        }
    }

    private let folder: String
    private let state = Mutex(State())

    init(_ folder: String) { self.folder = folder }

    /// Runs `body` while a thread of this process writes.
    func whileWriting(_ body: () throws -> Void) throws {
        let done = DispatchSemaphore(value: 0)
        let failure = Mutex<(any Error)?>(nil)
        Thread.detachNewThread { [self] in
            var random = SimRandom(seed: 7)
            do { while !state.withLock({ $0.isEnding }) { try step(&random) } } catch {
                failure.withLock { $0 = error }
            }
            done.signal()
        }
        defer {
            state.withLock { $0.isEnding = true }
            done.wait()
        }
        try body()
        if let error = failure.withLock({ $0 }) { throw error }
    }

    /// Returns when so many changes are acknowledged; however slow the machine is, that takes seconds.
    func awaitAcknowledged(_ count: Int) throws {
        for _ in 0..<6000 {
            if state.withLock({ $0.acknowledged }) >= count { return }
            usleep(10_000)
        }
        try #require(state.withLock { $0.acknowledged } >= count, "nothing is acknowledged any more")
    }

    /// Stops `process`, runs `body`, and lets it go on.
    func moment(_ process: pid_t, _ body: () throws -> Void) throws -> Moment {
        try #require(Glibc.kill(process, SIGSTOP) == 0)
        defer { _ = Glibc.kill(process, SIGCONT) }
        // The signal has taken effect when the process says that it is stopped.
        for _ in 0..<1000 {
            let text = (try? String(contentsOfFile: "/proc/\(process)/stat", encoding: .utf8)) ?? ""
            if text.split(separator: ")").last?.first(where: { $0 != " " }) == "T" { break }
            usleep(1000)
        }
        try body()
        return state.withLock { Moment(allowed: $0.allowed, ever: $0.ever, acknowledged: $0.acknowledged) }
    }

    private func step(_ random: inout SimRandom) throws {
        let name = "f\(Int.random(in: 0..<40, using: &random))"
        if Int.random(in: 0..<6, using: &random) == 0 {
            widen(name, nil)
            guard unlink("\(folder)/\(name)") == 0 || errno == ENOENT else { throw POSIXError.last }
            try synchronise()
            narrow(name, nil)
            return
        }
        let number = UInt64.random(in: 1...UInt64.max, using: &random)
        state.withLock { _ = $0.ever["new", default: []].insert(number) }
        try writeDurably(Self.bytes(number), to: URL(fileURLWithPath: "\(folder)/new"))
        widen(name, number)
        guard rename("\(folder)/new", "\(folder)/\(name)") == 0 else { throw POSIXError.last }
        try synchronise()
        narrow(name, number)
    }

    private func synchronise() throws {
        let descriptor = open(folder, O_RDONLY | O_DIRECTORY)
        guard descriptor >= 0 else { throw POSIXError.last }
        defer { close(descriptor) }
        guard fsync(descriptor) == 0 else { throw POSIXError.last }
    }

    private func widen(_ name: String, _ contents: Contents) {
        state.withLock {
            $0.allowed[name, default: [nil]].insert(contents)
            if let contents { $0.ever[name, default: []].insert(contents) }
        }
    }

    private func narrow(_ name: String, _ contents: Contents) {
        state.withLock {
            $0.allowed[name] = [contents]
            $0.acknowledged += 1
        }
    }

    /// Up to 40 KB: in the tree, in a block, in several.
    private static func bytes(_ number: UInt64) -> Data {
        var random = SimRandom(seed: number)
        let words = 1 + Int(number % 5000)
        var bytes = [UInt8]()
        for index in 0..<words {
            withUnsafeBytes(of: (index == 0 ? number : random.next()).littleEndian) { bytes.append(contentsOf: $0) }
        }
        return Data(bytes)
    }

    /// Every file in the folder. The one that is being written has whatever bytes it has.
    static func read(_ folder: String) -> [String: Found] {
        guard let names = try? FileManager.default.contentsOfDirectory(atPath: folder) else { return [:] }
        var found: [String: Found] = [:]
        for name in names where name != "new" {
            guard let data = try? Data(contentsOf: URL(fileURLWithPath: "\(folder)/\(name)")) else {
                found[name] = .error
                continue
            }
            let number = data.prefix(8).reversed().reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
            found[name] = data.count >= 8 && data == bytes(number) ? .file(number) : .invented
        }
        return found
    }
}

extension POSIXError {
    fileprivate static var last: POSIXError { POSIXError(POSIXErrorCode(rawValue: errno) ?? .EIO) }
}
