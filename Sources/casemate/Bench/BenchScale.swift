import SecureBlock
import SeededRandom

/// How much each piece of work covers.
struct BenchScale: Sendable {
    static let writeBytes = 512 << 10
    static let readBytes = 1 << 20

    /// Blocks that the work is spread over.
    let blocks: UInt64
    /// Work that could go on for ever ends after so long; rates stay comparable.
    let limitSeconds: Double
    /// At least ``readBytes`` of what no disk can compress away.
    let buffer: AlignedBuffer

    init(bytes: UInt64, limitSeconds: Double) {
        blocks = bytes / UInt64(blockBytes)
        self.limitSeconds = limitSeconds
        buffer = AlignedBuffer(byteCount: max(Self.writeBytes, Self.readBytes))
        var random = SeededGenerator(seed: bytes)
        for index in 0..<(buffer.bytes.count / 8) {
            buffer.bytes.storeBytes(of: random.next(), toByteOffset: index * 8, as: UInt64.self)
        }
    }

    private init(blocks: UInt64, _ scale: BenchScale) {
        self.blocks = blocks
        limitSeconds = scale.limitSeconds
        buffer = scale.buffer
    }

    var bytes: UInt64 { blocks * UInt64(blockBytes) }

    /// One block to write.
    var block: UnsafeRawBufferPointer { UnsafeRawBufferPointer(buffer.slice(0, blockBytes)) }

    /// The same over `bytes` at most.
    func within(_ bytes: UInt64) -> BenchScale { BenchScale(blocks: min(blocks, bytes / UInt64(blockBytes)), self) }
}
