import SecureBlock
import SimHost
import Testing
import VFS

@testable import EncFS

/// How full the tree's nodes are, which is what small files cost beside their bytes.
@Suite struct NodeFillTests {
    private let files: EncFS

    init() throws { files = try EncFS(mounting: try freshDevice(), .quiet) }

    /// The share of the leaves' room that holds items, of 1.
    private func fill() throws -> Double {
        try files.store.look { tree throws(TreeError) in
            try tree.checkInvariants()
            var leaves: [UInt64: Node] = [:]
            var cursor = try tree.first(from: .lowest)
            while let here = cursor {
                leaves[here.leaf.address] = here.leaf
                cursor = try tree.next(here)
            }
            let used = leaves.values.reduce(0) { $0 + $1.usedBytes }
            return Double(used) / Double(leaves.values.reduce(0) { $0 + $1.capacity })
        }
    }

    private func insert(_ inode: UInt64, _ number: UInt64, _ value: [UInt8]) throws {
        try files.store.change { tree throws(TreeError) in
            try tree.insert(ItemKey(inode, .backlink, number), value)
        }
    }

    /// As an archive is unpacked: each file gets its name, then its bytes, in two writes. Its bytes come before its name in
    /// the order of items.
    @Test func newFilesFillTheirNodes() throws {
        for number in 0..<1500 {
            let file = try files.make("file\(number)")
            try files.write(pattern(100 + number * 37 % 700, seed: 1), to: file, at: 0)
            try files.write(pattern(200, seed: 2), to: file, at: 100)
        }
        #expect(try fill() > 0.85)
    }

    /// Each item comes just before the one that was added last, behind a node that is full.
    @Test func descendingItemsFillTheirNodes() throws {
        let value = [UInt8](repeating: 1, count: 200), large = [UInt8](repeating: 1, count: 4000)
        for number: UInt64 in 0..<1000 { try insert(9_000_000, number, value) }
        for number: UInt64 in 0..<8 { try insert(9_000_001, number, large) }
        for number: UInt64 in (1000..<3000).reversed() { try insert(9_000_000, number, value) }
        #expect(try fill() > 0.8)
    }

    /// Ascending items before some that fill most of a node: where they come it cannot be cut.
    @Test(arguments: [(8, 3900), (4, 3900), (20, 780), (100, 130)]) func itemsComeBeforeLargeOnes(
        count: Int, bytes: Int
    ) throws {
        for number in 0..<UInt64(count) { try insert(9_000_000, 1_000_000 + number, pattern(bytes, seed: number)) }
        for number: UInt64 in 0..<3000 {
            try insert(9_000_000, number, [UInt8](repeating: 1, count: Int(number % 40)))
        }
        #expect(try fill() > 0.6)
    }

    /// Items that come in no order leave nodes as full as cutting in the middle does.
    @Test func randomItemsHalfFillTheirNodes() throws {
        var generator = SimRandom(seed: 3)
        for number: UInt64 in (0..<4000).shuffled(using: &generator) {
            try insert(9_000_000, number, [UInt8](repeating: 1, count: 200))
        }
        #expect(try fill() > 0.6)
    }
}
