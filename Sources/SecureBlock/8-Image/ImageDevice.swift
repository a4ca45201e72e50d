/// An image, read-only: every block is verified against a root hash before anybody sees it.
///
///     let image = try ImageDevice.open(host, root: .pinned(hash))
///     let files = try EncFS(mounting: image, options)
///
/// **Fault model.** The host may return anything. A block reads as it was when the image was made, or as
/// ``DeviceError/unreadable(_:_:)`` with what does not verify. Who has the root hash has it from elsewhere: measured with the
/// program, say. There is nothing older or newer to an image, as there is to a volume: the root hash says which it is.
///
/// Calls may come from any thread.
public final class ImageDevice: BlockDevice {
    /// Which image is opened.
    public enum Root: Sendable, Hashable {
        /// The one with this root hash, and no other.
        case pinned(TreeHash)
        /// Whichever is there. It verifies against itself, which tells damage, and nothing of who made it.
        case asFound
    }

    /// How an image is opened.
    public struct Options: Sendable {
        /// Memory for verified pages of hashes, each of which covers 512 KiB.
        public var cacheBytes = 4 << 20
        /// The store may be longer than the image, as a block device is. What is behind it is never read.
        public var allowsSurplus = false
        public init() {}
    }

    /// Of the image that is open; pinned or found.
    public let rootHash: TreeHash
    /// Whether the root hash was asked for, or is only what was found.
    public let isPinned: Bool
    public var logicalBlockCount: UInt64 { layout.blockCount }
    /// Size of the image on its host.
    public var imageBytes: UInt64 { layout.byteCount }
    public var isReadOnly: Bool { true }
    public var commitWanted: Bool { false }

    let host: any BlockHost
    let layout: ImageLayout
    let top: TreeHash
    let cache: HashPageCache
    let readAhead = ReadAhead()

    /// Opens the image on `host`, which stays the caller's to close. The header is looked into only after its hash was found to be the one asked for.
    /// - Throws: ``ImageError``.
    public static func open(
        _ host: any BlockHost, root: Root, _ options: Options = Options()
    ) throws(ImageError) -> ImageDevice {
        let block = AlignedBuffer(byteCount: blockBytes)
        let found: UInt64
        do throws(HostError) {
            found = try host.byteCount()
            if found >= UInt64(blockBytes) { try host.read(at: 0, into: block.bytes) }
        } catch { throw .host(error) }
        guard found > 0 else { throw .empty }
        let bytes = UnsafeRawBufferPointer(block.bytes)
        guard ImageHeader.isPresent(bytes) else { throw .notAnImage }
        let hash: TreeHash
        do { hash = try TreeHasher().hash(.header, bytes) } catch { throw .crypto("\(error)") }
        if case .pinned(let expected) = root, hash != expected, !Sabotage.isOn(.imageRootUnchecked) {
            throw .wrongRootHash(expected: expected, found: hash)
        }
        let header = try ImageHeader.parse(bytes)
        let expected = header.layout.byteCount
        guard found >= expected || Sabotage.isOn(.imageLengthUnchecked) else {
            throw .truncated(expectedBytes: expected, foundBytes: found)
        }
        guard found == expected || options.allowsSurplus else {
            throw .surplus(expectedBytes: expected, foundBytes: found)
        }
        return ImageDevice(host, header, hash, isPinned: root != .asFound, cacheBytes: options.cacheBytes)
    }

    /// Whether what is on `host` begins as an image does.
    public static func isImage(_ host: any BlockHost) throws(HostError) -> Bool {
        guard try host.byteCount() >= UInt64(blockBytes) else { return false }
        let block = AlignedBuffer(byteCount: blockBytes)
        try host.read(at: 0, into: block.bytes)
        return ImageHeader.isPresent(UnsafeRawBufferPointer(block.bytes))
    }

    private init(
        _ host: any BlockHost, _ header: ImageHeader, _ rootHash: TreeHash, isPinned: Bool, cacheBytes: Int
    ) {
        self.host = host
        self.rootHash = rootHash
        self.isPinned = isPinned
        layout = header.layout
        top = header.top
        cache = HashPageCache(limitPages: cacheBytes / blockBytes)
    }

    public func write(_ first: LogicalBlock, _ bytes: UnsafeRawBufferPointer) throws(DeviceError) {
        throw .readOnly
    }
    public func discard(_ first: LogicalBlock, count: UInt64) throws(DeviceError) { throw .readOnly }
    public func commit() throws(DeviceError) -> any CommitTicket { throw .readOnly }
}
