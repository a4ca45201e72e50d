import SimHost
import Testing

@testable import SecureBlock

/// Each class of structure destroyed: what is still in the log comes back, what is not reads as an error and is named.
@Suite struct SalvageTests {
    /// Salvages an image whose damage took no data: everything must be there, and known to be.
    private func expectWhole(_ subject: SalvageSubject, _ image: SparseBytes, _ label: String) throws
        -> SalvageReport
    {
        let run = try SalvageRun(image, anchor: subject.anchor)
        for block in 0..<SalvageSubject.blocks {
            let found = try run.block(block, is: subject.model[Int(block)])
            if found != .value { Issue.record("\(label): block \(block) is \(found)") }
        }
        #expect(run.report.isWhole, "\(label): \(run.report)")
        #expect(run.report.freshness == .anchored, "\(label): \(run.report.freshness)")
        #expect(run.report.recoveredBlocks == UInt64(subject.places.count), "\(label)")
        return run.report
    }

    @Test(arguments: [1, 2] as [UInt64], [true, false])
    func everythingComesBackWithoutRoots(seed: UInt64, isClosed: Bool) throws {
        let subject = try SalvageSubject(seed: seed, isClosed: isClosed)
        let sound = try expectWhole(subject, subject.image, "sound")
        #expect(sound.commit >= subject.commit)
        var image = subject.image
        SalvageSubject.destroy(&image, SalvageSubject.roots)
        let report = try expectWhole(subject, image, "roots")
        if case .rootCopy = report.base {} else { Issue.record("base \(report.base)") }
        #expect(report.commit == sound.commit && report.branches.isEmpty)
        // The superblocks too: the segment size comes from the records, the volume from its key slot.
        SalvageSubject.destroy(&image, Layout.superblocks)
        let bare = try expectWhole(subject, image, "roots and superblocks")
        #expect(!bare.hadSuperblock && bare.segmentBytes == 16 * blockBytes && bare.isSizeKnown)
    }

    /// All tables gone, which recovery needs and salvage does not.
    @Test(arguments: [4, 5] as [UInt64], [true, false])
    func tablesAreNotNeeded(seed: UInt64, isClosed: Bool) throws {
        let subject = try SalvageSubject(seed: seed, isClosed: isClosed)
        var image = subject.image
        SalvageSubject.destroy(
            &image, try subject.blocks(of: .tablePage) + subject.blocks(of: .epochPage) + SalvageSubject.roots)
        let run = try SalvageRun(image, anchor: subject.anchor)
        for block in 0..<SalvageSubject.blocks {
            let found = try run.block(block, is: subject.model[Int(block)])
            if found != .value { Issue.record("block \(block) is \(found): \(run.report)"); break }
        }
        #expect(run.report.lostTablePages > 0 && run.report.freshness == .anchored)
    }

    /// Pages of the map gone, all of a level: every block that has a header is found by it.
    @Test(arguments: [0, 1] as [UInt8], [true, false])
    func mapPagesAreRebuiltFromRecords(level: UInt8, isClosed: Bool) throws {
        for seed in [6] as [UInt64] {
            let subject = try SalvageSubject(seed: seed, isClosed: isClosed)
            var image = subject.image
            let pages = try subject.blocks(of: .mapPage, level: level)
            // 1100 blocks are three leaves, all of them in the root: there is no level above.
            #expect(pages.isEmpty == (level > 0))
            SalvageSubject.destroy(&image, pages)
            let run = try SalvageRun(image, anchor: subject.anchor)
            for block in subject.places.keys.sorted() {
                let found = try run.block(block, is: subject.model[Int(block)])
                if found != .value { Issue.record("seed \(seed): block \(block) is \(found)") }
            }
            try expectHonesty(subject, run, "seed \(seed)")
            #expect(run.report.lostMapPages == (level > 0 ? 0 : 3))
        }
    }

    /// What comes back is right, or lost, or an earlier value that the report does not vouch for.
    private func expectHonesty(_ subject: SalvageSubject, _ run: SalvageRun, _ label: String) throws {
        for block in 0..<SalvageSubject.blocks {
            guard try run.block(block, is: subject.model[Int(block)]) == .other else { continue }
            let isSaid =
                run.report.missingRecords > 0 || run.report.commit < subject.commit
                || run.report.doubtful.contains { $0.contains(block) }
            let isOld = try subject.past[Int(block)].contains { try run.block(block, is: $0) == .value }
            #expect(isSaid && isOld, "\(label): block \(block): said \(isSaid), old \(isOld)")
        }
    }

    /// Segments lost at random, with the roots or without.
    @Test(arguments: 20..<29 as Range<UInt64>)
    func randomSegmentsAreSurvived(seed: UInt64) throws {
        let subject = try SalvageSubject(seed: seed, isClosed: seed % 2 == 0)
        var generator = SimRandom(seed: seed)
        var image = subject.image
        var destroyed: Set<UInt64> = []
        for _ in 0..<Int.random(in: 1...6, using: &generator) {
            let segment = UInt32.random(in: 0..<subject.geometry.segmentCount, using: &generator)
            let first = subject.geometry.physical(LogPosition(segment: segment, block: 0)).rawValue
            destroyed.formUnion(first..<first + 16)
        }
        if seed % 3 == 0 { destroyed.formUnion(SalvageSubject.roots) }
        SalvageSubject.destroy(&image, destroyed.sorted())
        let run = try SalvageRun(image, anchor: subject.anchor)
        try expectHonesty(subject, run, "seed \(seed)")
        // As long as the state did not have to end earlier, whatever is still there comes back.
        if run.report.commit >= subject.commit {
            for (block, place) in subject.places.sorted(by: { $0.key < $1.key })
            where !destroyed.contains(place.header) && !destroyed.contains(place.data) {
                let found = try run.block(block, is: subject.model[Int(block)])
                if found != .value { Issue.record("seed \(seed): block \(block) is \(found)") }
            }
        }
        // What the cleaner moved may still be where it was.
        let elsewhere = try subject.copies(besides: destroyed)
        for (block, place) in subject.places
        where (destroyed.contains(place.header) || destroyed.contains(place.data)) && !elsewhere.contains(block) {
            let found = try run.block(block, is: subject.model[Int(block)])
            #expect(found != .value, "seed \(seed): block \(block) cannot be there")
        }
    }

    /// One record's header gone: its blocks are lost, by number, and nothing else is.
    @Test(arguments: [40, 41] as [UInt64])
    func oneHeaderLosesItsBlocks(seed: UInt64) throws {
        let subject = try SalvageSubject(seed: seed, isClosed: true)
        let header = try #require(subject.places[subject.places.keys.sorted()[20]]).header
        let gone = subject.places.filter { $0.value.header == header }.map(\.key).sorted()
        var image = subject.image
        SalvageSubject.destroy(&image, [header] + SalvageSubject.roots)
        let run = try SalvageRun(image, anchor: subject.anchor)
        let named = run.report.lost.flatMap { lost in
            (lost.first.rawValue..<lost.first.rawValue + lost.count).map { (block: $0, reason: lost.reason) }
        }
        #expect(named.map(\.block) == gone && named.allSatisfy { $0.reason == .header })
        #expect(run.report.doubtfulBlocks == 0 && run.report.missingRecords == 0)
        for block in 0..<SalvageSubject.blocks {
            let found = try run.block(block, is: subject.model[Int(block)])
            #expect(found == (gone.contains(block) ? .lost : .value), "\(run.report)")
            if found != (gone.contains(block) ? .lost : .value) { break }
        }
    }

    /// The end of the log gone: the state is an earlier commit, whole, and the anchor says that it is.
    @Test func aCutTailEndsAtACommit() throws {
        let subject = try SalvageSubject(seed: 50, isClosed: false)
        let last = try #require(subject.anchor).sequence.rawValue
        let tail = try subject.headers().filter { $0.sequence.rawValue + 3 >= last }
        var image = subject.image
        SalvageSubject.destroy(
            &image, tail.map { subject.geometry.physical($0.position).rawValue } + SalvageSubject.roots)
        let run = try SalvageRun(image, anchor: subject.anchor)
        let anchor = try #require(subject.anchor).sequence
        #expect(run.report.freshness == .behind(anchor: anchor))
        #expect(run.report.commit < anchor && run.report.isWhole)
        for block in 0..<SalvageSubject.blocks {
            let isPast = try subject.past[Int(block)].contains { try run.block(block, is: $0) == .value }
            #expect(isPast)
        }
    }

    @Test func nothingLeftIsSaid() throws {
        let subject = try SalvageSubject(seed: 60, isClosed: true, openings: 1, steps: 10)
        var image = subject.image
        let log = subject.geometry.firstSegmentBlock..<UInt64(image.byteCount / blockBytes)
        SalvageSubject.destroy(&image, Array(log))
        #expect(throws: VolumeError.self) { try SalvageRun(image) }
        // Another volume's key opens nothing of it.
        #expect(throws: VolumeError.wrongCredential) {
            try Salvage.run(
                MemoryBlockHost(contents: subject.image), credential: DeviceTesting.keyFile(3),
                to: MemoryBlockHost(),
                newCredential: DeviceTesting.keyFile())
        }
        // Nothing is overwritten.
        #expect(throws: VolumeError.notEmpty) {
            try Salvage.run(
                MemoryBlockHost(contents: subject.image), credential: DeviceTesting.keyFile(),
                to: MemoryBlockHost(contents: subject.image), newCredential: DeviceTesting.keyFile())
        }
    }

    /// No root anywhere, not even a copy in the log: the size is not known, and everything that a record tells of is there.
    @Test(arguments: [true, false]) func noRootIsLeft(isClosed: Bool) throws {
        let subject = try SalvageSubject(seed: 70, isClosed: isClosed)
        var image = subject.image
        SalvageSubject.destroy(&image, try subject.blocks(of: .root) + SalvageSubject.roots)
        let run = try SalvageRun(image, anchor: subject.anchor)
        #expect(run.report.base == .none && !run.report.isSizeKnown)
        #expect(run.device.logicalBlockCount >= SalvageSubject.blocks)
        for block in subject.places.keys.sorted() {
            let found = try run.block(block, is: subject.model[Int(block)])
            if found != .value { Issue.record("block \(block) is \(found)") }
        }
    }

    /// Ranges that were marked lost, whole pages of the map and parts of them, are lost in the new volume too, and what was
    /// discarded or written over them since is not; whatever is left to tell it from.
    @Test(arguments: [0, 1, 2]) func whatWasLostStaysLost(damage: Int) throws {
        let blocks = 4 * UInt64(MapEntry.perPage)
        let host = MemoryBlockHost()
        try DeviceTesting.create(host, blocks: blocks)
        let device = try DeviceTesting.open(host)
        for block in stride(from: UInt64(0), to: blocks, by: 100) {
            try DeviceTesting.write(device, block, block + 1)
        }
        try device.commit().wait()
        try device.checkpointNow()
        try device.markLost(LogicalBlock(300), count: 1500)
        try device.discard(LogicalBlock(600), count: 10)
        try DeviceTesting.write(device, 700, 7)
        try device.commit().wait()
        if damage == 0 { try device.checkpointNow() }
        var image = host.contents
        try device.close()
        if damage == 2 {
            let subject = try ForgedVolume(image)
            SalvageSubject.destroy(
                &image, subject.root.mapTop.filter(\.exists).map(\.block.rawValue) + Layout.rootSlots)
        }
        let run = try SalvageRun(image)
        for block in [300, 599, 610, 699, 701, 1024, 1799] as [UInt64] {
            #expect(try run.block(block, is: 0) == .lost, "block \(block)")
        }
        #expect(try run.block(700, is: 7) == .value && run.block(200, is: 201) == .value)
        #expect(try run.block(605, is: 0) == .value && run.block(1900, is: 1901) == .value)
    }
}
