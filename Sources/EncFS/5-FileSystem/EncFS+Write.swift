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

    /// What is written, for bytes that are in the tree, or may be.
    enum WriteKind {
        /// Bytes of a user.
        case bytes
        /// Those that are a file's tail, and more behind them.
        case joined
        /// Those that leave the tree for blocks, which changes no times.
        case leaving
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
        /// What the tree has of a tiny file that outgrows it.
        var inline: InlineData?
        /// Where the bytes begin that leave the tree.
        var leaves: UInt64?
        /// A tail that must go, or be written once more with what comes: nothing is prepared.
        var tail: InlineData?
        /// The last bytes of the range that go to the tree.
        var tailBytes: UInt64 = 0
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

        /// What goes to blocks.
        var data: Range<UInt64> { range.lowerBound..<range.upperBound - tailBytes }
    }

    /// One operation's part of a write, with the inode to itself.
    /// - Parameter accepted: called once at most, when all of the part is sure to be written unless the device fails: who waits for
    ///   the inode then sees it, and who does not sees its size. Such a failure ends writing.
    func writeOnce(
        _ inode: LiveInode, at position: WritePosition, _ bytes: UnsafeRawBufferPointer, _ flags: WriteFlags,
        _ kind: WriteKind = .bytes, accepted: (Written) -> Void = { _ in }
    ) throws(VFSError) -> WriteOutcome {
        let now = options.clock()
        var plan = try store.change { tree throws(TreeError) in
            try prepare(tree, inode.number, position, bytes, flags, now, kind)
        }
        if let tail = plan.tail { return try write(inode, plan.range, bytes, flags, behind: tail, accepted) }
        let end = plan.range.upperBound
        if plan.isDone { return .written(count: plan.range.count, end: end) }

        committer.noteChange(data: plan.data.count)
        var written = plan.range.lowerBound
        var isSettled = false
        var failure: DeviceError?
        do throws(DeviceError) {
            try writeData(plan, bytes, inode.number, &written) {
                guard plan.changesInodeAlone else { return }
                // What fails here is tried again, and then told, when the data is written.
                do throws(VFSError) {
                    try settle(inode.number, plan, flags, kind == .leaving ? nil : now, size: end)
                } catch { return }
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
        } else {
            written = end
        }
        if FileSabotage.isOn(.commitInsideWrite) {
            do throws(DeviceError) { _ = try device.commit() } catch { latch.set("commit: \(error.text)") }
        }
        if !isSettled { try settle(inode.number, plan, flags, kind == .leaving ? nil : now, size: written) }
        return .written(count: Int(written - plan.range.lowerBound), end: written)
    }

    /// What a write changes in the tree when its bytes are, or are sure to be, in their places.
    /// - Parameters:
    ///   - now: the file's times; `nil` leaves them.
    ///   - size: the file's, unless it is larger.
    private func settle(
        _ number: UInt64, _ plan: Plan, _ flags: WriteFlags, _ now: Timestamp?, size: UInt64
    ) throws(VFSError) {
        if plan.isOverwrite, let now {
            return table.noteTimes(number) { times in
                times.modification = now
                times.change = now
            }
        }
        try store.change(mayUseReserve: true) { tree throws(TreeError) in
            var record = try tree.inode(number, table)
            record.size = max(record.size, size)
            if let now { touch(&record, flags, now) }
            try adopt(plan.moves, tree, number)
            if let offset = plan.leaves {
                if !FileSabotage.isOn(.keepInlineBytes) { try tree.remove(ItemKey(number, .inlineData, offset)) }
                record.flags.remove(.hasInlineData)
            }
            if plan.tailBytes > 0, size == plan.range.upperBound { record.flags.insert(.hasInlineData) }
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
        _ flags: WriteFlags, _ now: Timestamp, _ kind: WriteKind
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
        let inline = try tree.inlineData(number, record)
        if kind == .bytes, let inline, inline.offset > 0 {
            plan.tail = inline
            return plan
        }
        let key = ItemKey(number, .inlineData)
        let limit = UInt64(store.superblock.maximumInlineBytes)
        let newSize = max(record.size, plan.range.upperBound)
        if kind == .bytes, record.blocks == 0, newSize <= limit, inline != nil || record.size == 0 {
            var content = inline?.bytes ?? []
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
        plan.leaves = inline?.offset
        if kind == .bytes { plan.inline = inline }
        if kind != .leaving { try packTail(tree, number, &record, &plan, bytes) }
        try allocate(tree, number, record, &plan)
        plan.changesInodeAlone =
            plan.moves.isEmpty && plan.leaves == nil
            && !(flags.contains(.clearsPrivileges)
                && (record.permissions & 0o6000 != 0 || record.flags.contains(.hasAttributes)))
        plan.isOverwrite =
            plan.changesInodeAlone && plan.holes.isEmpty && plan.tailBytes == 0 && newSize == record.size
        return plan
    }

    /// Gives every block of the plan a place; data that was inline moves to blocks as well.
    private func allocate(
        _ tree: Tree, _ number: UInt64, _ record: Inode, _ plan: inout Plan
    ) throws(TreeError) {
        var blocks = Self.blocks(plan.data)
        if let inline = plan.inline {
            plan.holes = try tree.fillHoles(number, in: Self.blocks(inline.range))
            blocks = min(blocks.lowerBound, inline.block)..<blocks.upperBound
        }
        plan.holes += try tree.fillHoles(number, in: Self.blocks(plan.data))
        if !plan.holes.isEmpty {
            var changed = record
            changed.blocks += plan.holes.reduce(0) { $0 + UInt64($1.count) }
            try tree.storeInode(number, changed, table)
        }
        let extents = try leaveShared(tree, try tree.extents(number, in: blocks), &plan)
        plan.runs = DeviceRun.cover(blocks, with: extents)
    }
}
