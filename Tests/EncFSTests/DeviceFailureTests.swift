import FileSimulation
import SecureBlock
import SimHost
import Testing
import VFS

@testable import EncFS

/// Every call to the device fails under every operation, from mounting to closing: a typed error or success, in memory
/// the state before the operation or the one after it, and durable a sound filesystem in one of the two.
@Suite struct DeviceFailureTests {
    /// Something done to the tree of ``base``.
    struct Work: Sendable, CustomTestStringConvertible {
        var testDescription: String
        /// Whether it happens whole or not at all.
        var isWhole = true
        var perform: @Sendable (EncFS) throws -> Void
    }

    private static let several: [FileOperation] = [.recycle, .clone, .sync]
    static let operations = FileOperation.allCases.map { operation in
        Work(testDescription: "\(operation)", isWhole: !several.contains(operation)) { try operation.perform($0) }
    }
    static let longer = [
        Work(testDescription: "walking") { _ = try $0.dump() },
        Work(testDescription: "shrinking") { try $0.resize(toBlocks: 1200) },
        Work(testDescription: "growing") { try $0.resize(toBlocks: 6000) },
        Work(testDescription: "removing extents") { try $0.remove(Name("wide"), in: $0.root, .nonDirectory) },
        Work(testDescription: "cutting extents") { try $0.setSize(4000, of: try $0.find("wide")) },
        Work(testDescription: "collapsing", isWhole: false) {
            try $0.allocate(try $0.find("wide"), .none, 0..<4096 * 8, .collapse)
        },
        Work(testDescription: "inserting", isWhole: false) {
            try $0.allocate(try $0.find("wide"), .none, 4096..<4096 * 9, .insert)
        },
        Work(testDescription: "zeroing", isWhole: false) {
            try $0.allocate(try $0.find("wide"), .none, 1000..<90_000, .zero)
        },
        Work(testDescription: "writing over shared blocks") {
            try $0.write(pattern(3000, seed: 5), to: try $0.find("shared"), at: 2000)
        },
        Work(testDescription: "cutting a shared block") { try $0.setSize(2500, of: try $0.find("shared")) },
        Work(testDescription: "cutting what is inline") {
            try $0.setSize(20, of: try $0.find("b", in: try $0.find("d")))
        },
        Work(testDescription: "removing an attribute") {
            try $0.removeExtendedAttribute(Array("user.long".utf8), of: try $0.find("d"))
        },
    ]

    static let ways = [
        FailingDevice.Way(call: .read), FailingDevice.Way(call: .read, times: .max),
        FailingDevice.Way(call: .write, error: .noSpace),
        FailingDevice.Way(call: .write, error: .noSpace, times: .max),
        FailingDevice.Way(call: .write, error: .commitRequired),
        FailingDevice.Way(call: .write, error: .commitRequired, times: 4),
        FailingDevice.Way(call: .write, error: .latched("test"), times: .max),
        FailingDevice.Way(call: .fill, error: .latched("test"), times: .max),
        FailingDevice.Way(call: .discard, error: .latched("test"), times: .max),
        FailingDevice.Way(call: .discard, error: .commitRequired),
        FailingDevice.Way(call: .commit, error: .latched("test"), times: .max),
        FailingDevice.Way(call: .commit, error: .commitRequired),
        FailingDevice.Way(call: .wait, error: .latched("test"), times: .max),
    ]

    /// A tree of several nodes with everything in it that operations want.
    private static let base = Result {
        let device = try freshDevice(blocks: 6000, nodeBytes: 4096)
        let files = try EncFS(mounting: device, .quiet)
        try files.write(pattern(5000, seed: 9), to: try files.make("a"), at: 0)
        let directory = try files.make("d", kind: .directory)
        try files.write(pattern(40, seed: 8), to: try files.make("b", in: directory), at: 0)
        _ = try files.make("empty", kind: .directory)
        for index in 0..<40 { try files.write(pattern(30, seed: 7), to: try files.make("filler \(index)"), at: 0) }
        let wide = try files.make("wide")
        for index: UInt64 in 0..<90 { try files.write(pattern(4096, seed: index), to: wide, at: index * 2 * 4096) }
        let shared = try files.make("shared")
        try files.clone(try files.find("a"), 0..<5000, to: shared, at: 0, [])
        try files.setExtendedAttribute(
            Array("user.long".utf8), of: directory, to: pattern(9000, seed: 3), .createOrReplace)
        // Something behind the end that a smaller filesystem has.
        try files.allocate(try files.make("reserved"), .none, 0..<4_000_000, .allocate)
        try files.write(pattern(20_000, seed: 4), to: try files.make("late"), at: 0)
        try files.remove(Name("reserved"), in: files.root, .nonDirectory)
        try files.resize(toBlocks: 5000)
        try files.close()
        return device
    }

    /// What the tree is before and after some work.
    private func states(_ work: Work) throws -> [[String]] {
        let device = try Self.base.get().crash()
        let files = try EncFS(mounting: device, .quiet)
        let before = try files.dump()
        do { try work.perform(files) } catch let error as VFSError {
            #expect(
                error.errno == .noData || error.errno == .noSuchFileOrDirectory, "\(work.testDescription): \(error)"
            )
        }
        return [before, try files.dump()]
    }

    private func everyFailure(_ work: Work, _ way: FailingDevice.Way) throws -> Int {
        let states = try states(work)
        var errors = 0, number = 0, isReached = true
        while isReached {
            let disk = try Self.base.get().crash()
            let device = FailingDevice(disk)
            device.fail(way, after: number)
            var failure: (any Error)?, files: EncFS?
            do {
                let mounted = try EncFS(mounting: device, .quiet)
                files = mounted
                try work.perform(mounted)
                try mounted.sync()
                try mounted.close()
            } catch { failure = error }
            isReached = device.endFailing() > number
            let message =
                "\(work.testDescription), \(way), call \(number): \(failure.map { "\($0)" } ?? "no error")"
            #expect(failure.map { isReached && ($0 is VFSError || $0 is EncFSError) } ?? true, "\(message)")
            if failure != nil { errors += 1 }
            // What was accepted and then lost reads as an error.
            if let files, way.call != .fill || failure == nil {
                try expect(files, states, work, "\(message): in memory")
            }
            let left = disk.crash()
            // A file that was in use without a name is noted.
            #expect(try findings(left).filter { !$0.hasPrefix("note: ") } == [], "\(message)")
            try expect(try EncFS(mounting: left, .quiet), states, work, "\(message): durable")
            number += 1 + number / 20
        }
        return errors
    }

    private func expect(_ files: EncFS, _ states: [[String]], _ work: Work, _ message: String) throws {
        let found: [String]
        do { found = try files.dump() } catch {
            // A file in the middle of an operation in several steps is not read before they are done.
            #expect(!work.isWhole && error.errno == .readOnlyFileSystem, "\(message): \(error)")
            return
        }
        // Whatever has happened, other files have not changed.
        let others = Set(states[0]).intersection(states[1])
        #expect(work.isWhole ? states.contains(found) : others.isSubset(of: found), "\(message)")
    }

    @Test(arguments: operations, ways) func underAnOperation(_ work: Work, _ way: FailingDevice.Way) throws {
        _ = try everyFailure(work, way)
    }

    @Test(arguments: longer, ways) func underALongerOne(_ work: Work, _ way: FailingDevice.Way) throws {
        let errors = try everyFailure(work, way)
        if way.times == .max, way.call == .read { #expect(errors > 0) }
    }

    /// What cannot be made is no filesystem, or an empty one.
    @Test(arguments: ways) func underFormatting(_ way: FailingDevice.Way) throws {
        var number = 0, isReached = true
        while isReached {
            let disk = SimBlockDevice(blocks: 3000), device = FailingDevice(disk)
            device.fail(way, after: number)
            var failure: (any Error)?
            do { try EncFS.format(device, .init()) } catch { failure = error }
            isReached = device.endFailing() > number
            #expect(failure.map { isReached && $0 is EncFSError } ?? true, "\(way), call \(number)")
            do {
                let files = try EncFS(mounting: disk.crash(), .quiet)
                #expect(try files.names().isEmpty)
            } catch { #expect(failure != nil, "\(way), call \(number): \(error)") }
            number += 1
        }
    }

    /// A check that cannot read something says so, and does not say that the filesystem is sound.
    @Test(arguments: ways.prefix(2)) func underACheck(_ way: FailingDevice.Way) throws {
        var number = 0, isReached = true
        while isReached {
            let device = FailingDevice(try Self.base.get())
            device.fail(way, after: number)
            var found = 0, failure: (any Error)?
            do {
                _ = try EncFS.check(device, readData: true, progress: { _, _ in }) { _ in found += 1 }
            } catch { failure = error }
            isReached = device.endFailing() > number
            // What is there when it is read again, block by block, is no finding.
            #expect((failure != nil || found > 0) == isReached || way.times == 1, "\(way), call \(number)")
            #expect(isReached || found == 0)
            number += 1 + number / 20
        }
    }
}
