import CLinux
import Foundation
import Glibc
import MemFS
import Testing

@testable import FUSEFront

/// Files through a real mount.
///
/// Nothing here maps a file into memory: a process that serves the mount deadlocks with its own page faults.
@Suite(.mounts) struct FileTests {
    @Test func bytesComeBackAsWritten() throws {
        try Mounted.with { root throws in
            let file = try OpenFile(root + "/file", O_CREAT | O_RDWR | O_EXCL)
            let bytes = pattern(3 << 20)
            try file.write(bytes, at: 0)
            #expect(try file.read(bytes.count, at: 0) == bytes)
            #expect(try file.read(100, at: bytes.count - 10) == Array(bytes.suffix(10)))
            #expect(try status(root + "/file").st_size == bytes.count)
            // Not from the page cache.
            let direct = try OpenFile(root + "/file", O_RDONLY)
            posix_fadvise(direct.descriptor, 0, 0, Int32(POSIX_FADV_DONTNEED))
            #expect(try direct.read(bytes.count, at: 0) == bytes)
        }
    }

    @Test func exclusiveCreationFailsTheSecondTime() throws {
        try Mounted.with { root throws in
            _ = try OpenFile(root + "/file", O_CREAT | O_RDWR | O_EXCL)
            #expect(failure(casemate_open(root + "/file", O_CREAT | O_RDWR | O_EXCL, 0o600)) == EEXIST)
            _ = try OpenFile(root + "/file", O_CREAT | O_RDWR)
        }
    }

    @Test func appendsGoToTheEnd() throws {
        try Mounted.with { root throws in
            let first = try OpenFile(root + "/file", O_CREAT | O_WRONLY | O_APPEND)
            let second = try OpenFile(root + "/file", O_WRONLY | O_APPEND)
            for index in 0..<50 {
                let writer = index % 2 == 0 ? first : second
                let line = Array("line \(index)\n".utf8)
                #expect(Glibc.write(writer.descriptor, line, line.count) == line.count)
            }
            let expected = (0..<50).map { "line \($0)\n" }.joined()
            #expect(try OpenFile(root + "/file", O_RDONLY).read(4096, at: 0) == Array(expected.utf8))
        }
    }

    @Test func truncationCutsAndExtendsWithZeros() throws {
        try Mounted.with { root throws in
            let file = try OpenFile(root + "/file", O_CREAT | O_RDWR)
            let bytes = pattern(10_000)
            try file.write(bytes, at: 0)
            #expect(ftruncate(file.descriptor, 4000) == 0)
            #expect(ftruncate(file.descriptor, 9000) == 0)
            #expect(try file.read(20_000, at: 0) == Array(bytes[..<4000]) + [UInt8](repeating: 0, count: 5000))
            _ = try OpenFile(root + "/file", O_WRONLY | O_TRUNC)
            #expect(try status(root + "/file").st_size == 0)
        }
    }

    @Test func anUnlinkedFileLivesUntilItIsClosed() throws {
        let filesystem = MemFS()
        try Mounted.with(filesystem) { root throws in
            let free = try filesystem.statistics().freeBlocks
            let file = try OpenFile(root + "/file", O_CREAT | O_RDWR)
            let bytes = pattern(1 << 20)
            try file.write(bytes, at: 0)
            #expect(unlink(root + "/file") == 0)
            #expect(!exists(root + "/file"))
            #expect(try file.read(bytes.count, at: 0) == bytes)
            var status = stat()
            #expect(fstat(file.descriptor, &status) == 0 && status.st_nlink == 0)
            #expect(try filesystem.statistics().freeBlocks < free)
        }
        // The mount is over: nothing holds the file any more.
        #expect(filesystem.statisticsNodes == 1)
    }

    @Test func synchronisingSucceeds() throws {
        try Mounted.with { root throws in
            let file = try OpenFile(root + "/file", O_CREAT | O_RDWR)
            try file.write([1, 2, 3], at: 0)
            #expect(fsync(file.descriptor) == 0)
            #expect(fdatasync(file.descriptor) == 0)
            let directory = try OpenFile(root, O_RDONLY | O_DIRECTORY)
            #expect(fsync(directory.descriptor) == 0)
            try Unmounting.synchronise(root)
        }
    }

    @Test func allocationHolesAndSeeks() throws {
        try Mounted.with { root throws in
            let file = try OpenFile(root + "/file", O_CREAT | O_RDWR)
            #expect(posix_fallocate(file.descriptor, 0, 1 << 20) == 0)
            #expect(try status(root + "/file").st_size == 1 << 20)
            let bytes = pattern(64 << 10)
            try file.write(bytes, at: 0)
            #expect(fallocate(file.descriptor, 3, 4096, 4096) == 0)
            #expect(try file.read(4096, at: 4096) == [UInt8](repeating: 0, count: 4096))
            #expect(try file.read(4096, at: 8192) == Array(bytes[8192..<12288]))

            let sparse = try OpenFile(root + "/sparse", O_CREAT | O_RDWR)
            try sparse.write([1], at: 1 << 30)
            #expect(try status(root + "/sparse").st_size == 1 << 30 + 1)
            let data = lseek(sparse.descriptor, 0, 3)
            #expect(data > 0 && data <= 1 << 30)
            #expect(lseek(sparse.descriptor, 0, 4) == 0)
            #expect(failure(lseek(sparse.descriptor, 1 << 31, 3)) == ENXIO)
        }
    }

    @Test func copyingWithinTheMount() throws {
        try Mounted.with { root throws in
            let bytes = pattern(1 << 20) + [UInt8](repeating: 9, count: 19 << 20)
            let source = try OpenFile(root + "/source", O_CREAT | O_RDWR)
            try source.write(bytes, at: 0)
            let target = try OpenFile(root + "/target", O_CREAT | O_RDWR)
            var from = 0
            var to = 0
            var requests = 0
            while from < bytes.count {
                let count = copyFileRange(
                    source.descriptor, &from, target.descriptor, &to, bytes.count - from, 0)
                try #require(count > 0, "copy_file_range: \(errno)")
                requests += 1
            }
            #expect(requests == 3)
            #expect(try target.read(bytes.count + 1, at: 0) == bytes)
        }
    }
}

extension MemFS {
    /// How many nodes are alive, the root with them.
    var statisticsNodes: UInt64 {
        do {
            let statistics = try statistics()
            return statistics.totalNodes - statistics.freeNodes
        } catch { return .max }
    }
}
