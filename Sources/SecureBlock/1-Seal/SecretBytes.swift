import CLinux
import COpenSSL

#if canImport(Glibc)
    import Glibc
#endif

/// A secret of fixed size in memory of its own: locked against swapping, left out of core dumps, zero in forked
/// children, wiped when released, compared in constant time, and never printed.
///
/// The bytes never change after `init`, so any thread may read them.
public final class SecretBytes: @unchecked Sendable {
    // SAFETY: a private anonymous mapping, written only by `init`, unmapped by `deinit`. Readers get it lent.
    private let base: UnsafeMutableRawPointer
    private let mappedBytes: Int
    public let byteCount: Int

    /// Whether the kernel accepted to keep the memory out of swap. An unprivileged process may be refused
    /// (`RLIMIT_MEMLOCK`); the secret then works all the same.
    public let isLocked: Bool

    /// Makes the memory, zeroed, and lets `fill` write it. What `fill` leaves when it throws is wiped.
    /// - Throws: ``SealError/memory(errno:)``, and what `fill` throws.
    public init(
        byteCount: Int, fill: (UnsafeMutableRawBufferPointer) throws(SealError) -> Void
    ) throws(SealError) {
        precondition(byteCount > 0, "a secret has at least one byte")
        let pageBytes = 4096
        mappedBytes = (byteCount + pageBytes - 1) / pageBytes * pageBytes
        self.byteCount = byteCount
        let mapping = mmap(nil, mappedBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
        guard let mapping, mapping != MAP_FAILED else { throw .memory(errno: errno) }
        base = mapping
        isLocked = casemate_protect_secret(mapping, mappedBytes)
        // When this throws, `deinit` runs: every property is set.
        try fill(UnsafeMutableRawBufferPointer(start: base, count: byteCount))
    }

    deinit {
        OPENSSL_cleanse(base, mappedBytes)
        munmap(base, mappedBytes)
    }

    /// A copy of `bytes`; the caller wipes the original.
    public convenience init(copying bytes: UnsafeRawBufferPointer) throws(SealError) {
        try self.init(byteCount: bytes.count) { buffer throws(SealError) in buffer.copyMemory(from: bytes) }
    }

    /// - Throws: ``SealError/randomUnavailable``, ``SealError/memory(errno:)``.
    public static func random(byteCount: Int) throws(SealError) -> SecretBytes {
        try SecretBytes(byteCount: byteCount) { buffer throws(SealError) in try Random.fill(buffer) }
    }

    /// Lends the bytes. They must not be copied to memory that is not wiped, nor kept beyond `body`.
    public func withUnsafeBytes<Result, Failure: Error>(
        _ body: (UnsafeRawBufferPointer) throws(Failure) -> Result
    ) throws(Failure) -> Result {
        try body(UnsafeRawBufferPointer(start: base, count: byteCount))
    }
}

extension SecretBytes: Equatable {
    /// Takes the same time wherever the first difference is; the lengths are not secret.
    public static func == (left: SecretBytes, right: SecretBytes) -> Bool {
        left.byteCount == right.byteCount && CRYPTO_memcmp(left.base, right.base, left.byteCount) == 0
    }
}

extension SecretBytes: CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {
    public var description: String { "SecretBytes(\(byteCount) bytes)" }
    public var debugDescription: String { description }
    public var customMirror: Mirror { Mirror(self, children: EmptyCollection<Mirror.Child>()) }
}
