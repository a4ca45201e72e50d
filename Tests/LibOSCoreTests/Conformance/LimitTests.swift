import Glibc
import Testing
import VFS

/// Limits: of space (`statfs(2)`, `ENOSPC`), and what ranges of files can be made to do with it (`fallocate(2)`,
/// `ioctl_ficlonerange(2)`).
@Suite struct LimitTests {
    private static let unit: UInt64 = 4096

    /// What `statfs` tells can be written, then nothing more; a full filesystem still reads, still deletes, and what was
    /// deleted can be written again.
    @Test(arguments: Subject.having(.bounded)) func aFullFilesystemStillDeletes(_ subject: Subject) throws {
        let it = try subject.make()
        let kept = try it.file("kept", "still here")
        let before = try it.files.statistics(of: it.root)
        let told = before.availableBlocks * UInt64(before.blockBytes)
        let big = try it.file("big")
        let written = try fill(it, big)
        #expect(written >= told / 100 * 95 && written <= told, "\(written) of \(told) bytes")
        let after = try it.files.statistics(of: it.root)
        #expect(after.availableBlocks * UInt64(after.blockBytes) < told / 20)
        expect(.noSpace) { try fillSmall(it) }
        #expect(try it.text(kept) == "still here")
        #expect(try it.attributes(big).size == written)
        try it.remove("big")
        it.files.forget(big, count: 1)
        // Through a kernel the file goes when it says that nobody has it any more, which is a little later.
        let again = try it.file("again")
        var done: UInt64 = 0
        for _ in 0..<200 where done < told / 2 {
            done += try fill(it, again, from: done, to: told / 2)
            if done < told / 2 { usleep(10_000) }
        }
        #expect(done == told / 2)
        it.checkInvariants()
    }

    /// Writes until nothing more goes in.
    /// - Returns: how many bytes did.
    private func fill(
        _ it: Specimen, _ file: NodeID, from start: UInt64 = 0, to end: UInt64 = 1 << 28
    ) throws -> UInt64 {
        let piece = [UInt8](repeating: 0x5A, count: 128 << 10)
        var place = start
        return try it.withHandle(file, .write) { handle in
            while place < end {
                do {
                    let rest = piece.prefix(Int(min(end - place, UInt64(piece.count))))
                    let written = try rest.withUnsafeBytes {
                        try it.files.write(file, handle, at: .offset(place), $0, [])
                    }
                    place += UInt64(written.count)
                } catch let error as VFSError where error.errno == .noSpace {
                    break
                }
            }
            return place - start
        }
    }

    /// Takes the last blocks, one at a time, in files of their own.
    private func fillSmall(_ it: Specimen) throws {
        for index in 0..<20_000 {
            try it.write(it.file("small-\(index)"), at: 0, [UInt8](repeating: 1, count: 4096))
        }
    }

    @Test(arguments: Subject.having(.shifting)) func rangesAreTakenOutAndPutIn(_ subject: Subject) throws {
        let it = try subject.make()
        let file = try it.file("f")
        let contents = (0..<5 * Self.unit + 100).map { UInt8(truncatingIfNeeded: $0 / Self.unit + 1) }
        try it.write(file, at: 0, contents)
        try it.withHandle(file, .write) { handle in
            func shift(_ range: Range<UInt64>, _ mode: AllocationMode) throws {
                try it.files.allocate(file, handle, range, mode)
            }
            try shift(Self.unit..<3 * Self.unit, .collapse)
            var expected = contents
            expected.removeSubrange(4096..<3 * 4096)
            #expect(try it.read(file) == expected)
            try shift(Self.unit..<2 * Self.unit, .insert)
            expected.insert(contentsOf: [UInt8](repeating: 0, count: 4096), at: 4096)
            #expect(try it.read(file) == expected)
            #expect(try it.attributes(file).size == UInt64(expected.count))
            // Not of whole blocks, and to or behind the end of file: fallocate(2).
            expect(.invalidArgument) { try shift(100..<100 + Self.unit, .collapse) }
            expect(.invalidArgument) { try shift(0..<100, .insert) }
            expect(.invalidArgument) { try shift(3 * Self.unit..<5 * Self.unit, .collapse) }
            expect(.invalidArgument) { try shift(8 * Self.unit..<9 * Self.unit, .insert) }
            expect(.fileTooLarge) {
                try shift(0..<it.files.traits.maximumFileBytes / Self.unit * Self.unit, .insert)
            }
            #expect(try it.read(file) == expected)
        }
        it.checkInvariants()
    }

    @Test(arguments: Subject.having(.sharing)) func sharedBlocksPartWhenWritten(_ subject: Subject) throws {
        let it = try subject.make()
        let contents = (0..<4 * Self.unit + 10).map { UInt8(truncatingIfNeeded: $0 &* 3) }
        let (source, target) = (try it.file("source"), try it.file("target"))
        try it.write(source, at: 0, contents)
        try it.files.clone(source, 0..<UInt64(contents.count), to: target, at: 0, [])
        #expect(try it.read(target) == contents)
        try it.write(source, at: Self.unit + 5, [1, 2, 3])
        try it.write(target, at: 3 * Self.unit, [7])
        var (first, second) = (contents, contents)
        first.replaceSubrange(4101..<4104, with: [1, 2, 3])
        second[3 * 4096] = 7
        #expect(try it.read(source) == first)
        #expect(try it.read(target) == second)
        try it.remove("source")
        it.files.forget(source, count: 1)
        #expect(try it.read(target) == second)
        expect(.invalidArgument) { try it.files.clone(target, 0..<Self.unit, to: target, at: 0, []) }
        expect(.invalidArgument) { try it.files.clone(target, 5..<Self.unit, to: target, at: 8 * Self.unit, []) }
        let directory = try it.directory("d")
        expect(.isDirectory) { try it.files.clone(target, 0..<Self.unit, to: directory, at: 0, []) }
        it.checkInvariants()
    }
}
