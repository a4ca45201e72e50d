/// What does not verify in an image: a block, or a page of hashes and with it all blocks below.
public struct ImageFinding: Sendable, Hashable {
    /// 0 for a block; of a page, from 1 above the blocks.
    public var level: Int
    /// Of the block, or of the page on its level.
    public var number: UInt64
    /// The blocks that cannot be read because of it.
    public var blocks: Range<UInt64>
    public var reason: UnreadableReason
}

extension ImageDevice {
    /// Reads and verifies everything in the image: every block, every page.
    /// - Parameters:
    ///   - isWanted: asked now and then; `false` ends the check.
    ///   - progress: blocks done and blocks to do.
    ///   - report: called for each block or page that does not verify, in order.
    /// - Returns: how many blocks verified.
    @discardableResult
    public func check(
        isWanted: () -> Bool = { true }, progress: (UInt64, UInt64) -> Void = { _, _ in },
        report: (ImageFinding) -> Void
    ) throws(DeviceError) -> UInt64 {
        var walk = CheckWalk(
            image: self, hasher: try makeHasher(0),
            buffer: AlignedBuffer(byteCount: Int(ImageLayout.fanOut) * blockBytes))
        walk.visit(level: layout.topLevel, 0, isWanted, progress, report)
        return walk.verified
    }

    /// Whether what is kept in memory is in order.
    public func checkInvariants() -> Bool { cache.checkInvariants() }
}

private struct CheckWalk {
    let image: ImageDevice
    let hasher: TreeHasher
    let buffer: AlignedBuffer
    var verified: UInt64 = 0

    mutating func visit(
        level: Int, _ page: UInt64, _ isWanted: () -> Bool, _ progress: (UInt64, UInt64) -> Void,
        _ report: (ImageFinding) -> Void
    ) {
        guard isWanted() else { return }
        let blocks = image.layout.blocks(level: level, page: page)
        do throws(DeviceError) {
            _ = try image.page(level: level, page, for: LogicalBlock(blocks.lowerBound), hasher)
        } catch {
            report(ImageFinding(level: level, number: page, blocks: blocks, reason: error.reason))
            return progress(blocks.upperBound, image.layout.blockCount)
        }
        guard level == 1 else {
            for child in image.layout.children(level: level, page: page) {
                visit(level: level - 1, child, isWanted, progress, report)
            }
            return
        }
        read(blocks, report)
        progress(blocks.upperBound, image.layout.blockCount)
    }

    /// All blocks of a page at once; one by one only where something is wrong.
    private mutating func read(_ blocks: Range<UInt64>, _ report: (ImageFinding) -> Void) {
        do throws(DeviceError) {
            try image.read(LogicalBlock(blocks.lowerBound), into: buffer.slice(0, blocks.count * blockBytes))
            verified += UInt64(blocks.count)
        } catch {
            guard blocks.count > 1 else {
                let block = blocks.lowerBound
                return report(
                    ImageFinding(level: 0, number: block, blocks: block..<block + 1, reason: error.reason))
            }
            for block in blocks { read(block..<block + 1, report) }
        }
    }
}

extension DeviceError {
    /// Why a block cannot be read; reads within an image fail in no other way.
    fileprivate var reason: UnreadableReason {
        if case .unreadable(_, let reason) = self { reason } else { .lost }
    }
}
