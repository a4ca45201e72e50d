/// The 96-bit nonce of one sealing, unique under its epoch's key because a physical block is written once per
/// generation of its segment:
///
///      0        5          9   10     12
///     | block  | generation| d | zero |      little-endian; d is the domain
package struct Nonce: Hashable, Sendable {
    package static let byteCount = 12

    /// Bytes 0…7 and 8…11 as little-endian numbers.
    let low: UInt64
    let high: UInt32

    /// - Parameters:
    ///   - block: where the sealed bytes will lie, below 2^40.
    ///   - domain: what kind of thing is sealed, so that two kinds never meet under one key.
    @inline(__always)
    package init(block: PhysicalBlock, generation: Generation, domain: UInt8) {
        precondition(block.rawValue >> 40 == 0, "a physical block number has 40 bits")
        low = block.rawValue | UInt64(generation.rawValue) << 40
        high = generation.rawValue >> 24 | UInt32(domain) << 8
    }

    /// A nonce drawn at random, for keys that seal a handful of things in their life.
    init(randomBytes: UnsafeRawBufferPointer) {
        precondition(randomBytes.count == Nonce.byteCount, "a nonce has 12 bytes")
        low = UInt64(littleEndian: randomBytes.loadUnaligned(fromByteOffset: 0, as: UInt64.self))
        high = UInt32(littleEndian: randomBytes.loadUnaligned(fromByteOffset: 8, as: UInt32.self))
    }

    /// Lends the twelve bytes.
    @inline(__always)
    package func withBytes<Result, Failure: Error>(
        _ body: (UnsafePointer<UInt8>) throws(Failure) -> Result
    ) throws(Failure) -> Result {
        // SAFETY: the tuple lays out as 8 + 4 bytes without padding between; the pointer does not outlive it.
        var words = (low.littleEndian, high.littleEndian)
        return try withUnsafeMutablePointer(to: &words) { pointer throws(Failure) in
            try body(UnsafeRawPointer(pointer).assumingMemoryBound(to: UInt8.self))
        }
    }
}
