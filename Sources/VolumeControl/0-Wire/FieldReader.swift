import SecureBlock

/// The fields of one frame, read in order; every one of them is checked, and nothing may be left over.
struct FieldReader {
    private let bytes: [UInt8]
    private var position = 0

    init(_ bytes: [UInt8]) { self.bytes = bytes }

    private mutating func read<Value>(
        _ body: (inout ByteReader) throws(ParseError) -> Value
    ) throws(ControlError) -> Value {
        do throws(ParseError) {
            return try bytes.withRawBytes { bytes throws(ParseError) in
                var reader = ByteReader(UnsafeRawBufferPointer(rebasing: bytes[position...]))
                let value = try body(&reader)
                position += reader.position
                return value
            }
        } catch { throw .malformed("a field past the end") }
    }

    mutating func u8() throws(ControlError) -> UInt8 {
        try read { reader throws(ParseError) in try reader.u8() }
    }
    mutating func u16() throws(ControlError) -> UInt16 {
        try read { reader throws(ParseError) in try reader.u16() }
    }
    mutating func u32() throws(ControlError) -> UInt32 {
        try read { reader throws(ParseError) in try reader.u32() }
    }
    mutating func u64() throws(ControlError) -> UInt64 {
        try read { reader throws(ParseError) in try reader.u64() }
    }
    mutating func bytes(_ count: Int) throws(ControlError) -> [UInt8] {
        try read { reader throws(ParseError) in Array(try reader.bytes(count)) }
    }

    /// 0 or 1.
    mutating func flag() throws(ControlError) -> Bool {
        let value = try u8()
        guard value <= 1 else { throw .malformed("a flag of \(value)") }
        return value == 1
    }

    /// UTF-8 behind its length.
    mutating func text() throws(ControlError) -> String {
        let count = try u16()
        guard let text = String(validating: try bytes(Int(count)), as: UTF8.self) else {
            throw .malformed("text that is no UTF-8")
        }
        return text
    }

    func finish() throws(ControlError) {
        guard position == bytes.count else { throw .malformed("\(bytes.count - position) bytes too many") }
    }
}

/// The counterpart of ``FieldReader``.
struct FieldWriter {
    private(set) var bytes: [UInt8] = []

    mutating func u8(_ value: UInt8) { bytes.append(value) }
    mutating func u16(_ value: UInt16) { append(value) }
    mutating func u32(_ value: UInt32) { append(value) }
    mutating func u64(_ value: UInt64) { append(value) }
    mutating func bytes(_ value: [UInt8]) { bytes += value }
    mutating func flag(_ value: Bool) { bytes.append(value ? 1 : 0) }

    /// Cut, at a character, to what `limit` bytes take.
    mutating func text(_ value: String, limit: Int = 4096) {
        var text = value
        while text.utf8.count > limit { text.removeLast() }
        u16(UInt16(text.utf8.count))
        bytes += Array(text.utf8)
    }

    private mutating func append<Value: FixedWidthInteger>(_ value: Value) {
        for index in 0..<Value.bitWidth / 8 { bytes.append(UInt8(truncatingIfNeeded: value >> (8 * index))) }
    }
}
