import CLinux
import Glibc
import VFS

/// Puts a mount into the background: starts this program again in a session of its own, before anything is opened,
/// and waits until that process says that it is mounted, or why not.
///
/// A `fork` after opening would lose threads and rings, so there is none. In `main`:
///
/// ```swift
/// ProcessHardening.apply()
/// if arguments.isBackground {                       // a hidden flag of your own
///     let channel = try BackgroundChannel.adopt()   // first of all
///     do {
///         let session = try open(volume, channel.secrets)  // open, FUSESession(…)
///         channel.ready(log: nil)
///         try session.run()
///     } catch { channel.fail("\(error)", exitCode: 4) }    // before `ready`; afterwards log it
/// } else {
///     var secrets = SecretParcel()                  // what was asked for on the terminal
///     let outcome = try BackgroundLauncher.launch(CommandLine.arguments + ["--in-background"], secrets)
///     if let message = outcome.message { complain(message) }
///     exit(outcome.exitCode)
/// }
/// ```
public enum BackgroundLauncher {
    public struct Outcome: Sendable, Hashable {
        /// 0: mounted. Otherwise what the process gave as its exit code.
        public var exitCode: Int32
        /// Why it is not mounted.
        public var message: String?
        public var process: Int32
    }

    static let readyDescriptor: Int32 = 3
    static let secretDescriptor: Int32 = 4
    private static let firstFreeDescriptor: Int32 = 5

    /// Starts this program with `arguments` (the first is the program's name) and waits for its word.
    ///
    /// The process keeps the working directory and standard error until it is ready; input and output are
    /// `/dev/null`, and no other descriptor is passed on.
    /// - Throws: ``FUSEError/system(call:errno:path:)`` when it cannot be started.
    public static func launch(
        _ arguments: [String], _ secrets: borrowing SecretParcel
    ) throws(FUSEError) -> Outcome {
        let ready = try Pipe()
        let secret = try Pipe()
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0)
        posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0)
        posix_spawn_file_actions_adddup2(&actions, ready.writing, readyDescriptor)
        posix_spawn_file_actions_adddup2(&actions, secret.reading, secretDescriptor)
        _ = casemate_spawn_close_from(&actions, firstFreeDescriptor)
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        let prepared = casemate_spawn_attributes_detached(&attributes)
        guard prepared == 0 else {
            throw FUSEError.system(call: "posix_spawnattr", errno: Errno(rawValue: prepared), path: nil)
        }
        try secrets.send(to: secret.writing)
        let process = try Spawn.start("/proc/self/exe", arguments, &actions, &attributes)
        ready.closeWriting()
        secret.closeWriting()
        return try outcome(of: process, BackgroundReport(ready.readAll()))
    }

    private static func outcome(of process: pid_t, _ report: BackgroundReport?) throws(FUSEError) -> Outcome {
        switch report {
        case .ready: return Outcome(exitCode: 0, message: nil, process: process)
        case .failed(let code, let text):
            _ = try Spawn.wait(for: process)
            return Outcome(exitCode: code, message: text, process: process)
        case nil:
            let code = try Spawn.wait(for: process)
            return Outcome(
                exitCode: code == 0 ? 1 : code,
                message: "the background process ended without a word (status \(code))",
                process: process)
        }
    }
}

/// What the background process says through its pipe: one byte, and for a failure the exit code and the reason.
enum BackgroundReport: Hashable {
    case ready
    case failed(exitCode: Int32, String)

    init?(_ bytes: [UInt8]) {
        switch bytes.first {
        case 0 where bytes.count == 1: self = .ready
        case 1 where bytes.count >= 2:
            self = .failed(exitCode: Int32(bytes[1]), String(decoding: bytes[2...], as: UTF8.self))
        default: return nil
        }
    }

    var bytes: [UInt8] {
        switch self {
        case .ready: [0]
        case .failed(let code, let text): [1, UInt8(clamping: code)] + Array(text.utf8.prefix(16 << 10))
        }
    }
}
