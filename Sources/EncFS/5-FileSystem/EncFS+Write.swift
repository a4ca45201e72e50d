import SecureBlock
import VFS

extension EncFS {
    /// What one operation writes at most.
    private static let operationBytes = 1 << 20

    public func write(
        _ node: NodeID, _ handle: Handle, at position: WritePosition, _ bytes: UnsafeRawBufferPointer,
        _ flags: WriteFlags
    ) throws(VFSError) -> Written {
        try write(node, handle, at: position, bytes, flags) { _ in }
    }

    public func write(
        _ node: NodeID, _ handle: Handle, at position: WritePosition, _ bytes: UnsafeRawBufferPointer,
        _ flags: WriteFlags, accepted: (Written) -> Void
    ) throws(VFSError) -> Written {
        let inode = try table.use(node)
        defer { finish(inode) }
        var done = 0
        var end: UInt64 = 0
        var limit = Self.operationBytes
        var attempts = 0
        repeat {
            // Only the first piece looks for the end of file: pieces of one append stay together.
            let here = done == 0 ? position : .offset(end)
            let rest = UnsafeRawBufferPointer(rebasing: bytes[done..<min(bytes.count, done + limit)])
            do throws(VFSError) {
                let part = try exclusively(inode) { () throws(VFSError) in
                    try writeOnce(inode, at: here, rest, flags) { part in
                        guard done + part.count == bytes.count else { return }
                        accepted(Written(count: bytes.count, end: part.end))
                    }
                }
                switch part {
                case .written(let count, let newEnd):
                    done += count
                    end = newEnd
                    attempts = 0
                case .commitNeeded:
                    attempts += 1
                    guard attempts <= 3 else { throw VFSError(.noSpace) }
                    let ticket = try committer.order()
                    if attempts > 1 { try ticket.wait() }
                }
            } catch {
                // A full volume takes what still fits; freed blocks may return with a commit first.
                if error.errno == .noSpace, store.hasPendingSpace, attempts == 0 {
                    attempts = 1
                    _ = try committer.order()
                } else if error.errno == .noSpace, limit > blockBytes, rest.count > blockBytes {
                    limit = max(blockBytes, min(limit, rest.count) / 2)
                } else if done > 0 {
                    return Written(count: done, end: end)
                } else {
                    throw error
                }
            }
        } while done < bytes.count
        return Written(count: done, end: end)
    }

    enum WriteOutcome {
        case written(count: Int, end: UInt64)
        /// Nothing happened; the device wants a commit first.
        case commitNeeded
    }

    /// What a write finds before it begins.
    struct Plan {
        var inode: Inode
        /// Fewer bytes than were given where those would reach behind the largest size.
        var range: Range<UInt64>
        var inline: [UInt8]?
        var runs: [DeviceRun] = []
        /// File blocks this write allocated.
        var holes: [Range<UInt64>] = []
        /// New places of blocks that other files share; the file gets them once they are written.
        var moves: [Extent] = []
        /// Where bytes that the write keeps are until then, by file block.
        var sources: [UInt64: UInt64] = [:]
        /// The tree needs nothing but what the inode's own item says.
        var changesInodeAlone = false
        /// The tree needs nothing but times.
        var isOverwrite = false
        var isDone = false
    }

    /// One operation's part of a write, with the inode to itself.
    /// - Parameters:
    ///   - mayStayInline: whether a small file may keep its bytes in the tree.
    ///   - accepted: called once at most, when all of the part is sure to be written unless the device fails: who waits for
    ///     the inode then sees it, and who does not sees its size. Such a failure ends writing.
    func writeOnce(
        _ inode: LiveInode, at position: WritePosition, _ bytes: UnsafeRawBufferPointer, _ flags: WriteFlags,
        mayStayInline: Bool = true, accepted: (Written) -> Void = { _ in }
    ) throws(VFSError) -> WriteOutcome {
        let now = options.clock()
        var plan = try store.change { tree throws(TreeError) in
            try prepare(tree, inode.number, position, bytes, flags, now, mayStayInline)
        }
        let end = plan.range.upperBound
        if plan.isDone { return .written(count: plan.range.count, end: end) }

        committer.noteChange(data: plan.range.count)
        var written = plan.range.lowerBound
        var isSettled = false
        var failure: DeviceError?
        do throws(DeviceError) {
            try writeData(plan, bytes, inode.number, &written) {
                guard plan.changesInodeAlone else { return }
                // What fails here is tried again, and then told, when the data is written.
                do throws(VFSError) { try settle(inode.number, plan, flags, now, size: end) } catch { return }
                isSettled = true
                accepted(Written(count: plan.range.count, end: end))
            }
        } catch { failure = error }
        if let failure {
            guard !isSettled else {
                inode.hasLostBytes = true
                throw endWriting(failure)
            }
            if case .unreadable = failure { written = plan.range.lowerBound }
            try retreat(inode.number, &plan, from: written)
            guard written > plan.range.lowerBound else { return try refuse(failure, plan, inode.number) }
        }
        if FileSabotage.isOn(.commitInsideWrite) {
            do throws(DeviceError) { _ = try device.commit() } catch { latch.set("commit: \(error.text)") }
        }
        if !isSettled { try settle(inode.number, plan, flags, now, size: written) }
        return .written(count: Int(written - plan.range.lowerBound), end: written)
    }

    /// What a write changes in the tree when its bytes are, or are sure to be, in their places.
    /// - Parameter size: the file's, unless it is larger.
    private func settle(
        _ number: UInt64, _ plan: Plan, _ flags: WriteFlags, _ now: Timestamp, size: UInt64
    ) throws(VFSError) {
        guard !plan.isOverwrite else {
            return table.noteTimes(number) { times in
                times.modification = now
                times.change = now
            }
        }
        try store.change(mayUseReserve: true) { tree throws(TreeError) in
            var record = try tree.inode(number, table)
            record.size = max(record.size, size)
            touch(&record, flags, now)
            try adopt(plan.moves, tree, number)
            if plan.inline != nil, !FileSabotage.isOn(.keepInlineBytes) {
                try tree.remove(ItemKey(number, .inlineData))
            }
            record.flags.remove(.hasInlineData)
            if flags.contains(.clearsPrivileges) { try dropFileCapabilities(tree, number, &record) }
            try tree.storeInode(number, record, table)
        }
    }

    private func refuse(_ failure: DeviceError, _ plan: Plan, _ number: UInt64) throws(VFSError) -> WriteOutcome {
        switch failure {
        case .commitRequired: return .commitNeeded
        case .noSpace: throw VFSError(.noSpace)
        case .unreadable(let block, let reason):
            let name = path(of: NodeID(rawValue: number)) ?? "inode \(number)"
            let (low, high) = (plan.range.lowerBound, plan.range.upperBound)
            let text = "\(name): bytes \(low)..<\(high): \(block): \(reason.text)"
            options.reportFault(text)
            throw VFSError(.ioError, fault: text)
        default: throw endWriting(failure)
        }
    }

    private func endWriting(_ failure: DeviceError) -> VFSError {
        latch.set("data: \(failure.text)")
        return VFSError(.ioError, fault: failure.text)
    }

    private func touch(_ record: inout Inode, _ flags: WriteFlags, _ now: Timestamp) {
        record.modificationTime = now
        record.changeTime = now
        if flags.contains(.clearsPrivileges) { record.dropPrivileges() }
    }

    /// Finds the place of a write and allocates what it needs. A write that stays inline is complete after this.
    private func prepare(
        _ tree: Tree, _ number: UInt64, _ position: WritePosition, _ bytes: UnsafeRawBufferPointer,
        _ flags: WriteFlags, _ now: Timestamp, _ mayStayInline: Bool
    ) throws(TreeError) -> Plan {
        var record = try tree.inode(number, table)
        guard record.kind == .regular else {
            throw .refused(record.kind == .directory ? .isDirectory : .invalidArgument)
        }
        let start: UInt64
        switch position {
        case .offset(let offset): start = offset
        case .end: start = record.size
        }
        guard !bytes.isEmpty else { return Plan(inode: record, range: start..<start, isDone: true) }
        // What lies behind the largest size is left out, as Linux does it; a write that begins there fails.
        guard start < Inode.maximumBytes else { throw .refused(.fileTooLarge) }
        var plan = Plan(inode: record, range: start..<start + min(UInt64(bytes.count), Inode.maximumBytes - start))
        let key = ItemKey(number, .inlineData)
        if let stored = try tree.value(of: key) { plan.inline = Array(stored) }
        let limit = UInt64(tree.nodeBytes / 8)
        let newSize = max(record.size, plan.range.upperBound)
        if mayStayInline, record.blocks == 0, newSize <= limit, plan.inline != nil || record.size == 0 {
            var content = plan.inline ?? []
            if content.count < Int(plan.range.upperBound) {
                content.append(contentsOf: repeatElement(0, count: Int(plan.range.upperBound) - content.count))
            }
            content.replaceSubrange(Int(start)..<Int(plan.range.upperBound), with: bytes)
            try tree.set(key, content)
            record.flags.insert(.hasInlineData)
            record.size = newSize
            touch(&record, flags, now)
            if flags.contains(.clearsPrivileges) { try dropFileCapabilities(tree, number, &record) }
            try tree.storeInode(number, record, table)
            plan.isDone = true
            return plan
        }
        try allocate(tree, number, record, &plan)
        plan.changesInodeAlone =
            plan.moves.isEmpty && plan.inline == nil
            && !(flags.contains(.clearsPrivileges)
                && (record.permissions & 0o6000 != 0 || record.flags.contains(.hasAttributes)))
        plan.isOverwrite = plan.changesInodeAlone && plan.holes.isEmpty && newSize == record.size
        return plan
    }

    /// Gives every block of the plan a place; data that was inline moves to blocks as well.
    private func allocate(
        _ tree: Tree, _ number: UInt64, _ record: Inode, _ plan: inout Plan
    ) throws(TreeError) {
        var blocks = Self.blocks(plan.range)
        if let inline = plan.inline, !inline.isEmpty {
            // The inline bytes are all in the blocks that begin below an eighth of a node.
            plan.holes = try tree.fillHoles(number, in: Self.blocks(0..<UInt64(inline.count)))
            blocks = min(blocks.lowerBound, 0)..<blocks.upperBound
        }
        plan.holes += try tree.fillHoles(number, in: Self.blocks(plan.range))
        if !plan.holes.isEmpty {
            var changed = record
            changed.blocks += plan.holes.reduce(0) { $0 + UInt64($1.count) }
            try tree.storeInode(number, changed, table)
        }
        let extents = try leaveShared(tree, try tree.extents(number, in: blocks), &plan)
        plan.runs = DeviceRun.cover(blocks, with: extents)
    }

    /// Writes the plan's blocks, run by run.
    /// - Parameters:
    ///   - written: the offset up to which bytes are on the device.
    ///   - accepted: called once at most, when the device accepted the last run.
    private func writeData(
        _ plan: Plan, _ bytes: UnsafeRawBufferPointer, _ number: UInt64, _ written: inout UInt64,
        accepted: () -> Void
    ) throws(DeviceError) {
        for run in plan.runs {
            guard let first = run.first else { continue }
            let low = run.fileBlock * Self.blockSize
            let high = run.fileEnd * Self.blockSize
            let isInline = plan.inline.map { low < UInt64($0.count) } ?? false
            let overlap = plan.range.clamped(to: low..<high)
            guard !overlap.isEmpty || isInline else { continue }
            let isLast = high >= plan.range.upperBound
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
        if let inline = plan.inline, low < UInt64(inline.count) {
            buffer.copyBytes(from: inline[Int(low)..<min(inline.count, Int(low) + byteCount)])
        }
        let overlap = plan.range.clamped(to: low..<run.fileEnd * Self.blockSize)
        if !overlap.isEmpty {
            let source = Int(overlap.lowerBound - plan.range.lowerBound)
            UnsafeMutableRawBufferPointer(rebasing: buffer[Int(overlap.lowerBound - low)...])
                .copyBytes(from: UnsafeRawBufferPointer(rebasing: bytes[source..<source + overlap.count]))
        }
        try device.write(LogicalBlock(first), UnsafeRawBufferPointer(buffer), accepted: accepted)
    }

    /// Takes back what a failed write allocated behind `written`, and makes sure that the block at the end of file is
    /// zero behind it. What cannot be taken back ends writing.
    private func retreat(_ number: UInt64, _ plan: inout Plan, from written: UInt64) throws(VFSError) {
        let given = dropMoves(&plan, from: written)
        do throws(VFSError) {
            let keepsInline = plan.inline != nil && written == plan.range.lowerBound
            let kept = keepsInline ? 0 : (written + Self.blockSize - 1) / Self.blockSize
            try store.change(mayUseReserve: true) { tree throws(TreeError) in
                var record = try tree.inode(number, table)
                for hole in plan.holes where hole.upperBound > kept {
                    let range = max(hole.lowerBound, kept)..<hole.upperBound
                    let (freed, _) = try tree.freeBlocks(number, in: range, limit: .max)
                    record.blocks -= min(freed, record.blocks)
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
