import SecureBlock
import VFS

/// The part of a write that goes to blocks, and what is left when the device does not take it.
extension EncFS {
    /// Writes the plan's blocks, run by run.
    /// - Parameters:
    ///   - written: the offset up to which bytes are on the device.
    ///   - accepted: called once at most, when the device accepted the last run.
    func writeData(
        _ plan: Plan, _ bytes: UnsafeRawBufferPointer, _ number: UInt64, _ written: inout UInt64,
        accepted: () -> Void
    ) throws(DeviceError) {
        for run in plan.runs {
            guard let first = run.first else { continue }
            let low = run.fileBlock * Self.blockSize
            let high = run.fileEnd * Self.blockSize
            let isInline = plan.inline.map { $0.range.overlaps(low..<high) } ?? false
            let overlap = plan.data.clamped(to: low..<high)
            guard !overlap.isEmpty || isInline else { continue }
            let isLast = high >= plan.data.upperBound
            if overlap.lowerBound == low, overlap.upperBound == high {
                let start = Int(low - plan.range.lowerBound)
                let whole = UnsafeRawBufferPointer(rebasing: bytes[start..<start + Int(high - low)])
                try device.write(LogicalBlock(first), whole) { if isLast { accepted() } }
            } else {
                try writePartly(plan, run, first, bytes) { if isLast { accepted() } }
            }
            written = max(written, overlap.isEmpty ? written : overlap.upperBound)
        }
    }

    /// Writes a run whose first or last block keeps bytes that were there.
    private func writePartly(
        _ plan: Plan, _ run: DeviceRun, _ first: UInt64, _ bytes: UnsafeRawBufferPointer, accepted: () -> Void
    ) throws(DeviceError) {
        let byteCount = Int(run.count) * blockBytes
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: byteCount, alignment: blockBytes)
        defer { buffer.deallocate() }
        let low = run.fileBlock * Self.blockSize
        for block in Set([run.fileBlock, run.fileEnd - 1]).sorted() {
            let place = Int(block - run.fileBlock) * blockBytes
            let target = UnsafeMutableRawBufferPointer(rebasing: buffer[place..<place + blockBytes])
            if plan.holes.contains(where: { $0.contains(block) }) {
                target.zero()
            } else {
                let source = plan.sources[block] ?? first + (block - run.fileBlock)
                try device.read(LogicalBlock(source), into: target)
            }
        }
        if run.count > 2 {
            UnsafeMutableRawBufferPointer(rebasing: buffer[blockBytes..<byteCount - blockBytes]).zero()
        }
        let high = run.fileEnd * Self.blockSize
        if let inline = plan.inline, inline.range.overlaps(low..<high) {
            let part = inline.range.clamped(to: low..<high)
            UnsafeMutableRawBufferPointer(rebasing: buffer[Int(part.lowerBound - low)...])
                .copyBytes(from: inline.bytes(part))
        }
        let overlap = plan.data.clamped(to: low..<high)
        if !overlap.isEmpty {
            let source = Int(overlap.lowerBound - plan.range.lowerBound)
            UnsafeMutableRawBufferPointer(rebasing: buffer[Int(overlap.lowerBound - low)...])
                .copyBytes(from: UnsafeRawBufferPointer(rebasing: bytes[source..<source + overlap.count]))
        }
        try device.write(LogicalBlock(first), UnsafeRawBufferPointer(buffer), accepted: accepted)
    }

    /// Takes back what a failed write allocated behind `written`, and makes sure that the block at the end of file is
    /// zero behind it. What cannot be taken back ends writing.
    func retreat(_ number: UInt64, _ plan: inout Plan, from written: UInt64) throws(VFSError) {
        let given = dropMoves(&plan, from: written)
        do throws(VFSError) {
            let keepsInline = plan.leaves != nil && written == plan.range.lowerBound
            let kept = keepsInline ? 0 : (written + Self.blockSize - 1) / Self.blockSize
            try store.change(mayUseReserve: true) { tree throws(TreeError) in
                var record = try tree.inode(number, table)
                for hole in plan.holes where hole.upperBound > kept {
                    let range = max(hole.lowerBound, kept)..<hole.upperBound
                    let (freed, _) = try tree.freeBlocks(number, in: range, limit: .max)
                    record.blocks -= min(freed, record.blocks)
                }
                if plan.tailBytes > 0 {
                    try tree.remove(ItemKey(number, .inlineData, plan.data.upperBound))
                    if plan.leaves == nil { record.flags.remove(.hasInlineData) }
                }
                for place in given { try tree.space.free(place.lowerBound, count: UInt64(place.count)) }
                try tree.storeInode(number, record, table)
            }
            if plan.range.upperBound > plan.inode.size { try zeroTail(number, size: max(plan.inode.size, written)) }
        } catch {
            latch.set("a write failed and could not be taken back: \(error)")
            throw error
        }
    }
}
