/// One bitmap block in memory: which of a group's 32768 blocks are in use.
///
/// Two maps: what may not be allocated, and of that, what was freed since the last commit. A freed block stays
/// unallocatable until the commit that frees it is ordered: until then a write ahead of a node that lived there may
/// still be on its way, and with the commit the block is discarded, so that whoever gets it next reads zeros.
final class BitmapGroup {
    static let bitCount = 32768
    static let wordCount = bitCount / 64

    let number: Int
    /// SAFETY: `wordCount` words owned by this object; bit numbers are checked below `bitCount` by every caller.
    private let used: UnsafeMutablePointer<UInt64>
    private var pending: UnsafeMutablePointer<UInt64>?
    private(set) var free: Int
    private(set) var pendingCount = 0
    var isDirty = false
    var isInCommit = false

    init(number: Int, stored: UnsafeRawBufferPointer) throws(StoredError) {
        guard stored.count == Self.bitCount / 8 else { throw .tooShort }
        self.number = number
        used = .allocate(capacity: Self.wordCount)
        var clear = 0
        for index in 0..<Self.wordCount {
            let word = UInt64(littleEndian: stored.loadUnaligned(fromByteOffset: index * 8, as: UInt64.self))
            used[index] = word
            clear += (~word).nonzeroBitCount
        }
        free = clear
    }

    /// - Parameter whole: exactly one bitmap block.
    convenience init?(number: Int, whole: UnsafeRawBufferPointer) {
        do throws(StoredError) { try self.init(number: number, stored: whole) } catch { return nil }
    }

    deinit {
        used.deallocate()
        pending?.deallocate()
    }

    func isUsed(_ bit: Int) -> Bool { used[bit / 64] >> UInt64(bit % 64) & 1 == 1 }
    func isPending(_ bit: Int) -> Bool { pending.map { $0[bit / 64] >> UInt64(bit % 64) & 1 == 1 } ?? false }

    /// The first free bit in `range`, or its end.
    func nextFree(in range: Range<Int>) -> Int { next(in: range, invert: ~0) }
    /// The first used bit in `range`, or its end.
    func nextUsed(in range: Range<Int>) -> Int { next(in: range, invert: 0) }

    private func next(in range: Range<Int>, invert: UInt64) -> Int {
        guard !range.isEmpty else { return range.upperBound }
        var index = range.lowerBound / 64
        var word = (used[index] ^ invert) & (~0 << UInt64(range.lowerBound % 64))
        while word == 0 {
            index += 1
            if index * 64 >= range.upperBound { return range.upperBound }
            word = used[index] ^ invert
        }
        return min(range.upperBound, index * 64 + word.trailingZeroBitCount)
    }

    /// Bits of `range` in use, ones freed since the last commit included.
    func usedCount(in range: Range<Int>) -> Int {
        var count = 0
        var position = range.lowerBound
        while position < range.upperBound {
            let start = nextUsed(in: position..<range.upperBound)
            let end = nextFree(in: start..<range.upperBound)
            count += end - start
            position = end
        }
        return count
    }

    /// Marks free bits as used.
    func take(_ range: Range<Int>) {
        for bit in range {
            precondition(!isUsed(bit))
            used[bit / 64] |= 1 << UInt64(bit % 64)
        }
        free -= range.count
        isDirty = true
    }

    /// Undoes ``take(_:)`` for bits nobody saw; nobody has them, and they read as zeros.
    func giveBack(_ range: Range<Int>) {
        for bit in range {
            precondition(isUsed(bit) && !isPending(bit))
            used[bit / 64] &= ~(1 << UInt64(bit % 64))
        }
        free += range.count
    }

    /// Whether all of `range` is in use and not freed yet.
    func isAllocated(_ range: Range<Int>) -> Bool {
        range.allSatisfy { isUsed($0) && !isPending($0) }
    }

    /// Frees used bits with the next commit.
    func release(_ range: Range<Int>) {
        let pending =
            self.pending
            ?? {
                let map = UnsafeMutablePointer<UInt64>.allocate(capacity: Self.wordCount)
                map.initialize(repeating: 0, count: Self.wordCount)
                self.pending = map
                return map
            }()
        for bit in range {
            precondition(isUsed(bit) && !isPending(bit))
            pending[bit / 64] |= 1 << UInt64(bit % 64)
            if FileSabotage.isOn(.freeAtOnce) { used[bit / 64] &= ~(1 << UInt64(bit % 64)) }
        }
        pendingCount += range.count
        isDirty = true
    }

    /// Makes what was freed allocatable again, and tells its runs.
    func settle() -> [Range<Int>] {
        guard let pending else { return [] }
        var runs: [Range<Int>] = []
        for index in 0..<Self.wordCount {
            var word = pending[index]
            used[index] &= ~word
            while word != 0 {
                let start = word.trailingZeroBitCount
                let length = (~(word >> UInt64(start))).trailingZeroBitCount
                let run = index * 64 + start..<index * 64 + start + length
                if let last = runs.last, last.upperBound == run.lowerBound {
                    runs[runs.count - 1] = last.lowerBound..<run.upperBound
                } else {
                    runs.append(run)
                }
                word = start + length == 64 ? 0 : word & (~0 << UInt64(start + length))
            }
        }
        free += pendingCount
        pendingCount = 0
        pending.deallocate()
        self.pending = nil
        return runs
    }

    var stored: [UInt8] {
        var writer = StoredWriter(capacity: Self.bitCount / 8)
        for index in 0..<Self.wordCount { writer.integer(used[index]) }
        return writer.bytes
    }
}
