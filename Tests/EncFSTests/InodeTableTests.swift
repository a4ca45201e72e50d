import Testing
import VFS

@testable import EncFS

/// Who refers to which inode: counts are right whether or not the inode has an object of its own at the time.
@Suite struct InodeTableTests {
    private let node = NodeID(rawValue: 7)

    /// Lookups come and go while calls make the object and let it go again.
    @Test func lookupsOutliveTheObject() throws {
        let table = InodeTable()
        table.addLookup(7)
        table.addLookup(7)
        let first = try table.use(node)
        table.addLookup(7)
        #expect(!table.release(first))
        let second = try table.use(node)
        #expect(second !== first, "nothing is kept of an inode that is only looked up")
        #expect(table.forget(7, count: 2) == nil)
        #expect(!table.release(second))
        #expect(table.isReferenced(7) && table.count == 1)
        #expect(table.forget(7, count: 1) == nil)
        #expect(!table.isReferenced(7) && table.count == 0)
        // More than is held.
        table.addLookup(7)
        #expect(table.forget(7, count: 5) == nil)
        #expect(table.count == 0)
    }

    @Test func theLastReferenceOfAnUnlinkedInodeDeletesIt() throws {
        let table = InodeTable()
        table.addLookup(7)
        #expect(table.unlinked(7) == nil)
        let inode = try table.use(node)
        #expect(!table.release(inode))
        #expect(table.forget(7, count: 1) === inode)
        #expect(throws: VFSError.self) { try table.use(node) }
        table.deleted(inode)
        #expect(table.count == 0)
    }

    /// Who comes next finishes what a truncation or a shift began, so it is not forgotten with the last reference.
    @Test func workThatIsLeftKeepsTheObject() throws {
        let table = InodeTable()
        for leave in [{ $0.trimFrom = 3 }, { $0.isShifting = true }] as [(LiveInode) -> Void] {
            let inode = try table.use(node)
            leave(inode)
            #expect(!table.release(inode))
            let again = try table.use(node)
            #expect(again === inode)
            again.trimFrom = nil
            again.isShifting = false
            #expect(!table.release(again))
            #expect(table.count == 0)
        }
    }

    @Test func timesThatAreNotStoredKeepTheObject() throws {
        let table = InodeTable()
        let time = Timestamp(seconds: 5, nanoseconds: 0)
        table.noteTimes(7) { $0.access = time }
        table.addLookup(7)
        #expect(table.forget(7, count: 1) == nil)
        let stored = try #require(table.times(7))
        #expect(stored.access == time)
        table.timesStored(7, stored)
        #expect(table.count == 0 && !table.hasPendingTimes)
    }
}
