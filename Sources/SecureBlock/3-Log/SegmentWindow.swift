/// Reads a segment forward in large pieces; remembers the last one.
final class SegmentWindow {
    private let context: VolumeContext
    private let segment: UInt32
    private let windowBlocks: Int
    private let buffer: AlignedBuffer
    private var start = 0
    private var count = 0

    init(_ context: VolumeContext, segment: UInt32) {
        self.context = context
        self.segment = segment
        windowBlocks = min(256, context.geometry.segmentBlocks)
        buffer = AlignedBuffer(byteCount: windowBlocks * blockBytes)
    }

    /// The stored bytes of one block; valid until the next call.
    func block(_ index: Int) throws(HostError) -> UnsafeRawBufferPointer {
        precondition(index >= 0 && index < context.geometry.segmentBlocks)
        if index < start || index >= start + count {
            let wanted = min(windowBlocks, context.geometry.segmentBlocks - index)
            count = 0
            let first = context.geometry.physical(LogPosition(segment: segment, block: UInt32(index)))
            try context.host.read(at: context.offset(first), into: buffer.slice(0, wanted * blockBytes))
            start = index
            count = wanted
        }
        return UnsafeRawBufferPointer(buffer.slice((index - start) * blockBytes, blockBytes))
    }
}
