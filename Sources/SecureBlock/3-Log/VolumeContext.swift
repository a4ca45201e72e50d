import Synchronization

/// What every part of an opened volume needs to reach and verify stored blocks. Immutable but for the volume's size.
package final class VolumeContext: Sendable {
    package let host: any BlockHost
    package let superblock: Superblock
    package let superblockDigest: [UInt8]
    package let keys: VolumeKeys
    private let segmentBlocks: Int
    private let segmentCount: Atomic<UInt32>
    private let logicalBlocks: Atomic<UInt64>
    package let epochs: EpochTable
    /// The geometry is an earlier root's: the store may be smaller by now.
    package let isEarlier: Bool

    package init(
        host: any BlockHost, superblock: Superblock, superblockDigest: [UInt8], keys: VolumeKeys,
        geometry: Geometry,
        epochs: EpochTable, isEarlier: Bool = false
    ) {
        self.isEarlier = isEarlier
        self.host = host
        self.superblock = superblock
        self.superblockDigest = superblockDigest
        self.keys = keys
        segmentBlocks = geometry.segmentBlocks
        segmentCount = Atomic(geometry.segmentCount)
        logicalBlocks = Atomic(geometry.logicalBlocks)
        self.epochs = epochs
    }

    /// Where segments are. Their number changes only in ``adopt(_:)``, and where a place is that both sizes have never does,
    /// so that it may be asked for without the monitor.
    @inline(__always)
    package var geometry: Geometry {
        Geometry(
            segmentBlocks: segmentBlocks, segmentCount: segmentCount.load(ordering: .relaxed),
            logicalBlocks: logicalBlocks.load(ordering: .relaxed))
    }

    /// Takes another size. Call with the device's monitor held.
    func adopt(_ geometry: Geometry) {
        precondition(geometry.segmentBlocks == segmentBlocks, "segments keep their size")
        segmentCount.store(geometry.segmentCount, ordering: .relaxed)
        logicalBlocks.store(geometry.logicalBlocks, ordering: .relaxed)
    }

    /// The same volume with the geometry that an earlier root describes.
    package func viewing(_ root: Root) -> VolumeContext {
        let geometry = Geometry(
            segmentBlocks: geometry.segmentBlocks, segmentCount: root.segmentCount,
            logicalBlocks: root.logicalBlocks)
        return VolumeContext(
            host: host, superblock: superblock, superblockDigest: superblockDigest, keys: keys, geometry: geometry,
            epochs: epochs, isEarlier: true)
    }

    package func offset(_ block: PhysicalBlock) -> UInt64 { block.rawValue * UInt64(blockBytes) }

    /// How reading one verified block ended.
    package enum PageResult {
        case verified(AlignedBuffer)
        /// The tag does not match, or the pointer names no segment or epoch.
        case mismatch
        case host(HostError)
    }

    /// Reads and opens a page of the map, of the segment table, or a root's copy.
    package func readPage(_ pointer: PagePointer, _ association: BlockAssociation) throws(SealError) -> PageResult {
        guard geometry.position(pointer.block) != nil, let key = try epochs.key(pointer.epochIndex) else {
            return .mismatch
        }
        let buffer = AlignedBuffer(byteCount: blockBytes)
        do { try host.read(at: offset(pointer.block), into: buffer.bytes) } catch { return .host(error) }
        guard let start = buffer.bytes.baseAddress else { preconditionFailure("a page is a block") }
        let isAuthentic = try key.open(
            UnsafeRawBufferPointer(buffer.bytes), into: start, at: pointer.block, pointer.generation,
            as: association,
            tag: pointer.tag)
        return isAuthentic ? .verified(buffer) : .mismatch
    }
}
