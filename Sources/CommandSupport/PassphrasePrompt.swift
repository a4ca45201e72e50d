import CLinux
import Glibc
import SystemPackage

/// Asks for a passphrase on the controlling terminal, without showing what is typed.
struct PassphrasePrompt: ~Copyable {
    enum Failure: Error, Equatable {
        /// There is no terminal to ask on.
        case noTerminal
        /// Control-C.
        case cancelled
        /// More than ``SecretInput/capacity`` bytes.
        case tooLong
        case empty
        /// The two answers differ.
        case different
        case system(Errno)

        var words: String {
            switch self {
            case .noTerminal: "there is no terminal to ask for the passphrase on"
            case .cancelled: "cancelled"
            case .tooLong: "a passphrase has at most \(SecretInput.capacity) bytes"
            case .empty: "the passphrase is empty"
            case .different: "the two passphrases differ"
            case .system(let error): "the terminal cannot be used: \(error)"
            }
        }

        var advice: String? {
            self == .noTerminal
                ? "Give a file: --passphrase-file PATH (- is standard input), or --key-file PATH." : nil
        }
    }

    private let terminal: Int32
    private var saved = termios()

    /// - Throws: ``Failure/noTerminal``.
    init() throws(Failure) {
        terminal = casemate_open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY, 0)
        guard terminal >= 0 else { throw .noTerminal }
        guard tcgetattr(terminal, &saved) == 0 else {
            close(terminal)
            throw .noTerminal
        }
    }

    deinit { close(terminal) }

    /// One line from the keyboard.
    ///
    /// The keys that edit and end a line are handled here rather than by the terminal, so that Control-C comes as a byte and the
    /// terminal's settings are put back on every way out.
    func ask(_ question: String) throws(Failure) -> SecretInput {
        var silent = saved
        silent.c_lflag &= ~tcflag_t(ECHO | ECHONL | ICANON | ISIG)
        guard tcsetattr(terminal, TCSAFLUSH, &silent) == 0 else { throw .system(lastError()) }
        defer {
            var restored = saved
            tcsetattr(terminal, TCSAFLUSH, &restored)
            Terminal.writeAll("\n", to: terminal)
        }
        Terminal.writeAll(question, to: terminal)
        do {
            return try readLine()
        } catch let error as Errno {
            throw .system(error)
        } catch let failure as Failure {
            throw failure
        } catch {
            throw .system(.ioError)
        }
    }

    private func readLine() throws -> SecretInput {
        var line = SecretInput()
        while let byte = try SecretInput.readByte(terminal) {
            switch byte {
            case UInt8(ascii: "\n"), UInt8(ascii: "\r"): return line
            case 0x03: throw Failure.cancelled
            case 0x04 where line.isEmpty: throw Failure.cancelled
            case 0x08, 0x7F: Self.removeCharacter(&line)
            case 0x15: line.removeAll()
            default:
                guard !line.isFull else { throw Failure.tooLong }
                line.append(byte)
            }
        }
        return line
    }

    /// Drops one character of UTF-8: continuation bytes and their lead.
    private static func removeCharacter(_ line: inout SecretInput) {
        while let last = line.last {
            line.removeLast()
            if last & 0xC0 != 0x80 { return }
        }
    }
}
