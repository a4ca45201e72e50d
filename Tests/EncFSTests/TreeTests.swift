import SecureBlock
import SimHost
import Testing
import VFS

@testable import EncFS

@Suite struct TreeTests {
    private struct Bench {
        let store: MetadataStore
        let committer: Committer

        init(nodeBytes: Int, cacheBytes: Int) throws {
            let device = try freshDevice(blocks: 16384, nodeBytes: nodeBytes)
            let superblock = try EncFS.readSuperblock(device)
            let latch = Latch { Issue.record("latched: \($0)") }
            store = MetadataStore(
                device, superblock, freeCounts: try EncFS.readGroupTable(device, superblock),
                cacheBytes: cacheBytes,
                latch: latch)
            committer = Committer(device, store, InodeTable(), latch: latch, dirtyBytes: cacheBytes / 4)
        }

        func commit() throws {
            committer.noteChange()
            _ = try committer.order()
        }
    }

    /// Random items against a dictionary; the small cache makes every way through the tree miss.
    @Test(arguments: [4096, 8192, 16384], [64 << 20, 1])
    func randomItemsEqualModel(nodeBytes: Int, cacheBytes: Int) throws {
        let seed = UInt64(nodeBytes + cacheBytes % 7)
        var generator = SimRandom(seed: seed)
        let bench = try Bench(nodeBytes: nodeBytes, cacheBytes: cacheBytes)
        var model: [ItemKey: [UInt8]] = [:]
        let rootItem = try bench.store.look { tree throws(TreeError) in
            try tree.value(of: ItemKey(1, .inode)).map { Array($0) }
        }
        model[ItemKey(1, .inode)] = rootItem
        for step in 0..<6000 {
            let key = ItemKey(
                inode: .random(in: 2...40, using: &generator), rawKind: .random(in: 1...9, using: &generator),
                offset: .random(in: 0...30, using: &generator))
            let isGrowing = step / 1500 % 2 == 0
            if Int.random(in: 0..<10, using: &generator) < (isGrowing ? 7 : 2) {
                let count = Int.random(
                    in: 0...(step % 5 == 0 ? Node.maximumValueBytes(nodeBytes: nodeBytes) : 200), using: &generator)
                let value = pattern(count, seed: generator.next())
                try bench.store.change { tree throws(TreeError) in try tree.set(key, value) }
                model[key] = value
            } else {
                let wasThere = try bench.store.change { tree throws(TreeError) in try tree.remove(key) }
                #expect(wasThere == (model.removeValue(forKey: key) != nil), "seed \(seed), step \(step)")
            }
            if step % 250 == 0 { try bench.commit() }
        }
        try compare(bench, model, seed)
        for key in model.keys.sorted() where key.inode != 1 {
            try bench.store.change { tree throws(TreeError) in _ = try tree.remove(key) }
        }
        try compare(bench, model.filter { $0.key.inode == 1 }, seed)
    }

    private func compare(_ bench: Bench, _ model: [ItemKey: [UInt8]], _ seed: UInt64) throws {
        var items: [(ItemKey, [UInt8])] = []
        var backwards: [ItemKey] = []
        var total = 0
        try bench.store.look { tree throws(TreeError) in
            items = []
            var cursor = try tree.first(from: .lowest)
            while let here = cursor {
                items.append((here.key, Array(here.value)))
                cursor = try tree.next(here)
            }
            backwards = []
            cursor = try tree.last(upTo: ItemKey(inode: .max, rawKind: .max, offset: .max))
            while let here = cursor {
                backwards.append(here.key)
                cursor = try tree.previous(here)
            }
            total = try tree.checkInvariants()
        }
        let keys = model.keys.sorted()
        #expect(items.map(\.0) == keys, "seed \(seed)")
        #expect(backwards == keys.reversed(), "seed \(seed)")
        #expect(total == keys.count)
        for (key, value) in items { #expect(model[key] == value, "seed \(seed), \(key)") }
    }

    /// An operation that fails half-way leaves no trace, whatever it split, joined or freed.
    @Test(arguments: [4096, 16384])
    func refusedChangeLeavesNoTrace(nodeBytes: Int) throws {
        var generator = SimRandom(seed: 7)
        let bench = try Bench(nodeBytes: nodeBytes, cacheBytes: 64 << 20)
        func snapshot() throws -> [String] {
            try bench.store.look { tree throws(TreeError) in
                var items = ["\(tree.root) \(tree.rootLevel) \(tree.space.freeBlocks)"]
                var cursor = try tree.first(from: .lowest)
                while let here = cursor {
                    items.append("\(here.key) \(Array(here.value))")
                    cursor = try tree.next(here)
                }
                try tree.checkInvariants()
                return items
            }
        }
        for round in 0..<30 {
            let before = try snapshot()
            let keys = (0..<200).map { _ in
                ItemKey(2, .extent, UInt64.random(in: 0..<400, using: &generator))
            }
            let values = keys.map { _ in pattern(.random(in: 0..<300, using: &generator), seed: generator.next()) }
            func apply(_ tree: Tree) throws(TreeError) {
                for (key, value) in zip(keys, values) {
                    if key.offset % 3 == 0 { try tree.remove(key) } else { try tree.set(key, value) }
                }
            }
            let refusal = errno {
                try bench.store.change { tree throws(TreeError) in
                    try apply(tree)
                    throw .refused(.invalidArgument)
                }
            }
            #expect(refusal == .invalidArgument)
            #expect(try snapshot() == before, "round \(round)")
            try bench.store.change { tree throws(TreeError) in try apply(tree) }
            if round % 4 == 0 { try bench.commit() }
        }
    }

    @Test func nodeRefusesWhatLeadsOut() throws {
        let node = Node(empty: 40, level: 0, byteCount: 4096)
        for offset in 0..<20 {
            pattern(50, seed: UInt64(offset)).withUnsafeBytes {
                node.append(ItemKey(9, .extent, UInt64(offset)), $0)
            }
        }
        let good = Array(UnsafeRawBufferPointer(start: node.bytes, count: 4096))
        func parse(_ bytes: [UInt8], address: UInt64 = 40, level: Int = 0) -> Bool {
            bytes.withUnsafeBytes { source in
                do throws(StoredError) {
                    _ = try Node(reading: source, address: address, level: level)
                    return true
                } catch { return false }
            }
        }
        #expect(parse(good))
        #expect(!parse(good, address: 41))
        #expect(!parse(good, level: 1))
        var generator = SimRandom(seed: 3)
        var refused = 0
        for _ in 0..<20000 {
            var bytes = good
            for _ in 0..<Int.random(in: 1...4, using: &generator) {
                bytes[Int.random(in: 0..<600, using: &generator)] = UInt8.random(in: 0...255, using: &generator)
            }
            // What it accepts must be usable to the last item.
            bytes.withUnsafeBytes { source in
                do throws(StoredError) {
                    let node = try Node(reading: source, address: 40, level: 0)
                    var sum = 0
                    for index in 0..<node.count { sum += node.value(index).reduce(0) { $0 + Int($1) } }
                    #expect(sum >= 0)
                } catch { refused += 1 }
            }
        }
        #expect(refused > 1000)
    }
}
