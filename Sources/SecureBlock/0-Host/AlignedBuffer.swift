/// Memory that direct I/O accepts: aligned to ``blockBytes``, zeroed when made, freed with its owner.
///
/// ``bytes`` is valid as long as the object is; whoever hands the pointer to a host keeps the object alive until the
/// host is done. Access from several threads is the owner's affair.
public final class AlignedBuffer: @unchecked Sendable {
    public let bytes: UnsafeMutableRawBufferPointer
    /// What the bytes are part of, unless they are this object's own.
    private let pages: LargePages?

    /// - Parameter byteCount: any positive size; need not be a multiple of ``blockBytes``.
    public init(byteCount: Int) {
        precondition(byteCount > 0, "a buffer has at least one byte")
        // SAFETY: owned by this object alone, released in `deinit` with the alignment it was made with.
        let base = UnsafeMutableRawPointer.allocate(byteCount: byteCount, alignment: blockBytes)
        base.initializeMemory(as: UInt8.self, repeating: 0, count: byteCount)
        bytes = UnsafeMutableRawBufferPointer(start: base, count: byteCount)
        pages = nil
    }

    /// A part of larger memory, which nobody else is to have.
    init(_ pages: LargePages, _ offset: Int, _ byteCount: Int) {
        bytes = pages.bytes(offset, byteCount)
        self.pages = pages
    }

    deinit {
        if pages == nil { bytes.deallocate() }
    }

    /// The buffer's `byteCount` bytes from `offset`, checked in every build.
    public func slice(_ offset: Int, _ byteCount: Int) -> UnsafeMutableRawBufferPointer {
        precondition(offset >= 0 && byteCount >= 0 && offset <= bytes.count - byteCount, "slice outside the buffer")
        return UnsafeMutableRawBufferPointer(rebasing: bytes[offset..<offset + byteCount])
    }
}
