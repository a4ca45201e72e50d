import SecureBlock
import VFS

extension EncFS {
    /// Blocks added by one commit at most: bounds the bitmaps that a step holds in memory (512 GiB of filesystem).
    private static let stepBlocks: UInt64 = 4096 * Superblock.groupBlocks

    /// Blocks of the device that the filesystem takes, from its first on.
    public var blockCount: UInt64 {
        store.monitor.lock()
        defer { store.monitor.unlock() }
        return store.superblock.blocks
    }

    /// Makes the filesystem larger or smaller while it is in use; durable on return.
    ///
    /// Growing needs a device that is larger already. Shrinking moves everything out of the end first, in bounded
    /// operations with commits between them; on return the blocks behind the new end are discarded, so that the device
    /// may shrink next. After a crash the filesystem has its old size or the new one, complete, and the call may be made
    /// again. Collapsing, inserting and sharing ranges of files wait while it runs.
    /// - Parameters:
    ///   - blocks: the new size, at least 512 and at most the device's.
    ///   - progress: blocks moved so far and blocks to move; may come from this thread only.
    /// - Throws: ``EncFSError/noSpace`` when it does not fit, ``EncFSError/unsuitableOptions(_:)`` for a size out of
    ///   range, ``EncFSError/corrupt(_:)`` for a block that has to move and cannot be read, ``EncFSError/readOnly``,
    ///   ``EncFSError/latched(_:)``. The size is as before then, or a step between when growing.
    public func resize(
        toBlocks blocks: UInt64, progress: (_ moved: UInt64, _ toMove: UInt64) -> Void = { _, _ in }
    ) throws(EncFSError) {
        if isReadOnly { throw .readOnly }
        guard (Superblock.minimumBlocks...min(device.logicalBlockCount, Superblock.maximumBlocks)).contains(blocks)
        else {
            throw .unsuitableOptions(
                "\(blocks) blocks; at least \(Superblock.minimumBlocks) and at most \(device.logicalBlockCount)")
        }
        layoutLock.lockExclusive()
        defer { layoutLock.unlock() }
        do throws(VFSError) {
            defer { liftBounds() }
            while blockCount < blocks {
                try grow(to: min(blocks, blockCount + Self.stepBlocks), progress)
            }
            if blockCount > blocks { try shrink(to: blocks, progress) }
        } catch {
            if let cause = latch.cause { throw .latched(cause) }
            switch error.errno {
            case .noSpace: throw .noSpace
            case .readOnlyFileSystem: throw .readOnly
            default: throw .corrupt(error.fault ?? "\(error)")
            }
        }
    }

    private func locked<R>(_ body: () throws(VFSError) -> R) throws(VFSError) -> R {
        store.monitor.lock()
        defer { store.monitor.unlock() }
        return try body()
    }

    private func liftBounds() {
        store.monitor.lock()
        defer { store.monitor.unlock() }
        store.space.restrict(to: Space.Bounds(store.superblock))
    }

    /// The superblock of this filesystem at another size.
    private func superblock(ofBlocks blocks: UInt64) throws(VFSError) -> Superblock {
        try locked { () throws(VFSError) in
            var next = store.superblock
            next.blocks = blocks
            next.reserveStart =
                (blocks - Superblock.reserveBlocks(blocks)) / next.nodeBlocks * next.nodeBlocks
            guard next.dataStart + 2 * next.nodeBlocks < next.reserveStart else { throw VFSError(.noSpace) }
            return next
        }
    }

    private func grow(
        to blocks: UInt64, _ progress: (UInt64, UInt64) -> Void
    ) throws(VFSError) {
        let next = try superblock(ofBlocks: blocks)
        let now = try locked { () throws(VFSError) in store.superblock }
        // The larger table and bitmaps take the first blocks behind the old ones.
        let taken = now.dataStart..<next.dataStart
        guard next.dataStart < now.reserveStart else { throw VFSError(.noSpace) }
        var bounds = Space.Bounds(now)
        bounds.dataStart = next.dataStart
        let added = (now.groups..<next.groups).compactMap { number in
            let (bytes, _) = Self.firstBitmap(group: number, next)
            return bytes.withUnsafeBytes { BitmapGroup(number: Int(number), whole: $0) }
        }
        try empty(Evacuation(nodes: taken, data: taken), bounds, loading: taken, progress) {
            () throws(TreeError) -> Bool in
            guard try store.space.usedBlocks(in: taken) == 0 else { return false }
            _ = try store.space.group(Int((now.blocks - 1) / Superblock.groupBlocks))
            return true
        } then: { () throws(DeviceError) in
            try moveBitmaps(from: now, to: next)
            try adopt(next) { () throws(TreeError) in try store.space.grow(to: next, added) }
        }
    }

    private func shrink(
        to blocks: UInt64, _ progress: (UInt64, UInt64) -> Void
    ) throws(VFSError) {
        let next = try superblock(ofBlocks: blocks)
        let now = try locked { () throws(VFSError) in store.superblock }
        var bounds = Space.Bounds(next)
        bounds.dataStart = now.dataStart
        let room = next.reserveStart - next.dataStart
        let inUse = try locked { () throws(VFSError) in
            now.blocks - now.dataStart - store.space.freeBlocks - store.space.pendingBlocks
        }
        guard inUse <= room else { throw VFSError(.noSpace) }
        let tail = blocks..<now.blocks
        let ranges = Evacuation(nodes: tail, data: next.reserveStart..<now.blocks)
        try empty(ranges, bounds, loading: next.dataStart..<now.dataStart, progress) {
            () throws(TreeError) -> Bool in
            guard try store.space.usedBlocks(in: tail) == 0 else { return false }
            _ = try store.space.group(Int((blocks - 1) / Superblock.groupBlocks))
            return true
        } then: { () throws(DeviceError) in
            try moveBitmaps(from: now, to: next)
            try adopt(next) { () throws(TreeError) in try store.space.shrink(to: next) }
            try device.discard(LogicalBlock(next.dataStart), count: now.dataStart - next.dataStart)
            try device.discard(LogicalBlock(blocks), count: now.blocks - blocks)
        }
    }

    /// Empties ranges and, once `isReady` says that nothing is there any more, has `change` done between operations and
    /// made durable.
    private func empty(
        _ ranges: Evacuation, _ bounds: Space.Bounds, loading fixed: Range<UInt64>,
        _ progress: (UInt64, UInt64) -> Void, isReady: () throws(TreeError) -> Bool,
        then change: () throws(DeviceError) -> Void
    ) throws(VFSError) {
        let toMove = try store.look { tree throws(TreeError) in
            let used = try tree.space.usedBlocks(in: ranges.data)
            tree.space.restrict(to: bounds)
            return used
        }
        var moved: UInt64 = 0
        progress(0, toMove)
        var isDone = false
        var rounds = 16
        while !isDone {
            rounds -= 1
            guard rounds > 0 else {
                throw VFSError(.ioError, fault: "blocks that no file has are in use; see fsck")
            }
            if toMove > 0 {
                try evacuate(ranges) { count in
                    moved += count
                    progress(min(moved, toMove), toMove)
                }
            }
            // What was moved away becomes free with a commit.
            try committer.order().wait()
            // Loads what the last step looks at, so that it finds it in memory.
            guard
                try store.look({ tree throws(TreeError) in
                    if !fixed.isEmpty { _ = try tree.space.usedBlocks(in: fixed) }
                    return try isReady()
                })
            else { continue }
            let ticket = try committer.order { () throws(DeviceError) in
                store.monitor.lock()
                defer { store.monitor.unlock() }
                do throws(TreeError) { isDone = try isReady() } catch {
                    // Left memory since: try again.
                }
                if isDone { try change() }
            }
            try ticket.wait()
        }
        progress(toMove, toMove)
    }

    /// Takes over another layout in memory; what is dirty then is written by the commit that runs.
    private func adopt(_ next: Superblock, _ change: () throws(TreeError) -> Void) throws(DeviceError) {
        do throws(TreeError) { try change() } catch { throw .latched("resizing: \(error)") }
        store.superblock.blocks = next.blocks
        store.superblock.reserveStart = next.reserveStart
    }

    /// Moves the bitmaps to where the table of another size lets them begin. In memory or not, clean or dirty: what is
    /// dirty is written again by the commit that runs. This is the one place that does I/O under the tree lock: nobody
    /// may load a bitmap while they move.
    private func moveBitmaps(from old: Superblock, to new: Superblock) throws(DeviceError) {
        guard old.bitmapStart != new.bitmapStart else { return }
        let count = min(old.groups, new.groups)
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 256 * blockBytes, alignment: blockBytes)
        defer { buffer.deallocate() }
        var done: UInt64 = 0
        while done < count {
            let part = min(256, count - done)
            // Upwards from the last one, downwards from the first: nothing is overwritten before it was read.
            let first = new.bitmapStart > old.bitmapStart ? count - done - part : done
            let bytes = UnsafeMutableRawBufferPointer(rebasing: buffer[..<(Int(part) * blockBytes)])
            try device.read(LogicalBlock(old.bitmapStart + first), into: bytes)
            try device.writeForCommit(LogicalBlock(new.bitmapStart + first), UnsafeRawBufferPointer(bytes))
            done += part
        }
    }
}
