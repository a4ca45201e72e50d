import CLinux
import Glibc
import SystemPackage

/// Output for people, kept apart from results: everything here goes to standard error.
public enum Terminal {
    /// Whether a person watches standard error.
    public static var isInteractive: Bool { isatty(STDERR_FILENO) == 1 }

    /// Writes one line to standard error; a closed one is nobody's concern.
    public static func note(_ line: String) { writeAll(line + "\n", to: STDERR_FILENO) }

    /// Writes a result to standard output.
    /// - Returns: `false` if it could not be written whole (a full disk, a closed pipe).
    @discardableResult
    public static func result(_ text: String) -> Bool { writeAll(text + "\n", to: STDOUT_FILENO) }

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
