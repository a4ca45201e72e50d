import VFS

/// A write to blocks that other files share goes to new places, which take the old ones' part in the file once written.
extension EncFS {
    /// Gives blocks of the write that are shared new places.
    /// - Returns: the extents to write to.
    func leaveShared(_ tree: Tree, _ extents: [Extent], _ plan: inout Plan) throws(TreeError) -> [Extent] {
        guard extents.contains(where: \.mayBeShared), !FileSabotage.isOn(.writeThroughSharing) else {
            return extents
        }
        let blocks = Self.blocks(plan.range)
        var result: [Extent] = []
        for extent in extents {
            let touched = (extent.fileBlock..<extent.fileEnd).clamped(to: blocks)
            guard !touched.isEmpty, try tree.isShared(extent.part(touched)) else {
                result.append(extent)
                continue
            }
            if extent.fileBlock < touched.lowerBound {
                result.append(extent.part(extent.fileBlock..<touched.lowerBound))
            }
            for edge in [blocks.lowerBound, blocks.upperBound - 1] where touched.contains(edge) {
                plan.sources[edge] = extent.first + (edge - extent.fileBlock)
            }
            var position = touched.lowerBound
            while position < touched.upperBound {
                let run = try tree.space.takeData(wanted: touched.upperBound - position, goal: nil)
                let new = Extent(fileBlock: position, first: run.lowerBound, count: UInt64(run.count))
                plan.moves.append(new)
                result.append(new)
                position = new.fileEnd
            }
            if touched.upperBound < extent.fileEnd {
                result.append(extent.part(touched.upperBound..<extent.fileEnd))
            }
        }
        return result
    }

    /// Lets the file have its new places.
    func adopt(_ moves: [Extent], _ tree: Tree, _ number: UInt64) throws(TreeError) {
        for move in moves {
            _ = try tree.freeBlocks(number, in: move.fileBlock..<move.fileEnd, limit: .max)
            try tree.add(number, move)
        }
    }

    /// Leaves the new places behind `written`, and one that the write did not reach, out of the plan.
    /// - Returns: those places.
    func dropMoves(_ plan: inout Plan, from written: UInt64) -> [Range<UInt64>] {
        // Runs are written whole, so that a block is either written or not.
        let kept = written == plan.range.lowerBound ? 0 : (written + Self.blockSize - 1) / Self.blockSize
        var dropped: [Range<UInt64>] = []
        var moves: [Extent] = []
        for move in plan.moves {
            let split = min(max(kept, move.fileBlock), move.fileEnd)
            if split > move.fileBlock { moves.append(move.part(move.fileBlock..<split)) }
            if split < move.fileEnd { dropped.append(move.part(split..<move.fileEnd).place) }
        }
        plan.moves = moves
        return dropped
    }
}
