import SecureBlock

/// The filesystem's keyed hash of a name: where its entries are found. Keyed, so that nobody who makes names can choose
/// collisions. SipHash-2-4 over the name's bytes.
struct NameHash: Equatable, Sendable {
    let key0: UInt64
    let key1: UInt64
    private let hash: SipHash

    init(key0: UInt64, key1: UInt64) {
        self.key0 = key0
        self.key1 = key1
        hash = StoredNumbers.encode([key0, key1]).withUnsafeBytes { SipHash(key: $0) }
    }

    func callAsFunction(_ bytes: [UInt8]) -> UInt64 { hash.hash(bytes) }

    static func == (left: NameHash, right: NameHash) -> Bool { left.key0 == right.key0 && left.key1 == right.key1 }
}
