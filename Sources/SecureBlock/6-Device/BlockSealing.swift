/// Whole blocks on their way from a caller's buffer into reserved slots of a record, outside the monitor.
struct BlockSealing: @unchecked Sendable {
    let key: SealingKey
    let geometry: Geometry
    // SAFETY: the caller's for the call that makes this; read only.
    let plain: UnsafeRawBufferPointer
    let kind: BlockKind
    /// Of the first block.
    let address: UInt64
    // SAFETY: its slots from `slot` on are ours until they are published, and each is sealed by one thread.
    let record: RecordBuffer
    let slot: Int

    /// - Returns: the blocks' tags, in their order.
    func run() throws(SealError) -> [Tag] {
        let count = plain.count / blockBytes
        var tags = [Tag](repeating: .zero, count: count)
        try tags.withUnsafeMutableBufferPointer { tags throws(SealError) in
            let room = Room(tags: tags)
            guard count >= SealingCrew.leastBlocks else { return try seal(0..<count, room) }
            let failure = Monitor<SealError?>(nil)
            SealingCrew.shared.share(count) { part in
                do throws(SealError) { try seal(part, room) } catch { failure.withLock { $0 = error } }
            }
            if let error = failure.withLock({ $0 }) { throw error }
        }
        return tags
    }

    /// Where tags go.
    private struct Room: @unchecked Sendable {
        // SAFETY: alive while `run` waits for all parts; each element is written by one thread.
        let tags: UnsafeMutableBufferPointer<Tag>
    }

    private func seal(_ part: Range<Int>, _ room: Room) throws(SealError) {
        for index in part {
            let slot = slot + index
            guard let target = record.bytes(slot: slot).baseAddress else {
                preconditionFailure("a slot is a block")
            }
            let source = UnsafeRawBufferPointer(rebasing: plain[index * blockBytes..<(index + 1) * blockBytes])
            room.tags[index] = try key.seal(
                source, into: target, at: geometry.physical(record.position(slot: slot)), record.generation,
                as: BlockAssociation(kind, address: address + UInt64(index)))
            if Sabotage.isOn(.leakPlaintext), index == 0, let plain = plain.baseAddress {
                target.copyMemory(from: plain, byteCount: blockBytes)
            }
        }
    }
}
