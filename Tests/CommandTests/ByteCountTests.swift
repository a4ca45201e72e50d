import Inspection
import Testing

@Suite struct ByteCountTests {
    @Test(
        arguments: [
            ("0", 0), ("4096", 4096), ("64K", 65536), ("64k", 65536), ("2G", 2 << 30), ("2GiB", 2 << 30),
            ("2gb", 2 << 30),
            ("1.5T", 3 << 39), ("0.5K", 512), ("512B", 512), ("16T", 16 << 40), ("16777215T", 16_777_215 << 40),
        ] as [(String, UInt64)])
    func reads(_ text: String, _ bytes: UInt64) {
        #expect(ByteCount(text)?.bytes == bytes)
    }

    @Test(arguments: [
        "", "K", "-1", "+1", "1KK", "1X", "1 G", " 1G", "1,5G", "1.G", ".5G", "1.1234567G", "0x10", "1e3", "iB",
        "5iB",
        "16777216T", "18446744073709551616", "٣G", "1.5", "NaN",
    ])
    func refuses(_ text: String) {
        #expect(ByteCount(text) == nil)
    }

    @Test(
        arguments: [
            (0, "0 bytes"), (1023, "1023 bytes"), (1024, "1 KiB"), (1536, "1.5 KiB"), (2 << 30, "2 GiB"),
            (3 << 39, "1.5 TiB"), (UInt64.max, "16777215.9 TiB"),
        ] as [(UInt64, String)])
    func writes(_ bytes: UInt64, _ text: String) {
        #expect(ByteCount(bytes: bytes).description == text)
    }
}
