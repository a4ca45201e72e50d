/// A sparse image of blocks whose copies share what neither changed: chunks of 256 blocks.
struct SimBlockImage: Sendable {
    private static let chunkBlocks: UInt64 = 256
    private var chunks: [UInt64: [[UInt8]?]] = [:]

    subscript(block: UInt64) -> [UInt8]? {
        get {
            guard let chunk = chunks[block / Self.chunkBlocks] else { return nil }
            return chunk[Int(block % Self.chunkBlocks)]
        }
        set {
            let number = block / Self.chunkBlocks
            if newValue == nil, chunks[number] == nil { return }
            chunks[number, default: Array(repeating: nil, count: Int(Self.chunkBlocks))][
                Int(block % Self.chunkBlocks)] = newValue
        }
    }

    var liveBlocks: Int {
        chunks.values.reduce(0) { sum, chunk in sum + chunk.count { $0 != nil } }
    }

    /// The blocks in `range` that hold bytes, ascending; costs nothing for chunks that were never written.
    func liveBlocks(in range: Range<UInt64>) -> [UInt64] {
        guard !range.isEmpty else { return [] }
        let numbers: [UInt64]
        let span = range.lowerBound / Self.chunkBlocks...(range.upperBound - 1) / Self.chunkBlocks
        if span.count < chunks.count {
            numbers = span.filter { chunks[$0] != nil }
        } else {
            numbers = chunks.keys.filter { span.contains($0) }.sorted()
        }
        var blocks: [UInt64] = []
        for number in numbers {
            guard let chunk = chunks[number] else { continue }
            for (index, bytes) in chunk.enumerated() where bytes != nil {
                let block = number * Self.chunkBlocks + UInt64(index)
                if range.contains(block) { blocks.append(block) }
            }
        }
        return blocks
    }
}
