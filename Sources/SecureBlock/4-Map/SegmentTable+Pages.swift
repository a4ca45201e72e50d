extension SegmentTable {
    /// Which pages of the table a checkpoint must write, and how they were when it froze.
    ///
    /// Freezing takes no time: a page is copied when it is first changed afterwards. A stored page is the state of the
    /// checkpoint's commit in what roll-forward changes (live data, deaths, records), and the state of the moment of
    /// writing in the rest: which pages of the map lie in a segment of the stream of pages, so that the count belongs to
    /// the very tree that the root names, and whose segment it has become, so that the count belongs to the generation
    /// that those pages were written in. Roll-forward leaves both alone, or sets them to the same.
    struct Pages {
        /// Counts freezes.
        var version: UInt32 = 1
        /// Pages changed since the last freeze.
        var dirty: [Int] = []
        /// Pages that the running checkpoint writes.
        var frozen: [Int] = []
        var isFrozen = false
        /// For each page: the version it was last put into `dirty`, and the one it was put into `frozen`.
        var dirtyVersion: [UInt32]
        var frozenVersion: [UInt32]
        /// Entries as they were when the checkpoint froze, of pages changed since.
        var snapshots: [Int: [SegmentEntry]] = [:]

        init(count: Int) {
            dirtyVersion = Array(repeating: 0, count: count)
            frozenVersion = Array(repeating: 0, count: count)
        }
    }

    static func pageCount(segments: Int) -> Int {
        (segments + SegmentEntry.perPage - 1) / SegmentEntry.perPage
    }

    private func range(ofPage page: Int) -> Range<Int> {
        page * SegmentEntry.perPage..<min((page + 1) * SegmentEntry.perPage, count)
    }

    /// Pages changed since the last freeze, and pages that the running checkpoint has yet to write.
    var dirtyCount: Int { pages.dirty.count }
    var frozenCount: Int { pages.frozen.count }

    /// An entry of the page is about to change.
    @inline(__always)
    func willChange(_ segment: UInt32) {
        let page = Int(segment) / SegmentEntry.perPage
        if pages.dirtyVersion[page] != pages.version { touch(page: page) }
    }

    /// Has the next checkpoint write the page again, elsewhere.
    func touch(page: Int) {
        guard pages.dirtyVersion[page] != pages.version else { return }
        pages.dirtyVersion[page] = pages.version
        pages.dirty.append(page)
        if pages.isFrozen { pages.snapshots[page] = range(ofPage: page).map { entries[$0] } }
    }

    /// Has the next checkpoint write a page of the table's tree again, elsewhere, if it stands at `place` now.
    func touch(page: Int, level: Int, at place: PhysicalBlock) {
        guard level < tree.levels.count, page < tree.levels[level].count, tree.levels[level][page].block == place
        else { return }
        // Any leaf below makes its parents be written.
        let span = (0..<level).reduce(1) { span, _ in span * PagePointer.perPage }
        let below = page * span..<min((page + 1) * span, tree.leaves.count)
        if let leaf = below.first(where: { tree.leaf($0).exists }) { touch(page: leaf) }
    }

    /// The table has another number of segments.
    func resizePages(wasCut: Bool) {
        let next = Self.pageCount(segments: count)
        if next < pages.dirtyVersion.count {
            pages.dirtyVersion.removeLast(pages.dirtyVersion.count - next)
            pages.frozenVersion.removeLast(pages.frozenVersion.count - next)
            pages.dirty.removeAll { $0 >= next }
        } else {
            pages.dirtyVersion += Array(repeating: 0, count: next - pages.dirtyVersion.count)
            pages.frozenVersion += Array(repeating: 0, count: next - pages.frozenVersion.count)
        }
        // What is stored of the last page must not come back when the table grows again.
        if wasCut { touch(page: next - 1) }
    }

    /// Fixes the table as it is now for a checkpoint.
    func freeze() {
        precondition(!pages.isFrozen, "one checkpoint at a time")
        pages.frozen = pages.dirty
        for page in pages.frozen { pages.frozenVersion[page] = pages.version + 1 }
        pages.dirty = []
        pages.version += 1
        pages.isFrozen = true
    }

    /// Pages that the checkpoint must write, once all pages of the map are.
    var frozenPages: [Int] { pages.frozen }

    /// A frozen page as it is to be stored.
    func serialised(frozen page: Int) -> AlignedBuffer {
        let buffer = AlignedBuffer(byteCount: blockBytes)
        var writer = ByteWriter(buffer.bytes)
        let range = range(ofPage: page)
        for segment in range {
            var entry = entries[segment]
            if let then = pages.snapshots[page]?[segment - range.lowerBound] {
                let now = entry
                entry = then
                if now.generation != then.generation || now.state != then.state {
                    entry.state = now.state
                    entry.stream = now.stream
                    entry.generation = now.generation
                    entry.epochIndex = now.epochIndex
                }
            }
            if Sabotage.isOn(.checkpointForgetsPins) { entry.pins = 0 }
            entry.write(to: &writer)
        }
        return buffer
    }

    /// The checkpoint has written all its pages, or was given up.
    func thaw() {
        pages.isFrozen = false
        pages.frozen = []
        pages.snapshots = [:]
    }

    /// The checkpoint of `commit` wrote a page of the map anew: its segment has one more that lives, that of the old one,
    /// should there be one, one less. Part of the checkpoint that is being written.
    func movedMapPage(from old: PhysicalBlock?, to new: LogPosition, _ commit: SequenceNumber, _ geometry: Geometry)
        -> Bool
    {
        changeFrozen(new.segment) { $0.live += 1 }
        guard let old else { return true }
        guard let position = geometry.position(old), entries[Int(position.segment)].live > 0 else { return false }
        changeFrozen(position.segment) {
            $0.live -= 1
            $0.lastDeath = max($0.lastDeath, commit)
        }
        return true
    }

    /// The map became smaller with the checkpoint of `commit`, which does without the page.
    func droppedMapPage(_ block: PhysicalBlock, _ commit: SequenceNumber, _ geometry: Geometry) -> Bool {
        guard let position = geometry.position(block), entries[Int(position.segment)].live > 0 else { return false }
        changeFrozen(position.segment) {
            $0.live -= 1
            $0.lastDeath = max($0.lastDeath, commit)
        }
        return true
    }

    /// Changes an entry as it is now and as the running checkpoint stores it.
    private func changeFrozen(_ segment: UInt32, _ body: (inout SegmentEntry) -> Void) {
        precondition(pages.isFrozen, "pages of the map are moved by a checkpoint")
        let page = Int(segment) / SegmentEntry.perPage
        if pages.frozenVersion[page] != pages.version {
            pages.frozenVersion[page] = pages.version
            pages.frozen.append(page)
        }
        if pages.snapshots[page] != nil {
            body(&pages.snapshots[page, default: []][Int(segment) % SegmentEntry.perPage])
        }
        var entry = entries[Int(segment)]
        body(&entry)
        replace(segment, entry)
    }

    /// A page of the segment table or the epoch table was written anew by the checkpoint of `commit`.
    func movedTablePage(
        from old: PhysicalBlock?, to new: PhysicalBlock?, _ commit: SequenceNumber, _ geometry: Geometry
    ) {
        if let new, let position = geometry.position(new) { holdsPage(position.segment) }
        guard let old, let position = geometry.position(old), volatile[Int(position.segment)].pages > 0 else {
            return
        }
        tablePages -= 1
        change(position.segment) {
            $0.pages -= 1
            $0.pagesDiedAt = max($0.pagesDiedAt, commit)
        }
        // For the next checkpoint, as this one may have stored the entry: earlier roots need the page where it was.
        if self[position.segment].lastDeath < commit { self[position.segment].lastDeath = commit }
    }

    /// A page of the present table or epoch table is in the segment.
    func holdsPage(_ segment: UInt32) {
        tablePages += 1
        change(segment) { $0.pages += 1 }
    }

    /// A page of a root in the segment is needed until both slots have a root of `commit` or later.
    func holdsPage(_ segment: UInt32, until commit: SequenceNumber) {
        change(segment) { $0.pagesDiedAt = max($0.pagesDiedAt, commit) }
    }

    /// Reads the table that `top` points to.
    static func load(_ top: [PagePointer], _ context: VolumeContext) throws(VolumeError) -> SegmentTable {
        let count = Int(context.geometry.segmentCount)
        let tree = try PageTree.load(
            kind: .tablePage, leafCount: pageCount(segments: count), top: top, context)
        let table = SegmentTable(count: count, segmentBlocks: context.geometry.segmentBlocks, tree: tree)
        let wanted = tree.leaves.indices.filter { tree.leaf($0).exists }
        try context.forEachPage(wanted.map { (tree.leaf($0), BlockAssociation(.tablePage, address: UInt64($0))) }) {
            position, page throws(VolumeError) in
            let index = wanted[position]
            var reader = ByteReader(UnsafeRawBufferPointer(page.bytes))
            do throws(ParseError) {
                for segment in table.range(ofPage: index) {
                    table.restore(try SegmentEntry(parsing: &reader), of: segment)
                }
            } catch { throw .corrupt("segment table page \(index): \(error)") }
        }
        table.indexAll()
        return table
    }

    func checkPages() {
        let version = pages.version
        precondition(pages.dirty.allSatisfy { pages.dirtyVersion[$0] == version })
        precondition(Set(pages.dirty).count == pages.dirty.count && Set(pages.frozen).count == pages.frozen.count)
        precondition(pages.dirty.count == pages.dirtyVersion.count { $0 == version })
        precondition(pages.isFrozen || pages.snapshots.isEmpty && pages.frozen.isEmpty)
    }
}
