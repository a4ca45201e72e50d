/// SipHash-2-4 with a 64-bit result (Aumasson and Bernstein, "SipHash: a fast short-input PRF", 2012): a keyed hash
/// whose collisions nobody without the key can arrange. EncFS hashes names with it.
public struct SipHash: Sendable {
    private let k0: UInt64
    private let k1: UInt64

    /// - Parameter key: 16 bytes.
    public init(key: UnsafeRawBufferPointer) {
        precondition(key.count == 16, "SipHash takes a key of 16 bytes")
        k0 = UInt64(littleEndian: key.loadUnaligned(fromByteOffset: 0, as: UInt64.self))
        k1 = UInt64(littleEndian: key.loadUnaligned(fromByteOffset: 8, as: UInt64.self))
    }

    public func hash(_ bytes: UnsafeRawBufferPointer) -> UInt64 {
        var state = State(k0, k1)
        let whole = bytes.count & ~7
        var position = 0
        while position < whole {
            // SAFETY: `position + 8 <= whole <= bytes.count`.
            state.absorb(UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: position, as: UInt64.self)))
            position += 8
        }
        var last = UInt64(truncatingIfNeeded: bytes.count) << 56
        for index in whole..<bytes.count {
            last |= UInt64(bytes[index]) << UInt64(8 * (index - whole))
        }
        state.absorb(last)
        return state.finish()
    }

    public func hash(_ bytes: [UInt8]) -> UInt64 {
        bytes.withUnsafeBytes { hash($0) }
    }

    private struct State {
        var v0, v1, v2, v3: UInt64

        init(_ k0: UInt64, _ k1: UInt64) {
            v0 = k0 ^ 0x736F_6D65_7073_6575
            v1 = k1 ^ 0x646F_7261_6E64_6F6D
            v2 = k0 ^ 0x6C79_6765_6E65_7261
            v3 = k1 ^ 0x7465_6462_7974_6573
        }

        @inline(__always)
        mutating func round() {
            v0 &+= v1
            v2 &+= v3
            v1 = v1.rotated(13) ^ v0
            v3 = v3.rotated(16) ^ v2
            v0 = v0.rotated(32)
            v2 &+= v1
            v0 &+= v3
            v1 = v1.rotated(17) ^ v2
            v3 = v3.rotated(21) ^ v0
            v2 = v2.rotated(32)
        }

        @inline(__always)
        mutating func absorb(_ word: UInt64) {
            v3 ^= word
            round()
            round()
            v0 ^= word
        }

        mutating func finish() -> UInt64 {
            v2 ^= 0xFF
            for _ in 0..<4 { round() }
            return v0 ^ v1 ^ v2 ^ v3
        }
    }
}

extension UInt64 {
    @inline(__always)
    fileprivate func rotated(_ bits: UInt64) -> UInt64 { self << bits | self >> (64 - bits) }
}
