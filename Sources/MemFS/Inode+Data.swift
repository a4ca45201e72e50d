import VFS

/// Bytes of a regular file. All under the inode's lock; what changes something needs it exclusive.
///
/// Bytes of a page past the end of file are zero at all times, so that growing needs no clearing.
extension Inode {
    private static let pageBytes = UInt64(PageTree.pageBytes)

    /// The pieces of `range` page by page: page number, first byte in the page, bytes.
    private static func pieces(
        _ offset: UInt64, _ count: Int, _ body: (_ page: UInt64, _ within: Int, _ done: Int, _ length: Int) -> Bool
    ) {
        var done = 0
        while done < count {
            let position = offset + UInt64(done)
            let within = Int(position % pageBytes)
            let length = min(PageTree.pageBytes - within, count - done)
            guard body(position / pageBytes, within, done, length) else { return }
            done += length
        }
    }

    // SAFETY (all of this file): `pieces` keeps `within + length` inside a page and `done + length` inside the buffer.

    /// Fills `buffer` from `offset`, up to the end of file; how many bytes.
    func read(at offset: UInt64, into buffer: UnsafeMutableRawBufferPointer) -> Int {
        guard offset < size, let base = buffer.baseAddress else { return 0 }
        let count = Int(min(UInt64(buffer.count), size - offset))
        Self.pieces(offset, count) { page, within, done, length in
            if let bytes = pages.page(at: page) {
                (base + done).copyMemory(from: bytes + within, byteCount: length)
            } else {
                (base + done).initializeMemory(as: UInt8.self, repeating: 0, count: length)
            }
            return true
        }
        return count
    }

    /// Writes from `offset` until all is written or memory ends; how many bytes.
    func write(at offset: UInt64, _ bytes: UnsafeRawBufferPointer) -> Int {
        guard let base = bytes.baseAddress else { return 0 }
        var written = 0
        Self.pieces(offset, bytes.count) { page, within, done, length in
            let target: UnsafeMutableRawPointer
            if let present = pages.page(at: page) {
                target = present
            } else {
                guard budget.take(pages.cost(of: page)) else { return false }
                target = pages.insert(page)
                let behind = within + length
                target.initializeMemory(as: UInt8.self, repeating: 0, count: within)
                (target + behind).initializeMemory(as: UInt8.self, repeating: 0, count: PageTree.pageBytes - behind)
            }
            (target + within).copyMemory(from: base + done, byteCount: length)
            written = done + length
            return true
        }
        if written > 0 { size = max(size, offset + UInt64(written)) }
        return written
    }

    func resize(to newSize: UInt64) {
        let whole = newSize / Self.pageBytes + (newSize % Self.pageBytes == 0 ? 0 : 1)
        free(whole..<UInt64.max)
        if newSize < size { clear(newSize..<whole * Self.pageBytes) }
        size = newSize
    }

    /// Frees whole pages by number.
    private func free(_ range: Range<UInt64>) {
        let before = pages.byteCount
        pages.remove(range)
        budget.give(before - pages.byteCount)
    }

    /// Zeros the bytes of `range` that have pages; holes stay holes.
    func clear(_ range: Range<UInt64>) {
        guard !range.isEmpty else { return }
        var page = range.lowerBound / Self.pageBytes
        while let found = pages.firstPage(from: page), found <= (range.upperBound - 1) / Self.pageBytes {
            let first = max(range.lowerBound, found * Self.pageBytes) - found * Self.pageBytes
            let last = min(range.upperBound - found * Self.pageBytes, Self.pageBytes)
            if let bytes = pages.page(at: found) {
                (bytes + Int(first)).initializeMemory(as: UInt8.self, repeating: 0, count: Int(last - first))
            }
            page = found + 1
        }
    }

    /// Makes `range` read as zeros and frees the pages wholly in it.
    func punch(_ range: Range<UInt64>) {
        clear(range)
        let first = range.lowerBound / Self.pageBytes + (range.lowerBound % Self.pageBytes == 0 ? 0 : 1)
        let last = range.upperBound / Self.pageBytes
        if first < last { free(first..<last) }
    }

    /// Gives every hole in `range` a page of zeros, or none of them and says `false`.
    func fill(_ range: Range<UInt64>) -> Bool {
        let first = range.lowerBound / Self.pageBytes
        let last = (range.upperBound - 1) / Self.pageBytes
        // A request for more than there could ever be must not take memory first.
        guard last - first < (budget.freeBytes + pages.byteCount) / Self.pageBytes + 1 else { return false }
        var inserted: [UInt64] = []
        var page = pages.firstHole(from: first)
        while page <= last {
            guard budget.take(pages.cost(of: page)) else {
                for page in inserted { free(page..<page + 1) }
                return false
            }
            let bytes = pages.insert(page)
            bytes.initializeMemory(as: UInt8.self, repeating: 0, count: PageTree.pageBytes)
            inserted.append(page)
            page = pages.firstHole(from: page + 1)
        }
        return true
    }

    /// Takes a range out: what is behind it moves up to where it began.
    func collapse(_ range: Range<UInt64>) throws(VFSError) {
        guard range.lowerBound % Self.pageBytes == 0, range.upperBound % Self.pageBytes == 0,
            range.upperBound < size
        else { throw VFSError(.invalidArgument) }
        free(range.lowerBound / Self.pageBytes..<range.upperBound / Self.pageBytes)
        try move(range.upperBound / Self.pageBytes, to: range.lowerBound / Self.pageBytes)
        size -= UInt64(range.count)
    }

    /// Puts a hole in: what was there moves behind it.
    func insert(_ range: Range<UInt64>) throws(VFSError) {
        guard range.lowerBound % Self.pageBytes == 0, range.upperBound % Self.pageBytes == 0,
            range.lowerBound < size
        else { throw VFSError(.invalidArgument) }
        guard size <= MemFS.maximumFileBytes - UInt64(range.count) else { throw VFSError(.fileTooLarge) }
        try move(range.lowerBound / Self.pageBytes, to: range.upperBound / Self.pageBytes)
        size += UInt64(range.count)
    }

    /// Gives all pages from one on other numbers.
    private func move(_ from: UInt64, to: UInt64) throws(VFSError) {
        let before = pages.byteCount
        // What inner nodes may come to, however the pages lie then.
        let room = UInt64(pages.pageCount + 64) * UInt64(PageTree.nodeBytes)
        guard budget.take(room) else { throw VFSError(.noSpace) }
        pages.move(from..<1 << 52, to: to)
        let after = pages.byteCount
        budget.give(before + room - after)
    }

    /// The next offset with (or without) a page at or behind `offset`, which is inside the file.
    func seek(from offset: UInt64, to target: SeekTarget) -> UInt64? {
        let page = offset / Self.pageBytes
        switch target {
        case .data:
            guard let found = pages.firstPage(from: page) else { return nil }
            let start = max(offset, found * Self.pageBytes)
            return start < size ? start : nil
        case .hole:
            let hole = pages.firstHole(from: page)
            return min(max(offset, hole * Self.pageBytes), size)
        }
    }
}
