import Dispatch
import SecureBlock
import SimHost
import Synchronization
import Testing
import VFS

@testable import EncFS

/// Growing and shrinking while in use, and cut off at every write.
@Suite struct ResizeTests {
    /// Files all over a filesystem, and what is in them.
    struct Content {
        var files: [String: [UInt8]] = [:]
        var sparse: UInt64 = 0

        static func fill(_ files: EncFS, count: Int, seed: UInt64) throws -> Content {
            var content = Content()
            for index in 0..<count {
                let name = "file \(index)"
                let bytes = pattern(2000 + index * 7919 % 60_000, seed: seed + UInt64(index))
                try files.write(bytes, to: try files.make(name), at: 0)
                content.files[name] = bytes
            }
            // Every other one goes, so that what stays is scattered.
            for index in stride(from: 1, to: count, by: 2) {
                try files.remove(Name("file \(index)"), in: files.root, .nonDirectory)
                content.files["file \(index)"] = nil
            }
            return content
        }

        func check(_ files: EncFS) throws {
            for (name, bytes) in self.files.sorted(by: { $0.key < $1.key }) {
                #expect(try files.read(try files.find(name), count: bytes.count + 1) == bytes, "\(name)")
            }
            #expect(Set(try files.names()) == Set(self.files.keys))
        }
    }

    @Test(arguments: [4096, 16384])
    func growsToALargerDevice(nodeBytes: Int) throws {
        let device = try freshDevice(blocks: 2000, nodeBytes: nodeBytes)
        let files = try EncFS(mounting: device, .quiet)
        let content = try Content.fill(files, count: 40, seed: 1)
        let before = try files.statistics()
        #expect(throws: EncFSError.self) { try files.resize(toBlocks: 2001) }
        // Over a group's end, so that the fixed part grows into what files and nodes have.
        try device.resize(toBlocks: 150_000)
        try files.resize(toBlocks: 150_000)
        #expect(files.blockCount == 150_000)
        #expect(try files.statistics().freeBlocks > before.freeBlocks + 147_900)
        try content.check(files)
        try files.write(pattern(9_000_000, seed: 9), to: try files.make("large"), at: 0)
        try files.sync()
        #expect(try findings(device) == [])
        let again = try EncFS(mounting: device.crash(), .quiet)
        #expect(again.blockCount == 150_000)
        try files.remove(Name("large"), in: files.root, .nonDirectory)
        try content.check(files)
        try files.close()
        #expect(try findings(device) == [])
    }

    @Test(arguments: [4096, 16384])
    func shrinksAndLeavesTheTailDiscarded(nodeBytes: Int) throws {
        let device = try freshDevice(blocks: 100_000, nodeBytes: nodeBytes)
        let files = try EncFS(mounting: device, .quiet)
        let content = try Content.fill(files, count: 60, seed: 2)
        var steps: [(UInt64, UInt64)] = []
        try files.resize(toBlocks: 1500) { steps.append(($0, $1)) }
        #expect(files.blockCount == 1500)
        #expect(steps.last.map { $0.0 == $0.1 && $0.1 > 0 } ?? false)
        try content.check(files)
        // Durable, and the device may let the tail go.
        try device.resize(toBlocks: 1500)
        #expect(try findings(device.crash()) == [])
        try files.write(pattern(100_000, seed: 9), to: try files.make("more"), at: 0)
        try files.close()
        #expect(try findings(device) == [])
        try device.resize(toBlocks: 40_000)
        let again = try EncFS(mounting: device, .quiet)
        try again.resize(toBlocks: 40_000)
        try again.remove(Name("more"), in: again.root, .nonDirectory)
        try content.check(again)
        try again.close()
        #expect(try findings(device) == [])
    }

    @Test func refusesWhatDoesNotFit() throws {
        let device = try freshDevice(blocks: 4000)
        let files = try EncFS(mounting: device, .quiet)
        try files.write(pattern(8_000_000, seed: 3), to: try files.make("f"), at: 0)
        #expect(throws: EncFSError.noSpace) { try files.resize(toBlocks: 1900) }
        #expect(throws: EncFSError.self) { try files.resize(toBlocks: 100) }
        #expect(files.blockCount == 4000)
        // All of it may be used again.
        try files.write(pattern(6_000_000, seed: 4), to: try files.make("g"), at: 0)
        #expect(try files.read(try files.find("f"), count: 8_000_000) == pattern(8_000_000, seed: 3))
        try files.close()
        #expect(try findings(device) == [])
        let locked = try EncFS(
            mounting: device,
            {
                var options = EncFS.MountOptions.quiet
                options.readOnly = true
                return options
            }())
        #expect(throws: EncFSError.readOnly) { try locked.resize(toBlocks: 3900) }
    }

    @Test func aBlockThatCannotBeReadIsNamed() throws {
        let device = try freshDevice(blocks: 8000)
        let files = try EncFS(mounting: device, .quiet)
        let node = try files.make("victim")
        try files.write(pattern(20_000_000, seed: 5), to: node, at: 0)
        try files.remove(Name("victim"), in: files.root, .nonDirectory)
        let other = try files.make("other")
        try files.write(pattern(15_000_000, seed: 6), to: other, at: 0)
        let high = try #require(try files.dataBlocks(of: other).max { $0.first.rawValue < $1.first.rawValue })
        try files.sync()
        device.damage(high.first)
        let limit = high.first.rawValue
        var text = ""
        do { try files.resize(toBlocks: limit) } catch { text = "\(error)" }
        #expect(text.contains("/other"))
        device.heal(high.first)
        try files.resize(toBlocks: limit)
        #expect(try files.read(other, count: 15_000_000) == pattern(15_000_000, seed: 6))
        try files.close()
        #expect(try findings(device) == [])
    }

    /// Stops the device at every write of a resize; what opens is sound, holds every file, and resizes again.
    @Test(arguments: [(3000, 34_000), (34_000, 1200)])
    func survivesACrashAtEveryWrite(_ from: Int, _ to: Int) throws {
        let start = try freshDevice(blocks: UInt64(from), nodeBytes: 4096)
        let first = try EncFS(mounting: start, .quiet)
        let content = try Content.fill(first, count: 24, seed: 7)
        try first.close()
        if to > from { try start.resize(toBlocks: UInt64(to)) }
        var stop = 0
        var isThrough = false
        while !isThrough {
            let device = start.crash()
            let files = try EncFS(mounting: device, .quiet)
            device.setFault(.writesAfter(stop, .latched("cut")))
            do {
                try files.resize(toBlocks: UInt64(to))
                isThrough = true
            } catch {}
            let crashed = device.crash()
            #expect(try findings(crashed) == [], "stopped at write \(stop)")
            let again = try EncFS(mounting: crashed, .quiet)
            #expect([UInt64(from), UInt64(to)].contains(again.blockCount))
            try content.check(again)
            try again.resize(toBlocks: UInt64(to))
            try content.check(again)
            try again.close()
            #expect(try findings(crashed) == [], "stopped at write \(stop), then resized")
            stop += stop < 40 ? 1 : 3
        }
        #expect(stop > 3)
    }

    /// Others write, rename and delete while the filesystem goes back and forth.
    @Test func othersGoOnMeanwhile() throws {
        let device = try freshDevice(blocks: 60_000, nodeBytes: 4096)
        let files = try EncFS(mounting: device, .quiet)
        let isOver = Atomic(false)
        let failure = Mutex<String?>(nil)
        let workers = DispatchGroup()
        for number in 0..<2 {
            DispatchQueue.global().async(group: workers) {
                do {
                    var generator = SimRandom(seed: UInt64(number))
                    let directory = try files.make("worker \(number)", kind: .directory)
                    var round = 0
                    while !isOver.load(ordering: .acquiring), round < 4000 {
                        round += 1
                        let name = "f\(generator.next() % 24)"
                        let bytes = pattern(Int(generator.next() % 40_000), seed: UInt64(round))
                        let node: NodeID
                        do { node = try files.find(name, in: directory) } catch {
                            node = try files.make(name, in: directory)
                        }
                        try files.setSize(0, of: node)
                        try files.write(bytes, to: node, at: 0)
                        guard try files.read(node, count: bytes.count) == bytes else {
                            failure.withLock { $0 = "\(name) differs in round \(round)" }
                            return
                        }
                        if round % 5 == 0 { try files.remove(Name(name), in: directory, .nonDirectory) }
                    }
                } catch { failure.withLock { $0 = "\(error)" } }
            }
        }
        for size in [20_000, 60_000, 9000, 36_000, 4000, 60_000] { try files.resize(toBlocks: UInt64(size)) }
        isOver.store(true, ordering: .releasing)
        workers.wait()
        #expect(failure.withLock { $0 } == nil)
        try files.close()
        #expect(try findings(device) == [])
    }
}
