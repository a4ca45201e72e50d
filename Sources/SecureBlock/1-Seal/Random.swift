import COpenSSL

/// Random bytes from the crypto library's generator, which the kernel seeds and a fork reseeds.
package enum Random {
    package static func fill(_ buffer: UnsafeMutableRawBufferPointer) throws(SealError) {
        guard let base = buffer.baseAddress, buffer.count > 0 else { return }
        // SAFETY: RAND_bytes writes exactly `buffer.count` bytes; the count is checked to fit C's int.
        guard let count = Int32(exactly: buffer.count),
            RAND_bytes(base.assumingMemoryBound(to: UInt8.self), count) == 1
        else { throw .randomUnavailable }
    }

    package static func bytes(_ count: Int) throws(SealError) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: count)
        try bytes.withMutableRawBytes { buffer throws(SealError) in try fill(buffer) }
        return bytes
    }
}
