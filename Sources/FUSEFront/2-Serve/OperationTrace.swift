import Glibc
import Synchronization

/// A line for every request: when, what, of which file, the result and the microseconds it took.
///
/// Names appear, as the operator asked for; file data never does. Lines are written whole.
public final class OperationTrace: Sendable {
    private let descriptor: Int32
    private let closesDescriptor: Bool
    private let failed = Atomic<Bool>(false)

    /// Writes to an open descriptor, which stays the caller's.
    public init(to descriptor: Int32) {
        self.descriptor = descriptor
        closesDescriptor = false
    }

    /// Appends to a file, made with mode 0600 where it is missing.
    /// - Throws: ``FUSEError/system(call:errno:path:)``.
    public init(appendingTo path: String) throws(FUSEError) {
        descriptor = try SmallFile.openForAppending(path)
        closesDescriptor = true
    }

    deinit { if closesDescriptor { close(descriptor) } }

    static func now() -> UInt64 {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
    }

    func line(_ request: String, result: String, began: UInt64) {
        guard !failed.load(ordering: .relaxed) else { return }
        let ended = Self.now()
        var wall = timespec()
        clock_gettime(CLOCK_REALTIME, &wall)
        let stamp = "\(wall.tv_sec)." + Self.padded(wall.tv_nsec / 1000)
        let text = Array("\(stamp) \(request) = \(result) \((ended - began) / 1000)us\n".utf8)
        // A full disk must not stop the mount; the trace ends there.
        if write(descriptor, text, text.count) != text.count { failed.store(true, ordering: .relaxed) }
    }

    private static func padded(_ microseconds: Int) -> String {
        let digits = String(microseconds)
        return String(repeating: "0", count: 6 - digits.count) + digits
    }

    /// A name in quotes; bytes that are not printable ASCII as `\xHH`, so that one line stays one line.
    static func quoted(_ bytes: some Sequence<UInt8>) -> String {
        var text = "\""
        for byte in bytes {
            switch byte {
            case UInt8(ascii: "\""), UInt8(ascii: "\\"):
                text += "\\" + String(UnicodeScalar(byte))
            case 0x20..<0x7F: text.unicodeScalars.append(UnicodeScalar(byte))
            default: text += "\\x" + (byte < 16 ? "0" : "") + String(byte, radix: 16)
            }
        }
        return text + "\""
    }
}
