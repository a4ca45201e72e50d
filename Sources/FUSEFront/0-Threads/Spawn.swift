import Glibc
import VFS

/// Other programs, started without `fork` from Swift: it would lose our threads and rings.
enum Spawn {
    /// Runs a program to its end, its output thrown away.
    /// - Returns: the exit code, or 128 and the signal that ended it.
    static func run(_ program: String, _ arguments: [String]) throws(FUSEError) -> Int32 {
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        for descriptor: Int32 in 0...2 {
            posix_spawn_file_actions_addopen(&actions, descriptor, "/dev/null", O_RDWR, 0)
        }
        let process = try start(program, arguments, &actions, nil)
        return try wait(for: process)
    }

    static func start(
        _ program: String, _ arguments: [String], _ actions: UnsafePointer<posix_spawn_file_actions_t>,
        _ attributes: UnsafePointer<posix_spawnattr_t>?
    ) throws(FUSEError) -> pid_t {
        let vector: [UnsafeMutablePointer<CChar>?] = arguments.map { strdup($0) } + [nil]
        defer { for argument in vector { free(argument) } }
        var process: pid_t = 0
        let result = posix_spawn(&process, program, actions, attributes, vector, environ)
        guard result == 0 else {
            throw FUSEError.system(call: "posix_spawn", errno: Errno(rawValue: result), path: program)
        }
        return process
    }

    static func wait(for process: pid_t) throws(FUSEError) -> Int32 {
        var status: Int32 = 0
        while waitpid(process, &status, 0) < 0 {
            guard errno == EINTR else { throw FUSEError.system(call: "waitpid", errno: .last, path: nil) }
        }
        let signal = status & 0x7F
        return signal == 0 ? (status >> 8) & 0xFF : 128 + signal
    }
}
