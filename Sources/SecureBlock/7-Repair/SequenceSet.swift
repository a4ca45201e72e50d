/// Which sequence numbers were seen: exact for the newest, forgotten below a floor once it grew to its limit.
struct SequenceSet {
    private static let pageBits: UInt64 = 4096
    /// Pages of 512 bytes: 64 MiB in all.
    private let pageLimit: Int
    private var pages: [UInt64: [UInt64]] = [:]
    /// Of numbers below this one nothing is known.
    private(set) var floor: UInt64 = 0

    init(pageLimit: Int = 1 << 17) { self.pageLimit = max(pageLimit, 2) }

    /// - Returns: whether the number is new, or below the floor.
    @discardableResult
    mutating func insert(_ sequence: SequenceNumber) -> Bool {
        guard sequence.rawValue >= floor else { return true }
        let page = sequence.rawValue / Self.pageBits, bit = Int(sequence.rawValue % Self.pageBits)
        let mask: UInt64 = 1 << UInt64(bit % 64)
        if pages[page] == nil, pages.count >= pageLimit { forgetOldest() }
        let isNew = !contains(sequence)
        pages[page, default: Array(repeating: 0, count: Int(Self.pageBits) / 64)][bit / 64] |= mask
        return isNew
    }

    private mutating func forgetOldest() {
        for page in pages.keys.sorted().prefix(pages.count / 2) {
            pages[page] = nil
            floor = max(floor, (page + 1) * Self.pageBits)
        }
    }

    func contains(_ sequence: SequenceNumber) -> Bool {
        let bit = Int(sequence.rawValue % Self.pageBits)
        guard let page = pages[sequence.rawValue / Self.pageBits] else { return false }
        return page[bit / 64] >> UInt64(bit % 64) & 1 == 1
    }

    /// The highest number from 1 to `last` that was not seen; 0 when all were.
    func lastMissing(through last: SequenceNumber) -> SequenceNumber {
        var number = last.rawValue
        while number > 0, number >= floor, contains(SequenceNumber(number)) { number -= 1 }
        return SequenceNumber(number)
    }

    /// The first runs of numbers in `first...last` that were not seen, and how many numbers are missing in all of them.
    func gaps(from first: SequenceNumber, through last: SequenceNumber, limit: Int) -> (
        runs: [ClosedRange<UInt64>], count: UInt64
    ) {
        var runs: [ClosedRange<UInt64>] = []
        var count: UInt64 = 0
        var number = max(first.rawValue, 1)
        func skip(to end: UInt64) {
            guard end > number else { return }
            count += end - number
            add(number...end - 1, to: &runs, limit)
            number = end
        }
        // By the pages there are: ranges of numbers come from the volume and may be of any length.
        for page in pages.keys.sorted()
        where (page + 1) * Self.pageBits > number && page * Self.pageBits <= last.rawValue {
            skip(to: page * Self.pageBits)
            while number <= last.rawValue, number / Self.pageBits == page {
                if contains(SequenceNumber(number)) { number += 1 } else { skip(to: number + 1) }
            }
        }
        skip(to: last.rawValue + 1)
        return (runs, count)
    }

    private func add(_ run: ClosedRange<UInt64>, to runs: inout [ClosedRange<UInt64>], _ limit: Int) {
        if let end = runs.last, end.upperBound + 1 == run.lowerBound {
            runs[runs.count - 1] = end.lowerBound...run.upperBound
        } else if runs.count < limit {
            runs.append(run)
        }
    }
}
