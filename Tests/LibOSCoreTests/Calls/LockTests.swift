import Foundation
import LibOSCore
import Testing
import VFS

/// Advisory locks: `flock(2)` and `fcntl(2)`.
@Suite struct LockTests {
    @Test func wholeFileLocksBelongToTheOpenFile() throws {
        let it = Fixture()
        try it.root.put("/f")
        let first = try it.root.open("/f")
        let twin = try it.root.dup(first)
        let second = try it.root.open("/f")
        try it.root.flock(first, .exclusive)
        try it.root.flock(twin, .exclusive, waits: false)
        expect(.resourceTemporarilyUnavailable) { try it.root.flock(second, .shared, waits: false) }
        try it.root.flock(twin, .shared)
        try it.root.flock(second, .shared, waits: false)
        expect(.resourceTemporarilyUnavailable) { try it.root.flock(second, .exclusive, waits: false) }
        // The failed conversion gave the shared lock away.
        try it.root.flock(first, .exclusive, waits: false)
        try it.root.close(first)
        expect(.resourceTemporarilyUnavailable) { try it.root.flock(second, .shared, waits: false) }
        try it.root.close(twin)
        try it.root.flock(second, .exclusive, waits: false)
        try it.root.flock(second, nil)
    }

    @Test func rangesSplitAndMerge() throws {
        let it = Fixture()
        try it.root.put("/f")
        let one = it.root
        let two = FileContext(it.namespace)
        let mine = try one.open("/f", .readWrite)
        let theirs = try two.open("/f", .readWrite)
        func inTheWay(_ start: Int64, _ length: Int64, _ kind: LockKind = .exclusive) throws -> FileLock? {
            try two.lockInTheWay(theirs, of: FileLock(kind, start: start, length: length))
        }
        try one.lock(mine, FileLock(.exclusive, start: 10, length: 10))
        try one.lock(mine, FileLock(.exclusive, start: 20, length: 10))
        #expect(try inTheWay(0, 100) == FileLock(.exclusive, start: 10, length: 20))
        try one.unlock(mine, start: 15, length: 5)
        #expect(try inTheWay(0, 100) == FileLock(.exclusive, start: 10, length: 5))
        #expect(try inTheWay(15, 5) == nil)
        #expect(try inTheWay(16, 100) == FileLock(.exclusive, start: 20, length: 10))
        try one.lock(mine, FileLock(.shared, start: 22, length: 2))
        #expect(try inTheWay(22, 2, .shared) == nil)
        #expect(try inTheWay(22, 2) == FileLock(.shared, start: 22, length: 2))
        #expect(try inTheWay(24, 0) == FileLock(.exclusive, start: 24, length: 6))
        try one.lock(mine, FileLock(.exclusive, start: 200, length: -50))
        #expect(try inTheWay(100, 100) == FileLock(.exclusive, start: 150, length: 50))
        try one.lock(mine, FileLock(.exclusive, start: 300))
        #expect(try inTheWay(1 << 60, 1) == FileLock(.exclusive, start: 300, length: 0))
        expect(.resourceTemporarilyUnavailable) { try two.lock(theirs, FileLock(.shared, start: 29, length: 1)) }
        try two.lock(theirs, FileLock(.shared, start: 30, length: 120))
        expect(.resourceTemporarilyUnavailable) { try one.lock(mine, FileLock(.exclusive)) }
        expect(.invalidArgument) { try one.lock(mine, FileLock(.shared, start: -1)) }
        expect(.invalidArgument) { try one.lock(mine, FileLock(.shared, start: 5, length: -6)) }
        expect(.overflow) { try one.lock(mine, FileLock(.shared, start: Int64.max, length: 2)) }
    }

    @Test func rangeLocksGoWithAnyDescriptor() throws {
        let it = Fixture()
        try it.root.put("/f")
        let other = FileContext(it.namespace)
        let theirs = try other.open("/f", .readWrite)
        let first = try it.root.open("/f", .readWrite)
        try it.root.lock(first, FileLock(.exclusive))
        expect(.resourceTemporarilyUnavailable) { try other.lock(theirs, FileLock(.shared)) }
        try it.root.close(try it.root.open("/f"))
        try other.lock(theirs, FileLock(.shared))
        // A copy of a context has none of its locks.
        let copy = other.duplicate()
        expect(.resourceTemporarilyUnavailable) { try copy.lock(theirs, FileLock(.exclusive)) }
        let reader = try it.root.open("/f", .readOnly)
        let writer = try it.root.open("/f", .writeOnly)
        expect(.badFileDescriptor) { try it.root.lock(reader, FileLock(.exclusive)) }
        expect(.badFileDescriptor) { try it.root.lock(writer, FileLock(.shared)) }
        var gone: FileContext? = FileContext(it.namespace)
        let held = try #require(try gone?.open("/f", .readWrite))
        try gone?.lock(held, FileLock(.shared))
        try other.unlock(theirs)
        expect(.resourceTemporarilyUnavailable) { try it.root.lock(writer, FileLock(.exclusive)) }
        gone = nil
        try it.root.lock(writer, FileLock(.exclusive))
    }

    @Test func waitersGetTheirTurn() throws {
        let it = Fixture()
        try it.root.put("/f")
        let file = try it.root.open("/f", .readWrite)
        try it.root.lock(file, FileLock(.exclusive))
        let other = FileContext(it.namespace)
        let theirs = try other.open("/f", .readWrite)
        ConcurrencyTests.together(2) { index in
            if index == 0 {
                usleep(50_000)
                try it.root.unlock(file)
            } else {
                try other.lock(theirs, FileLock(.exclusive), waits: true)
                try it.root.access("/f", .read)
            }
        }
        expect(.resourceTemporarilyUnavailable) { try it.root.lock(file, FileLock(.shared)) }
    }

    @Test func deadlocksAreFound() throws {
        let it = Fixture()
        try it.root.put("/f")
        let contexts = [it.root, FileContext(it.namespace)]
        let files = try contexts.map { try $0.open("/f", .readWrite) }
        for index in 0..<2 {
            try contexts[index].lock(files[index], FileLock(.exclusive, start: Int64(index), length: 1))
        }
        // Each wants the other's byte: one is refused, gives its own back, and the other goes on.
        ConcurrencyTests.together(2) { index in
            do {
                try contexts[index].lock(
                    files[index], FileLock(.exclusive, start: Int64(1 - index), length: 1), waits: true)
            } catch let error as VFSError where error.errno == .deadlock {
                try contexts[index].unlock(files[index])
                return
            }
            try contexts[index].unlock(files[index])
        }
        #expect(try contexts[0].lockInTheWay(files[0], of: FileLock(.exclusive)) == nil)
    }
}
