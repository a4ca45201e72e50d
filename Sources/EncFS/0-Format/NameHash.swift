/// SipHash-2-4 with the filesystem's key over a name: where its entries are found. Keyed, so that nobody who makes
/// names can choose collisions (Aumasson and Bernstein, 2012).
struct NameHash: Equatable, Sendable {
    let key0: UInt64
    let key1: UInt64

    func callAsFunction(_ bytes: [UInt8]) -> UInt64 {
        var v0 = key0 ^ 0x736f_6d65_7073_6575
        var v1 = key1 ^ 0x646f_7261_6e64_6f6d
        var v2 = key0 ^ 0x6c79_6765_6e65_7261
        var v3 = key1 ^ 0x7465_6462_7974_6573

        func round() {
            v0 &+= v1
            v1 = v1 << 13 | v1 >> 51
            v1 ^= v0
            v0 = v0 << 32 | v0 >> 32
            v2 &+= v3
            v3 = v3 << 16 | v3 >> 48
            v3 ^= v2
            v0 &+= v3
            v3 = v3 << 21 | v3 >> 43
            v3 ^= v0
            v2 &+= v1
            v1 = v1 << 17 | v1 >> 47
            v1 ^= v2
            v2 = v2 << 32 | v2 >> 32
        }

        var word: UInt64 = 0
        for (index, byte) in bytes.enumerated() {
            word |= UInt64(byte) << UInt64(index % 8 * 8)
            if index % 8 == 7 {
                v3 ^= word
                round()
                round()
                v0 ^= word
                word = 0
            }
        }
        word |= UInt64(truncatingIfNeeded: bytes.count) << 56
        v3 ^= word
        round()
        round()
        v0 ^= word
        v2 ^= 0xff
        for _ in 0..<4 { round() }
        return v0 ^ v1 ^ v2 ^ v3
    }
}
