import SecureBlock
import VFS

extension TreeCheck {
    func checkInodes() {
        for (number, fact) in facts.sorted(by: { $0.key < $1.key }) {
            let inode = fact.inode
            if inode.kind == .directory { summary.directories += 1 }
            checkContent(number, fact)
            if let missing = pieces[number], missing.values.contains(where: { $0 != 0 }) {
                report("attribute-incomplete", "pieces of an extended attribute are missing", inode: number)
            }
            if (fact.attributes > 0) != inode.flags.contains(.hasAttributes) {
                report("attribute-flag", "\(fact.attributes) extended attributes", inode: number)
            }
            checkLinks(number, fact)
        }
        for number in orphans.sorted() {
            guard let fact = facts[number] else {
                report("orphan-without-inode", "orphan \(number)", inode: number)
                continue
            }
            summary.orphans += 1
            if fact.inode.linkCount > 0 {
                report("orphan-with-links", "\(fact.inode.linkCount) links", inode: number)
            } else {
                report("orphan", "deleted at the next writable mount", inode: number, severity: .note)
            }
        }
        for number in trims.sorted() {
            if facts[number] == nil { report("intent-without-inode", "truncation", inode: number) }
            report("intent", "truncation finished at the next writable mount", inode: number, severity: .note)
        }
        for number in shifts.sorted() {
            if facts[number] == nil { report("intent-without-inode", "move within a file", inode: number) }
            report(
                "intent", "move within the file finished at the next writable mount", inode: number, severity: .note
            )
        }
        let root = facts[Inode.rootNumber]
        if root?.inode.kind != .directory { report("root-missing", "no root directory", inode: Inode.rootNumber) }
    }

    private func checkContent(_ number: UInt64, _ fact: Facts) {
        let inode = fact.inode
        if fact.blocks != inode.blocks {
            report("block-count", "\(fact.blocks) blocks, inode says \(inode.blocks)", inode: number)
        }
        if fact.blocks > 0 || fact.inline != nil, inode.kind != .regular {
            report("data-kind", "data in a \(inode.kind)", inode: number)
        }
        if (fact.inline != nil) != inode.flags.contains(.hasInlineData) {
            report("inline-flag", "\(fact.inline?.count ?? 0) inline bytes", inode: number)
        }
        if let inline = fact.inline {
            if inline.upperBound > inode.size || inline.count > superblock.maximumInlineBytes
                || inline.lowerBound > 0 && !superblock.packsTails
            {
                report("inline-size", "inline bytes \(inline), size \(inode.size)", inode: number)
            }
            if fact.extentEnd * EncFS.blockSize > inline.lowerBound {
                report(
                    "inline-and-extents", "inline bytes \(inline), extents to block \(fact.extentEnd)",
                    inode: number)
            }
        }
        if fact.targetBytes != (inode.kind == .symbolicLink ? inode.size : 0) {
            report("link-target", "\(fact.targetBytes) bytes, size \(inode.size)", inode: number)
        }
        if inode.kind == .directory {
            if fact.entries != inode.size {
                report("entry-count", "\(fact.entries) entries, inode says \(inode.size)", inode: number)
            }
        } else if fact.entries > 0 {
            report("entry-kind", "entries in a \(inode.kind)", inode: number)
        }
    }

    private func checkLinks(_ number: UInt64, _ fact: Facts) {
        let inode = fact.inode
        if inode.linkCount == 0, !orphans.contains(number) {
            report("orphan-unlisted", "no links, and not among the orphans", inode: number)
        }
        let isGone = inode.linkCount == 0
        let expected: UInt64 =
            inode.kind == .directory ? (isGone ? 0 : 2 + fact.directories) : fact.backlinks
        if expected != UInt64(inode.linkCount) {
            report("link-count", "\(expected) links, inode says \(inode.linkCount)", inode: number)
        }
        if inode.kind == .directory, fact.backlinks != (number == Inode.rootNumber || isGone ? 0 : 1) {
            report("directory-names", "a directory with \(fact.backlinks) names", inode: number)
        }
    }

    func checkNames() {
        for (inode, sequence, directory) in backlinks {
            guard let name = names[sequence], name.directory == directory, name.inode == inode else {
                report("backlink-without-entry", "sequence \(sequence) in directory \(directory)", inode: inode)
                continue
            }
            names[sequence]?.hasBacklink = true
        }
        for (sequence, name) in names.sorted(by: { $0.key < $1.key }) {
            guard let fact = facts[name.inode] else {
                report("entry-without-inode", "\(name.name) names inode \(name.inode)", inode: name.directory)
                continue
            }
            if fact.inode.kind != name.kind {
                report("entry-type", "\(name.name) is a \(fact.inode.kind)", inode: name.directory)
            }
            if !name.hasBacklink {
                report("entry-without-backlink", "\(name.name), sequence \(sequence)", inode: name.inode)
            }
        }
        // Every directory leads up to the root; what was seen to do so is not walked again.
        var rooted: Set<UInt64> = [Inode.rootNumber]
        for (number, fact) in facts.sorted(by: { $0.key < $1.key })
        where fact.inode.kind == .directory && fact.inode.linkCount > 0 {
            var way: [UInt64] = []
            var onWay: Set<UInt64> = []
            var position = number
            while !rooted.contains(position), onWay.insert(position).inserted, let parent = facts[position]?.parent
            {
                way.append(position)
                position = parent
            }
            if rooted.contains(position) {
                rooted.formUnion(way)
            } else {
                report("directory-unreachable", "its way up does not end at the root", inode: number)
            }
        }
    }

    func checkCounters() {
        if let highest = facts.keys.max(), highest >= superblock.nextInode {
            report("next-inode", "inode \(highest) exists, next is \(superblock.nextInode)")
        }
        if highestSequence >= superblock.nextSequence {
            report("next-sequence", "sequence \(highestSequence) exists, next is \(superblock.nextSequence)")
        }
        if summary.inodes != superblock.inodes {
            report("inode-total", "\(summary.inodes) inodes, superblock says \(superblock.inodes)")
        }
    }

    func checkBitmaps() throws(EncFSError) {
        let counts = try EncFS.readGroupTable(device, superblock)
        var free: UInt64 = 0
        for number in 0..<Int(superblock.groups) {
            let group: BitmapGroup
            do throws(EncFSError) {
                group = try EncFS.withBlocks(device, superblock.bitmapStart + UInt64(number), 1) {
                    bytes throws(EncFSError) in
                    do throws(StoredError) { return try BitmapGroup(number: number, stored: bytes) } catch {
                        throw .corrupt("bitmap")
                    }
                }
            } catch {
                report("bitmap-unreadable", "bitmap of group \(number): \(error)")
                continue
            }
            free += UInt64(group.free)
            if UInt32(group.free) != counts[number] {
                report("group-count", "group \(number): \(group.free) free, table says \(counts[number])")
            }
            compare(group, claims.words(group: number))
        }
        if free != superblock.freeBlocks {
            report("free-total", "\(free) blocks free, superblock says \(superblock.freeBlocks)")
        }
    }

    private func compare(_ group: BitmapGroup, _ claimed: [UInt64]) {
        let base = UInt64(group.number) * Superblock.groupBlocks
        var leaked: UInt64 = 0
        var unmarked: UInt64?
        for bit in 0..<BitmapGroup.bitCount {
            let block = base + UInt64(bit)
            let isClaimed = claimed[bit / 64] >> UInt64(bit % 64) & 1 == 1 || block >= superblock.blocks
            if group.isUsed(bit), !isClaimed { leaked += 1 }
            if !group.isUsed(bit), isClaimed, unmarked == nil { unmarked = block }
        }
        if leaked > 0 { report("block-leaked", "group \(group.number): \(leaked) blocks in use by nobody") }
        if let unmarked { report("block-unmarked", "block \(unmarked) is in use and marked free") }
    }

    /// Reads every data block, and looks behind the end of every file.
    func checkData() {
        let chunkBlocks: UInt64 = 256
        let buffer = UnsafeMutableRawBufferPointer.allocate(
            byteCount: Int(chunkBlocks) * blockBytes, alignment: blockBytes)
        defer { buffer.deallocate() }
        for (number, extent) in extents {
            // Where a range is being moved, what is still to move may stand behind the new end.
            let size = shifts.contains(number) ? Inode.maximumBytes : facts[number]?.inode.size ?? 0
            var position: UInt64 = 0
            while position < extent.count {
                let count = min(chunkBlocks, extent.count - position)
                let target = UnsafeMutableRawBufferPointer(rebasing: buffer[0..<Int(count) * blockBytes])
                let offset = (extent.fileBlock + position) * UInt64(blockBytes)
                do throws(DeviceError) {
                    try device.read(LogicalBlock(extent.first + position), into: target)
                    let end = offset + count * UInt64(blockBytes)
                    let tail = size > offset ? min(size, end) - offset : 0
                    if target[Int(tail)...].contains(where: { $0 != 0 }) {
                        report("tail-not-zero", "bytes behind the end of file at \(offset + tail)", inode: number)
                    }
                } catch {
                    reportUnreadable(number, extent, from: position, count: count, target)
                }
                position += count
                advance(count)
            }
        }
    }

    /// Says block by block which of a run cannot be read, neighbours that fail alike as one.
    private func reportUnreadable(
        _ number: UInt64, _ extent: Extent, from position: UInt64, count: UInt64,
        _ buffer: UnsafeMutableRawBufferPointer
    ) {
        let target = UnsafeMutableRawBufferPointer(rebasing: buffer[0..<blockBytes])
        var bad: (first: UInt64, count: UInt64, text: String)?
        func flush() {
            guard let run = bad else { return }
            let start = run.first * UInt64(blockBytes)
            report(
                "data-unreadable", "bytes \(start)..<\(start + run.count * UInt64(blockBytes)): \(run.text)",
                inode: number)
            bad = nil
        }
        for block in position..<position + count {
            do throws(DeviceError) {
                try device.read(LogicalBlock(extent.first + block), into: target)
                flush()
            } catch {
                // Text that names the block itself differs from one to the next.
                if bad?.text != error.text { flush() }
                bad = (bad?.first ?? extent.fileBlock + block, (bad?.count ?? 0) + 1, error.text)
            }
        }
        flush()
    }

    /// A path for the findings, from what was read.
    func path(of number: UInt64) -> String? {
        var parts: [String] = []
        var position = number
        while position != Inode.rootNumber {
            guard let fact = facts[position], let parent = fact.parent, parts.count < 4096,
                let name = names[fact.parentSequence]
            else { return nil }
            parts.append(name.name.description)
            position = parent
        }
        return "/" + parts.reversed().joined(separator: "/")
    }
}
