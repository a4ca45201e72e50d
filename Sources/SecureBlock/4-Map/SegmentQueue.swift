/// A priority queue of segments, smallest key first, of equal keys the lowest number.
///
/// A segment that leaves before its turn is not looked for: its entry stays behind with an old stamp, and whoever takes
/// entries out passes over it. When such are the most, they are swept out.
struct SegmentQueue {
    struct Item {
        var key: UInt64
        var segment: UInt32
        var stamp: UInt32

        static func < (left: Item, right: Item) -> Bool { (left.key, left.segment) < (right.key, right.segment) }
    }

    private(set) var heap: [Item] = []
    private var sweepAt = 64

    /// - Parameter isCurrent: whether an entry is not one left behind.
    mutating func insert(_ item: Item, isCurrent: (Item) -> Bool) {
        if heap.count >= sweepAt {
            heap.removeAll { !isCurrent($0) }
            for index in stride(from: heap.count / 2 - 1, through: 0, by: -1) { sink(index) }
            sweepAt = max(64, heap.count * 2)
        }
        heap.append(item)
        var index = heap.count - 1
        while index > 0, heap[index] < heap[(index - 1) / 2] {
            heap.swapAt(index, (index - 1) / 2)
            index = (index - 1) / 2
        }
    }

    /// The first entry that is current; those left behind before it go.
    mutating func first(isCurrent: (Item) -> Bool) -> Item? {
        while let head = heap.first {
            if isCurrent(head) { return head }
            removeFirst()
        }
        return nil
    }

    mutating func removeFirst() {
        heap.swapAt(0, heap.count - 1)
        heap.removeLast()
        if !heap.isEmpty { sink(0) }
    }

    private mutating func sink(_ start: Int) {
        var index = start
        while true {
            var least = index
            for child in [2 * index + 1, 2 * index + 2] where child < heap.count && heap[child] < heap[least] {
                least = child
            }
            if least == index { return }
            heap.swapAt(index, least)
            index = least
        }
    }
}
