import Glibc

/// Where figures come from: without it they mean nothing.
struct Machine {
    let processor: String
    let processors: Int
    let kernel: String
    /// Processes that ran or wanted to, lately.
    var load: Double {
        var average = 0.0
        return getloadavg(&average, 1) == 1 ? average : 0
    }

    init() {
        processors = sysconf(Int32(_SC_NPROCESSORS_ONLN))
        var name = utsname()
        kernel =
            uname(&name) == 0
            ? "\(Self.text(name.sysname)) \(Self.text(name.release)) \(Self.text(name.machine))" : "unknown"
        processor = Self.processorName() ?? "unknown"
    }

    private static func processorName() -> String? {
        guard let file = fopen("/proc/cpuinfo", "re") else { return nil }
        defer { fclose(file) }
        var line = [CChar](repeating: 0, count: 512)
        while fgets(&line, Int32(line.count), file) != nil {
            let parts = text(line).split(separator: ":", maxSplits: 1)
            if parts.count == 2, parts[0].hasPrefix("model name") {
                return parts[1].split(whereSeparator: \.isWhitespace).joined(separator: " ")
            }
        }
        return nil
    }

    /// The characters up to the first zero of what C keeps in a fixed place.
    private static func text<Bytes>(_ bytes: Bytes) -> String {
        withUnsafeBytes(of: bytes) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
    }

    private static func text(_ bytes: [CChar]) -> String {
        String(decoding: bytes.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }
}
