import COpenSSL

/// A SHA-256 value in the tree of an image. The one of the header stands for every byte of the image: its root hash.
public struct TreeHash: Hashable, Sendable {
    public static let byteCount = 32

    private let words: (UInt64, UInt64, UInt64, UInt64)

    /// Takes the first 32 bytes of `bytes`, which holds at least as many.
    public init(loading bytes: UnsafeRawBufferPointer) {
        precondition(bytes.count >= Self.byteCount, "a hash has 32 bytes")
        func word(_ index: Int) -> UInt64 {
            // SAFETY: the length was checked above.
            UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: 8 * index, as: UInt64.self))
        }
        words = (word(0), word(1), word(2), word(3))
    }

    /// Writes 32 bytes to the start of `buffer`.
    public func store(into buffer: UnsafeMutableRawBufferPointer) {
        precondition(buffer.count >= Self.byteCount, "a hash has 32 bytes")
        for (index, word) in [words.0, words.1, words.2, words.3].enumerated() {
            // SAFETY: the length was checked above.
            buffer.storeBytes(of: word.littleEndian, toByteOffset: 8 * index, as: UInt64.self)
        }
    }

    public static func == (left: TreeHash, right: TreeHash) -> Bool { left.words == right.words }

    public func hash(into hasher: inout Hasher) { hasher.combine(words.0) }
}

extension TreeHash: LosslessStringConvertible {
    /// 64 hexadecimal digits in either case, and nothing else.
    public init?(_ description: String) {
        var bytes: [UInt8] = []
        var high: UInt8?
        for character in description.utf8 {
            let digit: UInt8
            switch character {
            case UInt8(ascii: "0")...UInt8(ascii: "9"): digit = character - UInt8(ascii: "0")
            case UInt8(ascii: "a")...UInt8(ascii: "f"): digit = character - UInt8(ascii: "a") + 10
            case UInt8(ascii: "A")...UInt8(ascii: "F"): digit = character - UInt8(ascii: "A") + 10
            default: return nil
            }
            if let first = high {
                bytes.append(first << 4 | digit)
                high = nil
            } else {
                high = digit
            }
        }
        guard bytes.count == Self.byteCount, high == nil else { return nil }
        self = bytes.withUnsafeBytes { TreeHash(loading: $0) }
    }

    /// 64 hexadecimal digits, as `sha256sum(1)` writes them.
    public var description: String {
        let digits = Array("0123456789abcdef".utf8)
        var text: [UInt8] = []
        for word in [words.0, words.1, words.2, words.3] {
            for shift in stride(from: 0, to: 64, by: 8) {
                let byte = UInt8(truncatingIfNeeded: word >> UInt64(shift))
                text.append(digits[Int(byte >> 4)])
                text.append(digits[Int(byte & 15)])
            }
        }
        return String(decoding: text, as: UTF8.self)
    }
}

/// What is hashed in an image, and where it stands: hashed before the 4096 bytes, so that nothing passes for another.
///
///     0  kind    u8       1 block, 2 page of hashes, 3 header
///     1  level   u8       of a page, from 1 above the blocks; 0 for all else
///     2  zero    6 bytes
///     8  number  u64      of the block, or of the page on its level; 0 for the header
struct TreePlace: Hashable, Sendable {
    private let kind: UInt8
    let level: UInt8
    let number: UInt64

    static func block(_ number: UInt64) -> TreePlace { TreePlace(kind: 1, level: 0, number: number) }
    static func page(_ level: Int, _ number: UInt64) -> TreePlace {
        TreePlace(kind: 2, level: UInt8(level), number: number)
    }
    static let header = TreePlace(kind: 3, level: 0, number: 0)

    /// The stored form as two little-endian words.
    fileprivate var words: (UInt64, UInt64) {
        ((UInt64(kind) | UInt64(level) << 8).littleEndian, number.littleEndian)
    }
}

/// SHA-256 (FIPS 180-4) of nodes of a tree, one after the other, with one context: making one costs as much as a node. For one thread.
final class TreeHasher {
    // SAFETY: owned by this object alone, freed in `deinit`.
    private let context: OpaquePointer
    /// Fetched once for the life of the process.
    private static let sha256 = UInt(bitPattern: EVP_MD_fetch(nil, "SHA256", nil))

    init() throws(SealError) {
        guard let context = EVP_MD_CTX_new() else { throw .crypto("EVP_MD_CTX_new") }
        self.context = context
    }

    deinit { EVP_MD_CTX_free(context) }

    func hash(_ place: TreePlace, _ bytes: UnsafeRawBufferPointer) throws(SealError) -> TreeHash {
        guard EVP_DigestInit_ex2(context, OpaquePointer(bitPattern: Self.sha256), nil) == 1 else {
            throw .crypto("EVP_DigestInit SHA256")
        }
        let isPlaced = withUnsafeBytes(of: place.words) { EVP_DigestUpdate(context, $0.baseAddress, $0.count) == 1 }
        guard isPlaced, EVP_DigestUpdate(context, bytes.baseAddress, bytes.count) == 1 else {
            throw .crypto("EVP_DigestUpdate")
        }
        var result: (UInt64, UInt64, UInt64, UInt64) = (0, 0, 0, 0)
        return try withUnsafeMutableBytes(of: &result) { result throws(SealError) in
            // SAFETY: the digest writes 32 bytes, as many as the four words have.
            guard EVP_DigestFinal_ex(context, result.bindMemory(to: UInt8.self).baseAddress, nil) == 1 else {
                throw .crypto("EVP_DigestFinal")
            }
            return TreeHash(loading: UnsafeRawBufferPointer(result))
        }
    }
}
