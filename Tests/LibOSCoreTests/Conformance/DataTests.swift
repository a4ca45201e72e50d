import Testing
import VFS

/// Bytes of files: `read(2)`, `write(2)`, `truncate(2)`, `fallocate(2)`, `lseek(2)`.
@Suite struct DataTests {
    @Test(arguments: Subject.all) func readsGiveWhatWasWritten(_ subject: Subject) throws {
        let it = try subject.make()
        let file = try it.file("a")
        var model: [UInt8] = []
        for (offset, count) in [(0, 10), (4090, 20), (3, 4), (100_000, 70_000), (8192, 4096), (169_999, 2)] {
            let bytes = (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 31 &+ offset) }
            let written = try it.write(file, at: UInt64(offset), bytes)
            #expect(written.count == count)
            #expect(written.end == UInt64(offset + count))
            if model.count < offset + count { model += Array(repeating: 0, count: offset + count - model.count) }
            model.replaceSubrange(offset..<offset + count, with: bytes)
            #expect(try it.read(file, count: 1 << 18) == model)
            #expect(try it.attributes(file).size == UInt64(model.count))
        }
        #expect(try it.read(file, at: 170_000) == [UInt8](model[170_000...]))
        #expect(try it.read(file, at: UInt64(model.count)).isEmpty)
        #expect(try it.read(file, at: 1 << 40).isEmpty)
        #expect(try it.read(file, at: 5, count: 0).isEmpty)
        it.checkInvariants()
    }

    @Test(arguments: Subject.all) func appendsGoToTheEnd(_ subject: Subject) throws {
        let it = try subject.make()
        let file = try it.file("a", "12345")
        try it.withHandle(file, [.write, .append]) { handle throws in
            let written = try Array("678".utf8).withUnsafeBytes {
                try it.files.write(file, handle, at: .end, $0, [])
            }
            #expect(written.end == 8)
        }
        #expect(try it.text(file) == "12345678")
    }

    @Test(arguments: Subject.all) func emptyWriteChangesNothing(_ subject: Subject) throws {
        let it = try subject.make()
        let file = try it.file("a", "xyz")
        let before = try it.attributes(file)
        #expect(try it.write(file, at: 1000, []).count == 0)
        #expect(try it.attributes(file) == before)
    }

    @Test(arguments: Subject.all) func shrunkAndGrownFileReadsZeros(_ subject: Subject) throws {
        let it = try subject.make()
        let file = try it.file("a")
        try it.write(file, at: 0, Array(repeating: 0xFF, count: 10_000))
        for size in [UInt64(9_000), 5_000, 4_096, 100, 0] {
            try it.set(file) { $0.size = size }
            #expect(try it.attributes(file).size == size)
            try it.set(file) { $0.size = 10_000 }
            let expected =
                Array(repeating: 0xFF, count: Int(size)) + [UInt8](repeating: 0, count: 10_000 - Int(size))
            #expect(try it.read(file) == expected)
        }
        it.checkInvariants()
    }

    @Test(arguments: Subject.all) func openTruncates(_ subject: Subject) throws {
        let it = try subject.make()
        let file = try it.file("a", "contents")
        try it.withHandle(file, [.write, .truncate]) { _ in }
        #expect(try it.attributes(file).size == 0)
    }

    @Test(arguments: Subject.all) func onlyFilesHaveBytes(_ subject: Subject) throws {
        let it = try subject.make()
        let directory = try it.directory("d")
        expect(.isDirectory) { try it.files.open(directory, .write) }
        expect(.isDirectory) { try it.set(directory) { $0.size = 0 } }
        let file = try it.file("f")
        expect(.notDirectory) { try it.files.open(file, [.read, .directory]) }
    }

    @Test(arguments: Subject.having(.hugeFiles)) func hugeOffsets(_ subject: Subject) throws {
        let it = try subject.make()
        let file = try it.file("a")
        let maximum = it.files.traits.maximumFileBytes
        for offset in [UInt64(4 << 30) - 3, 1 << 40, maximum - 10] {
            try it.write(file, at: offset, Array("abcdef".utf8))
            #expect(try it.read(file, at: offset - 4, count: 10) == [0, 0, 0, 0] + Array("abcdef".utf8))
            #expect(try it.attributes(file).size == offset + 6)
        }
        // Across the limit: part of the way, or not at all. The kernel itself refuses what would end beyond 2^63 - 1.
        let refusal = it.files is KernelClient ? Errno.invalidArgument : .fileTooLarge
        do {
            #expect(try it.write(file, at: maximum - 2, Array("xyz".utf8)).count == 2)
        } catch let error as VFSError {
            #expect(error.errno == refusal)
            try it.write(file, at: maximum - 2, Array("xy".utf8))
        }
        expect(refusal) { try it.write(file, at: maximum, [1]) }
        expect(.fileTooLarge) { try it.write(file, at: UInt64.max, [1]) }
        expect(.fileTooLarge) { try it.set(file) { $0.size = maximum + 1 } }
        #expect(try it.attributes(file).size == maximum)
        #expect(try it.attributes(file).blocks512 < 1 << 12)
        it.checkInvariants()
    }

    @Test(arguments: Subject.having(.holes)) func holesAreFound(_ subject: Subject) throws {
        let it = try subject.make()
        let file = try it.file("a")
        let unit: UInt64 = 1 << 16
        let data = [UInt8](repeating: 7, count: Int(unit))
        try it.write(file, at: unit, data)
        try it.write(file, at: 5 * unit, data)
        try it.set(file) { $0.size = 8 * unit }
        try it.withHandle(file, .read) { handle throws in
            func seek(_ offset: UInt64, _ target: SeekTarget) throws -> UInt64 {
                try it.files.seek(file, handle, from: offset, to: target)
            }
            #expect(try seek(0, .data) == unit)
            #expect(try seek(unit + 5, .data) == unit + 5)
            #expect(try seek(2 * unit, .data) == 5 * unit)
            #expect(try seek(0, .hole) == 0)
            #expect(try seek(unit, .hole) == 2 * unit)
            #expect(try seek(5 * unit + 9, .hole) == 6 * unit)
            #expect(try seek(7 * unit + 1, .hole) == 7 * unit + 1)
            expect(.noSuchAddressOrDevice) { try seek(6 * unit, .data) }
            expect(.noSuchAddressOrDevice) { try seek(8 * unit, .hole) }
            expect(.noSuchAddressOrDevice) { try seek(8 * unit, .data) }
        }
        #expect(try it.attributes(file).blocks512 < 8 * unit / 512)
    }

    /// A file without holes has one at its end.
    @Test(arguments: Subject.having(.holes)) func endOfFileIsAHole(_ subject: Subject) throws {
        let it = try subject.make()
        let file = try it.file("a", "no holes here")
        try it.withHandle(file, .read) { handle throws in
            #expect(try it.files.seek(file, handle, from: 3, to: .hole) == 13)
            #expect(try it.files.seek(file, handle, from: 3, to: .data) == 3)
        }
    }

    @Test(arguments: Subject.having(.allocation)) func allocationModes(_ subject: Subject) throws {
        let it = try subject.make()
        let file = try it.file("a")
        let unit: UInt64 = 4096
        try it.write(file, at: 0, [UInt8](repeating: 9, count: Int(4 * unit)))
        try it.withHandle(file, .write) { handle throws in
            func allocate(_ range: Range<UInt64>, _ mode: AllocationMode) throws {
                try it.files.allocate(file, handle, range, mode)
            }
            try allocate(0..<6 * unit, .allocateKeepingSize)
            #expect(try it.attributes(file).size == 4 * unit)
            try allocate(0..<5 * unit, .allocate)
            #expect(try it.attributes(file).size == 5 * unit)
            #expect(try it.attributes(file).blocks512 >= 40)
            try allocate(unit + 10..<3 * unit + 10, .punchHole)
            #expect(try it.attributes(file).size == 5 * unit)
            try allocate(3 * unit + 100..<3 * unit + 200, .zeroKeepingSize)
            try allocate(5 * unit - 5..<5 * unit + 7, .zero)
            #expect(try it.attributes(file).size == 5 * unit + 7)
            expect(.invalidArgument) { try allocate(5..<5, .allocate) }
            expect(.fileTooLarge) { try allocate(0..<UInt64.max, .allocate) }
        }
        var model = [UInt8](repeating: 9, count: Int(4 * unit)) + [UInt8](repeating: 0, count: Int(unit) + 7)
        for index in Int(unit) + 10..<Int(3 * unit) + 10 { model[index] = 0 }
        for index in Int(3 * unit) + 100..<Int(3 * unit) + 200 { model[index] = 0 }
        #expect(try it.read(file) == model)
        let directory = try it.directory("d")
        #expect(throws: VFSError.self) { try it.files.allocate(directory, .none, 0..<10, .allocate) }
        it.checkInvariants()
    }

    @Test(arguments: Subject.all) func commitsReturn(_ subject: Subject) throws {
        let it = try subject.make()
        let file = try it.file("a", "durable")
        try it.files.commit(file, dataOnly: true).wait()
        try it.files.commit(file, dataOnly: false).wait()
        try it.files.commit(it.root, dataOnly: false).wait()
        try it.files.commit(nil, dataOnly: false).wait()
    }

    @Test(arguments: Subject.all) func statisticsAreHonest(_ subject: Subject) throws {
        let it = try subject.make()
        let before = try it.files.statistics()
        #expect(before.blockBytes > 0)
        #expect(before.freeBlocks <= before.totalBlocks)
        #expect(before.availableBlocks <= before.freeBlocks)
        #expect(before.maximumNameBytes == 255)
        #expect(before.freeNodes <= before.totalNodes)
    }
}
