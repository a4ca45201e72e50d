import Testing

@testable import SecureBlock

@Suite struct HostCursorTests {
    @Test func readsWhatWasWritten() throws {
        let buffer = AlignedBuffer(byteCount: 128)
        var writer = ByteWriter(buffer.bytes)
        let identifier = try VolumeIdentifier.random()
        writer.u8(0x01)
        writer.u16(0x0302)
        writer.u32(0x0706_0504)
        writer.u40(0x0C_0B0A_0908)
        writer.u64(0x1413_1211_100F_0E0D)
        writer.tag(Tag(low: 1, high: 2))
        writer.volumeIdentifier(identifier)
        writer.bytes([42, 43])
        writer.zeros(upTo: 100)
        #expect(writer.position == 100)
        #expect([UInt8](buffer.bytes.prefix(20)) == (1...20).map { UInt8($0) })

        var reader = ByteReader(UnsafeRawBufferPointer(buffer.bytes))
        #expect(try reader.u8() == 0x01)
        #expect(try reader.u16() == 0x0302)
        #expect(try reader.u32() == 0x0706_0504)
        #expect(try reader.u40() == 0x0C_0B0A_0908)
        #expect(try reader.u64() == 0x1413_1211_100F_0E0D)
        #expect(try reader.tag() == Tag(low: 1, high: 2))
        #expect(try reader.volumeIdentifier() == identifier)
        #expect([UInt8](try reader.bytes(2)) == [42, 43])
        try reader.zeros(46, field: "reserved")
        #expect(reader.position == 100 && reader.remaining == 28)
    }

    /// Every read, at every distance from the end: bytes or an error that says where.
    @Test func neverReadsPastTheEnd() {
        for count in 0..<24 {
            let bytes = [UInt8](repeating: 0xFF, count: count)
            bytes.withRawBytes { bytes in
                let reads: [(Int, (inout ByteReader) throws -> Void)] = [
                    (1, { _ = try $0.u8() }), (2, { _ = try $0.u16() }), (4, { _ = try $0.u32() }),
                    (5, { _ = try $0.u40() }), (8, { _ = try $0.u64() }), (16, { _ = try $0.tag() }),
                    (16, { _ = try $0.volumeIdentifier() }), (9, { _ = try $0.bytes(9) }),
                    (23, { try $0.skip(23) }),
                ]
                for (wanted, read) in reads {
                    var reader = ByteReader(bytes)
                    if wanted <= count {
                        #expect(throws: Never.self) { try read(&reader) }
                        #expect(reader.position == wanted)
                    } else {
                        #expect(throws: ParseError.pastEnd(position: 0, wanted: wanted)) { try read(&reader) }
                        #expect(reader.position == 0)
                    }
                }
                var reader = ByteReader(bytes)
                #expect(throws: ParseError.self) { try reader.skip(-1) }
                #expect(throws: ParseError.self) { try reader.bytes(.max) }
            }
        }
    }

    @Test func reservedBytesMustBeZero() {
        [0, 0, 1].withRawBytes { bytes in
            var reader = ByteReader(bytes)
            #expect(throws: ParseError.unexpected(field: "reserved", position: 0)) {
                try reader.zeros(3, field: "reserved")
            }
        }
    }

    @Test func identifiersRoundTripThroughText() throws {
        let identifier = try VolumeIdentifier.random()
        #expect(VolumeIdentifier(identifier.description) == identifier)
        let small = "00010203-0405-0607-0809-0a0b0c0d0e0f"
        #expect(VolumeIdentifier(small.filter { $0 != "-" })?.description == small)
        #expect(identifier.description.count == 36)
        #expect(VolumeIdentifier("6b2f1c3e-0d5a-4f7e-9c1b-2a3d4e5f607") == nil)
        #expect(VolumeIdentifier("6b2f1c3e-0d5a-4f7e-9c1b-2a3d4e5f60zz") == nil)
        #expect(
            VolumeIdentifier("6b2f1c3e-0d5a-4f7e-9c1b-2a3d4e5f6071")?.bytes
                == hex("6b2f1c3e0d5a4f7e9c1b2a3d4e5f6071"))
    }
}
