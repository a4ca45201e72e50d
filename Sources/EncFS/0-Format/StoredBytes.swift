/// Reads little-endian fields of a stored item, front to back, never past its end.
struct StoredReader {
    private let bytes: UnsafeRawBufferPointer
    private var position = 0

    init(_ bytes: UnsafeRawBufferPointer) { self.bytes = bytes }

    var remaining: Int { bytes.count - position }

    mutating func integer<T: FixedWidthInteger>(_: T.Type = T.self) throws(StoredError) -> T {
        guard remaining >= MemoryLayout<T>.size else { throw .tooShort }
        // SAFETY: the guard keeps the load inside `bytes`, which the caller keeps alive while this value lives.
        let value = bytes.loadUnaligned(fromByteOffset: position, as: T.self)
        position += MemoryLayout<T>.size
        return T(littleEndian: value)
    }

    mutating func array(count: Int) throws(StoredError) -> [UInt8] {
        guard count >= 0, remaining >= count else { throw .tooShort }
        defer { position += count }
        return Array(bytes[position..<position + count])
    }

    mutating func skip(_ count: Int) throws(StoredError) {
        guard count >= 0, remaining >= count else { throw .tooShort }
        position += count
    }
}

/// Builds a stored item from little-endian fields.
struct StoredWriter {
    private(set) var bytes: [UInt8] = []

    init(capacity: Int) { bytes.reserveCapacity(capacity) }

    mutating func integer<T: FixedWidthInteger>(_ value: T) {
        withUnsafeBytes(of: value.littleEndian) { bytes.append(contentsOf: $0) }
    }

    mutating func array(_ values: some Sequence<UInt8>) { bytes.append(contentsOf: values) }

    mutating func zeros(_ count: Int) {
        for _ in 0..<count { bytes.append(0) }
    }
}

/// Why stored bytes are not what they should be.
enum StoredError: Error {
    case tooShort
    case invalid(String)
}
