import SecureBlock
import VFS

extension TreeCheck {
    /// Takes one item, in key order.
    func take(_ key: ItemKey, _ value: UnsafeRawBufferPointer) {
        summary.items += 1
        if let lastKey, key <= lastKey { report("key-order", "\(key) after \(lastKey)", inode: key.inode) }
        lastKey = key
        if key.inode != unhashedDirectory { endOfDirectory() }
        guard let kind = ItemKind(rawValue: key.kind) else {
            return report("item-kind", "\(key)", inode: key.inode)
        }
        do throws(StoredError) {
            if key.inode == ItemKey.filesystem {
                try takeOwn(key, kind, value)
            } else if kind == .inode {
                guard key.offset == 0 else { throw .invalid("offset") }
                facts[key.inode] = Facts(inode: try Inode(stored: value))
                summary.inodes += 1
            } else if facts[key.inode] == nil {
                report("item-without-inode", "\(key)", inode: key.inode)
                if kind == .extent { try takeExtent(key, value) }
            } else {
                try takePart(key, kind, value)
            }
        } catch {
            report("item-invalid", "\(key): \(error)", inode: key.inode)
        }
    }

    private func takeOwn(
        _ key: ItemKey, _ kind: ItemKind, _ value: UnsafeRawBufferPointer
    ) throws(StoredError) {
        switch kind {
        case .orphan: orphans.insert(key.offset)
        case .trimIntent:
            guard try StoredNumbers.decode(value).count == 1 else { throw .invalid("intent") }
            trims.insert(key.offset)
        case .shiftIntent:
            _ = try ShiftIntent(stored: value)
            shifts.insert(key.offset)
        case .sharedRun: try takeSharedRun(key, value)
        default: throw .invalid("not an item of the filesystem")
        }
    }

    /// All of them come before the first extent: the filesystem's own items are the first.
    private func takeSharedRun(_ key: ItemKey, _ value: UnsafeRawBufferPointer) throws(StoredError) {
        let run = try SharedRun(first: key.offset, stored: value)
        guard run.first >= superblock.dataStart, run.place.upperBound <= superblock.reserveStart else {
            return report("shared-range", "blocks \(run.place) are not for data")
        }
        if let taken = claims.claim(run.first, count: run.count) {
            report("block-shared", "block \(taken) of a shared run is in use already")
        }
        shared.append(run)
    }

    private func takePart(
        _ key: ItemKey, _ kind: ItemKind, _ value: UnsafeRawBufferPointer
    ) throws(StoredError) {
        switch kind {
        case .inlineData:
            guard key.offset % EncFS.blockSize == 0, key.offset < Inode.maximumBytes,
                facts[key.inode]?.inline == nil
            else { throw .invalid("inline data at offset \(key.offset)") }
            facts[key.inode]?.inline = key.offset..<key.offset + UInt64(value.count)
        case .linkTarget: facts[key.inode]?.targetBytes += UInt64(value.count)
        case .extent: try takeExtent(key, value)
        case .entry: try takeEntry(key, value)
        case .nameHash: try takeHash(key, value)
        case .backlink:
            let list = try StoredNumbers.decode(value)
            guard list.count == 1 else { throw .invalid("backlink with \(list.count) directories") }
            facts[key.inode]?.backlinks += 1
            facts[key.inode]?.parent = list[0]
            facts[key.inode]?.parentSequence = key.offset
            highestSequence = max(highestSequence, key.offset)
            backlinks.append((key.inode, key.offset, list[0]))
        case .attribute:
            let item = try AttributeItem(stored: value)
            facts[key.inode]?.attributes += 1
            if item.value == nil { pieces[key.inode, default: [:]][key.offset] = item.valueBytes }
        case .attributePiece:
            guard let missing = pieces[key.inode]?[key.offset >> 8], missing >= value.count, value.count > 0 else {
                throw .invalid("piece of no attribute")
            }
            pieces[key.inode]?[key.offset >> 8] = missing - value.count
        case .inode, .orphan, .trimIntent, .sharedRun, .shiftIntent: throw .invalid("not an item of an inode")
        }
    }

    private func takeExtent(_ key: ItemKey, _ value: UnsafeRawBufferPointer) throws(StoredError) {
        let extent = try Extent(fileBlock: key.offset, stored: value)
        guard extent.first >= superblock.dataStart, extent.first + extent.count <= superblock.reserveStart else {
            return report(
                "extent-range", "blocks \(extent.first) + \(extent.count) are not for data", inode: key.inode)
        }
        if lastExtent.inode == key.inode, extent.fileBlock < lastExtent.end {
            report("extent-overlap", "file block \(extent.fileBlock) is in two extents", inode: key.inode)
        }
        lastExtent = (key.inode, extent.fileEnd)
        claim(extent, of: key.inode)
        for part in suspects(in: extent.first..<extent.first + extent.count) {
            let start = (extent.fileBlock + part.lowerBound - extent.first) * UInt64(blockBytes)
            report(
                "data-doubtful",
                "bytes \(start)..<\(start + UInt64(part.count) * UInt64(blockBytes)) may be older than they should be",
                inode: key.inode, severity: .note)
        }
        facts[key.inode]?.blocks += extent.count
        facts[key.inode]?.extentEnd = extent.fileEnd
        summary.dataBlocks += extent.count
        if readData { extents.append((key.inode, extent)) } else { advance(extent.count) }
    }

    /// Claims what no shared run covers; of the rest, one reference is found.
    private func claim(_ extent: Extent, of inode: UInt64) {
        var position = extent.first
        func claim(to end: UInt64) {
            guard position < end else { return }
            if let taken = claims.claim(position, count: end - position) {
                report("block-shared", "block \(taken) is in use already", inode: inode)
            }
        }
        for run in sharedRuns(in: extent.place) {
            let part = run.place.clamped(to: extent.place)
            if !extent.mayBeShared {
                report("extent-flag", "blocks \(part) are shared, and the extent says no", inode: inode)
            }
            claim(to: part.lowerBound)
            references.append(part)
            position = part.upperBound
        }
        claim(to: extent.place.upperBound)
    }

    private func sharedRuns(in place: Range<UInt64>) -> ArraySlice<SharedRun> {
        var low = 0
        var high = shared.count
        while low < high {
            let middle = (low + high) / 2
            if shared[middle].place.upperBound <= place.lowerBound { low = middle + 1 } else { high = middle }
        }
        let end = shared[low...].firstIndex { $0.first >= place.upperBound } ?? shared.count
        return shared[low..<end]
    }

    private func takeEntry(_ key: ItemKey, _ value: UnsafeRawBufferPointer) throws(StoredError) {
        let item = try DirectoryItem(stored: value)
        highestSequence = max(highestSequence, key.offset)
        facts[key.inode]?.entries += 1
        if item.kind == .directory { facts[key.inode]?.directories += 1 }
        if names[key.offset] != nil {
            report("entry-sequence", "sequence \(key.offset) is in two directories", inode: key.inode)
        }
        names[key.offset] = NameFacts(directory: key.inode, inode: item.inode, kind: item.kind, name: item.name)
        unhashedDirectory = key.inode
        unhashed[superblock.nameHash(item.name.bytes), default: []].insert(key.offset)
    }

    private func takeHash(_ key: ItemKey, _ value: UnsafeRawBufferPointer) throws(StoredError) {
        for sequence in try StoredNumbers.decode(value) {
            if key.inode == unhashedDirectory, unhashed[key.offset]?.remove(sequence) != nil {
                if unhashed[key.offset]?.isEmpty ?? false { unhashed[key.offset] = nil }
            } else {
                report("hash-without-entry", "hash \(key.offset) names sequence \(sequence)", inode: key.inode)
            }
        }
    }

    /// All of a directory's items were seen.
    func endOfDirectory() {
        let missing = unhashed.values.flatMap { $0 }.sorted()
        for sequence in missing {
            let name = names[sequence]?.name.description ?? ""
            report("entry-without-hash", "\(name) cannot be looked up", inode: unhashedDirectory)
        }
        unhashed.removeAll()
        unhashedDirectory = 0
    }
}
