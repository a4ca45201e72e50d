import CLinux
import Glibc

/// An open file, read and written as a whole.
struct OpenFile {
    let descriptor: Int32

    init(_ path: String, _ flags: Int32) throws(Difference) {
        descriptor = casemate_open(path, flags | O_CLOEXEC, 0o644)
        guard descriptor >= 0 else { throw .call("open \(path)") }
    }

    func close() { Glibc.close(descriptor) }

    func status() throws(Difference) -> stat {
        var status = stat()
        guard fstat(descriptor, &status) == 0 else { throw .call("fstat") }
        return status
    }

    func size() throws(Difference) -> Int { try status().st_size }

    func write(_ bytes: [UInt8], at offset: Int) throws(Difference) {
        var done = 0
        while done < bytes.count {
            let count = bytes[done...].withUnsafeBytes {
                pwrite(descriptor, $0.baseAddress, $0.count, offset + done)
            }
            guard count > 0 else { throw .call("pwrite") }
            done += count
        }
    }

    func read(_ count: Int, at offset: Int) throws(Difference) -> ArraySlice<UInt8> {
        var bytes = [UInt8](repeating: 0, count: count)
        var done = 0
        while done < count {
            let got = bytes.withUnsafeMutableBytes {
                pread(descriptor, $0.baseAddress.map { $0 + done }, count - done, offset + done)
            }
            guard got >= 0 else { throw .call("pread") }
            if got == 0 { break }
            done += got
        }
        return bytes[..<done]
    }

    /// - Parameter count: what is asked for, which may be more than there is.
    func expect(_ expected: ArraySlice<UInt8>, asking count: Int, at offset: Int) throws(Difference) {
        let found = try read(count, at: offset)
        if let difference = Self.difference(found, expected) {
            throw Difference("read at \(offset): \(difference)")
        }
    }

    static func difference(_ found: ArraySlice<UInt8>, _ expected: ArraySlice<UInt8>) -> String? {
        if found == expected { return nil }
        if found.count != expected.count { return "\(found.count) bytes, \(expected.count) expected" }
        let wrong = zip(found, expected).enumerated().filter { $0.element.0 != $0.element.1 }
        guard let first = wrong.first, let last = wrong.last else { return nil }
        return "\(wrong.count) other bytes between \(first.offset) and \(last.offset)"
    }

    /// Makes the file durable and takes it out of the page cache.
    func cool() throws(Difference) {
        guard fsync(descriptor) == 0 else { throw .call("fsync") }
        guard posix_fadvise(descriptor, 0, 0, Int32(POSIX_FADV_DONTNEED)) == 0 else { throw .call("posix_fadvise") }
    }
}

@_silgen_name("copy_file_range")
func copyFileRange(
    _ from: Int32, _ fromOffset: UnsafeMutablePointer<Int>?, _ to: Int32, _ toOffset: UnsafeMutablePointer<Int>?,
    _ count: Int, _ flags: UInt32
) -> Int
