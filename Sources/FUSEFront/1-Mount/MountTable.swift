import Glibc
import VFS

/// One line of `/proc/self/mountinfo`, proc(5).
package struct MountTableEntry: Hashable {
    /// The kernel's number of the mount; later mounts at the same place have later lines, not larger numbers.
    package var identifier: Int
    /// `major:minor` of the filesystem's device.
    package var device: String
    package var mountpoint: String
    package var type: String
    package var source: String
}

/// What is mounted, as this process sees it. Reading it asks no filesystem, so that a serving thread may.
package enum MountTable {
    /// - Throws: ``FUSEError/system(call:errno:path:)`` without `/proc`.
    package static func entries() throws(FUSEError) -> [MountTableEntry] { try entries(of: "self") }

    private static func entries(of process: String) throws(FUSEError) -> [MountTableEntry] {
        let bytes = try SmallFile.read("/proc/\(process)/mountinfo")
        return bytes.split(separator: UInt8(ascii: "\n")).compactMap { entry(String(decoding: $0, as: UTF8.self)) }
    }

    /// What one sees at `path`, which is absolute and without symbolic links: the last mount there.
    package static func top(at path: String) throws(FUSEError) -> MountTableEntry? {
        try entries().last { $0.mountpoint == path }
    }

    /// A process that has the filesystem `device` mounted, by what `/proc` shows us of other processes; `nil` when none is
    /// seen, which for users other than root is no proof.
    static func holder(of device: String) -> (process: Int32, place: String)? {
        guard let directory = opendir("/proc") else { return nil }
        defer { closedir(directory) }
        while let found = readdir(directory) {
            let name = withUnsafePointer(to: &found.pointee.d_name) {
                $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            guard let process = Int32(name) else { continue }
            let table: [MountTableEntry]
            // It may have ended by now, or be none of our business.
            do throws(FUSEError) { table = try entries(of: "\(process)") } catch { continue }
            if let entry = table.last(where: { $0.device == device }) { return (process, entry.mountpoint) }
        }
        return nil
    }

    static func entry(_ line: String) -> MountTableEntry? {
        let fields = line.split(separator: " ")
        guard fields.count > 6, let identifier = Int(fields[0]),
            let dash = fields[6...].firstIndex(of: "-"), dash + 2 < fields.count
        else { return nil }
        return MountTableEntry(
            identifier: identifier, device: String(fields[2]), mountpoint: unescaped(fields[4]),
            type: String(fields[dash + 1]), source: unescaped(fields[dash + 2]))
    }

    /// Space, tab, newline and backslash are written as three octal digits behind a backslash.
    private static func unescaped(_ field: Substring) -> String {
        var result: [UInt8] = []
        var bytes = Array(field.utf8)[...]
        while let byte = bytes.popFirst() {
            if byte == UInt8(ascii: "\\"), let code = octal(bytes.prefix(3)) {
                result.append(code)
                bytes.removeFirst(3)
            } else {
                result.append(byte)
            }
        }
        return String(decoding: result, as: UTF8.self)
    }

    private static func octal(_ digits: ArraySlice<UInt8>) -> UInt8? {
        guard digits.count == 3 else { return nil }
        return UInt8(String(decoding: digits, as: UTF8.self), radix: 8)
    }
}
