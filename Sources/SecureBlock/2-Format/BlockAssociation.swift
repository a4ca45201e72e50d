/// The associated data of a sealed block: what it is and whose it is, so that no block passes for another (I14).
///
///     0  kind     u8
///     1  level    u8       of a map or table page; 0 for all else
///     2  zero     6 bytes
///     8  address  u64      logical block, page number, or commit of a root
package struct BlockAssociation: Hashable, Sendable {
    package static let byteCount = 16
    package var kind: BlockKind
    package var level: UInt8
    package var address: UInt64

    package init(_ kind: BlockKind, level: UInt8 = 0, address: UInt64) {
        self.kind = kind
        self.level = level
        self.address = address
    }

    /// The stored form as two little-endian words.
    @inline(__always)
    package var words: (UInt64, UInt64) {
        (
            (Sabotage.isOn(.dropKind) ? 0 : UInt64(kind.sealedKind.rawValue) | UInt64(level) << 8).littleEndian,
            (Sabotage.isOn(.dropAddress) ? 0 : address).littleEndian
        )
    }
}

extension SealingKey {
    /// Seals one block for its place in the log.
    @inline(__always)
    func seal(
        _ plain: UnsafeRawBufferPointer, into cipher: UnsafeMutableRawPointer, at block: PhysicalBlock,
        _ generation: Generation, as association: BlockAssociation
    ) throws(SealError) -> Tag {
        try withUnsafeBytes(of: association.words) { data throws(SealError) in
            try seal(
                plain, into: cipher, nonce: Nonce(block: block, generation: generation, domain: SealDomain.block),
                associatedData: data)
        }
    }

    /// Opens one block from its place in the log.
    /// - Returns: whether it verifies; unless it does, `plain` is wiped (I15).
    @inline(__always)
    func open(
        _ cipher: UnsafeRawBufferPointer, into plain: UnsafeMutableRawPointer, at block: PhysicalBlock,
        _ generation: Generation, as association: BlockAssociation, tag: Tag
    ) throws(SealError) -> Bool {
        try withUnsafeBytes(of: association.words) { data throws(SealError) in
            try open(
                cipher, into: plain, nonce: Nonce(block: block, generation: generation, domain: SealDomain.block),
                associatedData: data, tag: tag)
        }
    }
}
