/// Some leaves of the map while they are rebuilt: each entry, and the sequence that it is from.
///
/// **Memory**: 16 bytes an entry, 8 KiB a leaf.
final class SalvageRange {
    /// Ascending.
    let leaves: [Int]
    // SAFETY: `count` elements each, owned by this object; indices are checked against `count`.
    private let count: Int
    private let entries: UnsafeMutablePointer<MapEntry>
    private let sequences: UnsafeMutablePointer<UInt64>
    /// The commit that each leaf's base describes, and whether that is the newest base there is.
    private var bases: [(commit: SequenceNumber, isNewest: Bool)]

    init(_ leaves: [Int], _ geometry: Geometry) {
        self.leaves = leaves
        count = leaves.count * MapEntry.perPage
        entries = .allocate(capacity: count)
        entries.initialize(repeating: .none, count: count)
        sequences = .allocate(capacity: count)
        sequences.initialize(repeating: 0, count: count)
        bases = Array(repeating: (SequenceNumber(0), false), count: leaves.count)
    }

    deinit {
        entries.deallocate()
        sequences.deallocate()
    }

    /// The first leaf that is not before `leaf`, by its place among ``leaves``.
    private func firstPlace(from leaf: UInt64) -> Int {
        var low = 0, high = leaves.count
        while low < high {
            let middle = (low + high) / 2
            if UInt64(leaves[middle]) < leaf { low = middle + 1 } else { high = middle }
        }
        return low
    }

    func begin(_ leaf: Int, _ known: SalvageBase.Leaf) {
        let place = firstPlace(from: UInt64(leaf))
        let bytes: UnsafeRawBufferPointer?
        switch known {
        case .known(let commit, let page):
            bases[place] = (commit, true)
            bytes = page
        case .older(let commit, let page):
            bases[place] = (commit, false)
            bytes = page
        case .nothing: bytes = nil
        }
        for offset in 0..<MapEntry.perPage {
            let index = place * MapEntry.perPage + offset
            sequences[index] = bases[place].commit.rawValue
            if let bytes {
                // SAFETY: a page is a block, which holds `perPage` words.
                entries[index] = MapEntry(
                    bits: UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: offset * 8, as: UInt64.self)))
            }
        }
    }

    /// Takes what a record says of blocks in these leaves, where it is newer than what is there.
    func apply(_ header: RecordHeader, _ geometry: Geometry) {
        for (slot, entry) in header.entries.enumerated() {
            switch entry.kind {
            case .data, .relocation:
                let place = LogPosition(
                    segment: header.position.segment, block: header.position.block + 1 + UInt32(slot))
                set(
                    entry.address, count: 1, MapEntry(block: geometry.physical(place), slot: slot), header.sequence)
            case .discard: set(entry.address, count: entry.discardCount, .none, header.sequence)
            case .lost: set(entry.address, count: entry.discardCount, .lost, header.sequence)
            case .null, .mapPage, .tablePage, .epochPage, .snapshotPage, .root: break
            }
        }
    }

    private func set(_ first: UInt64, count: UInt64, _ entry: MapEntry, _ sequence: SequenceNumber) {
        let (end, overflow) = first.addingReportingOverflow(count)
        guard !overflow else { return }
        let perPage = UInt64(MapEntry.perPage)
        for place in firstPlace(from: first / perPage)..<leaves.count {
            let start = UInt64(leaves[place]) * perPage
            guard start < end else { return }
            guard sequence > bases[place].commit else { continue }
            for block in max(start, first)..<min(start + perPage, end) {
                let index = place * MapEntry.perPage + Int(block - start)
                guard sequence.rawValue >= sequences[index] else { continue }
                entries[index] = entry
                sequences[index] = sequence.rawValue
            }
        }
    }

    /// What is known of one block.
    struct State {
        var entry: MapEntry
        var sequence: SequenceNumber
        var base: SequenceNumber
        var isNewestBase: Bool
    }

    /// - Parameters:
    ///   - place: of the leaf, among ``leaves``.
    ///   - offset: of the block in it.
    func state(_ place: Int, _ offset: Int) -> State {
        let index = place * MapEntry.perPage + offset
        precondition(index < count)
        return State(
            entry: entries[index], sequence: SequenceNumber(sequences[index]), base: bases[place].commit,
            isNewestBase: bases[place].isNewest)
    }
}
