import CFUSE
import Glibc
import Synchronization

/// What libfuse has to say: it explains failures only by lines of text, through one callback for the process.
enum LibraryLog {
    private static let lines = Mutex<[String]>([])
    private static let limit = 8

    static let install: Void = fuse_set_log_func { _, format, arguments in
        guard let format, let arguments else { return }
        var text = [CChar](repeating: 0, count: 512)
        vsnprintf(&text, text.count, format, arguments)
        let bytes = text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }
        LibraryLog.append(String(decoding: bytes, as: UTF8.self))
    }

    private static func append(_ line: String) {
        var line = line
        while line.last?.isNewline == true { line.removeLast() }
        lines.withLock { lines in
            if lines.count == limit { lines.removeFirst() }
            lines.append(line)
        }
    }

    /// The lines since the last call, in one.
    static func take() -> String {
        lines.withLock { lines in
            let text = lines.joined(separator: "; ")
            lines.removeAll()
            return text
        }
    }
}
