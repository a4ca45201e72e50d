import CLinux
import Glibc
import SystemPackage

/// Output for people, kept apart from results: everything here goes to standard error.
public enum Terminal {
    /// Whether a person watches standard error.
    public static var isInteractive: Bool { isatty(STDERR_FILENO) == 1 }

    /// Writes one line to standard error; a closed one is nobody's concern.
    public static func note(_ line: String) { writeAll(line + "\n", to: STDERR_FILENO) }

    /// Writes a command's result to standard output, with a newline.
    /// - Throws: a failure if it could not be written whole: a script must not take half a list for all of it.
    public static func require(_ text: String) throws(CommandFailure) {
        guard writeAll(text + "\n", to: STDOUT_FILENO) else {
            throw CommandFailure(.internal, "the result cannot be written: \(lastError())", at: "standard output")
        }
    }

    @discardableResult
    static func writeAll(_ text: String, to descriptor: Int32) -> Bool {
        var rest = Array(text.utf8)[...]
        while !rest.isEmpty {
            let written = rest.withUnsafeBytes { write(descriptor, $0.baseAddress, $0.count) }
            if written < 0 {
                guard lastError() == .interrupted else { return false }
                continue
            }
            rest = rest.dropFirst(written)
        }
        return true
    }
}
