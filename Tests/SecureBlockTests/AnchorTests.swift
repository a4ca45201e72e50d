import Foundation
import Testing

@testable import SecureBlock

@Suite struct AnchorTests {
    let scratch: Scratch
    let volume: VolumeIdentifier
    var path: String { scratch.file("anchor") }

    init() throws {
        scratch = try Scratch()
        volume = try .random()
    }

    private func value(_ sequence: UInt64) -> AnchorValue {
        AnchorValue(volume: volume, sequence: SequenceNumber(sequence), tag: Tag(low: sequence, high: ~sequence))
    }

    private func stored() throws -> [UInt8] {
        [UInt8](try Data(contentsOf: URL(fileURLWithPath: path)))
    }

    private func store(_ bytes: [UInt8]) throws {
        try Data(bytes).write(to: URL(fileURLWithPath: path))
    }

    /// An anchor after `count` updates.
    private func anchor(updates count: UInt64) throws -> FileAnchor {
        let anchor = FileAnchor(path: path)
        for sequence in 0..<count {
            try anchor.compareAndSwap(expected: sequence == 0 ? nil : value(sequence), new: value(sequence + 1))
        }
        return anchor
    }

    @Test func remembersTheLastValue() throws {
        let anchor = FileAnchor(path: path)
        #expect(try anchor.load() == nil)
        #expect(!FileManager.default.fileExists(atPath: path), "loading makes no file")
        for sequence: UInt64 in 1...5 {
            try anchor.compareAndSwap(expected: sequence == 1 ? nil : value(sequence - 1), new: value(sequence))
            #expect(try anchor.load() == value(sequence))
            #expect(try FileAnchor(path: path).load() == value(sequence))
        }
        #expect(anchor.description == "file \(path)")
        #expect(try stored().count == 8192)
    }

    @Test func refusesWhatItDoesNotExpect() throws {
        for anchor in [FileAnchor(path: path), MemoryAnchor()] as [any Anchor] {
            #expect(throws: AnchorError.conflict(found: nil)) {
                try anchor.compareAndSwap(expected: value(1), new: value(2))
            }
            try anchor.compareAndSwap(expected: nil, new: value(1))
            #expect(throws: AnchorError.conflict(found: value(1))) {
                try anchor.compareAndSwap(expected: nil, new: value(2))
            }
            #expect(throws: AnchorError.conflict(found: value(1))) {
                try anchor.compareAndSwap(expected: value(3), new: value(2))
            }
            #expect(try anchor.load() == value(1))
        }
    }

    /// A crash while a record is written: any prefix, any suffix of it, by bytes. The old value or the new one is there,
    /// and the anchor goes on from it.
    @Test(arguments: [UInt64(1), 2, 3]) func aTornUpdateLeavesTheOldValueOrTheNew(updates: UInt64) throws {
        _ = try anchor(updates: updates)
        let before = try stored()
        try FileAnchor(path: path).compareAndSwap(expected: value(updates), new: value(updates + 1))
        let after = try stored()
        var seen: Set<UInt64> = []
        let offset = Int(updates % 2) * 4096
        for cut in 0...512 {
            for image in [
                [UInt8](before[..<offset]) + after[offset..<offset + cut] + before[(offset + cut)...],
                [UInt8](before[..<(offset + cut)]) + after[(offset + cut)...],
            ] {
                try store(image)
                let found = try #require(try FileAnchor(path: path).load())
                #expect([value(updates), value(updates + 1)].contains(found))
                seen.insert(found.sequence.rawValue)
            }
        }
        #expect(seen == [updates, updates + 1])
        try store([UInt8](before[..<offset]) + after[offset..<offset + 100] + before[(offset + 100)...])
        let anchor = FileAnchor(path: path)
        try anchor.compareAndSwap(expected: value(updates), new: value(9))
        #expect(try anchor.load() == value(9))
    }

    /// A crash while the file is made: no value, or the first.
    @Test func aTornBeginningIsNoValueOrTheFirst() throws {
        _ = try anchor(updates: 1)
        let whole = try stored()
        let zeros = [UInt8](repeating: 0, count: 8192)
        for image in [[], [UInt8](zeros[..<4096]), zeros, [0]] {
            try store(image)
            #expect(try FileAnchor(path: path).load() == nil)
            try FileAnchor(path: path).compareAndSwap(expected: nil, new: value(1))
            #expect(try FileAnchor(path: path).load() == value(1))
            #expect(try stored() == whole)
        }
    }

    @Test func bothRecordsDamagedIsSaid() throws {
        let anchor = try anchor(updates: 2)
        let sound = try stored()
        for (first, second) in [(0, 4096), (20, 4096 + 511), (500, 4096 + 60), (479, 4096 + 8)] {
            var bytes = sound
            bytes[first] ^= 1
            #expect(throws: Never.self) {
                try store(bytes)
                #expect(try anchor.load() == value(2))
            }
            bytes[second] ^= 0x80
            try store(bytes)
            #expect(throws: AnchorError.damaged("neither record is sound")) { try anchor.load() }
            #expect(throws: AnchorError.damaged("neither record is sound")) {
                try anchor.compareAndSwap(expected: value(2), new: value(3))
            }
        }
        try store([1, 2, 3])
        #expect(throws: AnchorError.damaged("neither record is sound")) { try anchor.load() }
    }

    /// A record put into the other's place is not a newer one.
    @Test func recordsStayInTheirPlace() throws {
        let anchor = try anchor(updates: 2)
        var bytes = try stored()
        bytes.replaceSubrange(0..<512, with: bytes[4096..<4608])
        try store(bytes)
        #expect(try anchor.load() == value(2))
        bytes.replaceSubrange(4096..<4608, with: [UInt8](repeating: 0, count: 512))
        try store(bytes)
        #expect(throws: AnchorError.damaged("neither record is sound")) { try anchor.load() }
    }

    @Test func whatCannotBeReached() throws {
        #expect(throws: AnchorError.self) { try FileAnchor(path: scratch.path).load() }
        let nowhere = FileAnchor(path: scratch.file("no/where"))
        #expect(try nowhere.load() == nil)
        #expect(throws: AnchorError.self) { try nowhere.compareAndSwap(expected: nil, new: value(1)) }
        #expect(throws: AnchorError.unavailable("/dev/null is not a regular file")) {
            try FileAnchor(path: "/dev/null").load()
        }
    }

    @Test func relativePathsAreTakenFromHere() {
        let anchor = FileAnchor(path: "some.anchor")
        #expect(anchor.path == FileManager.default.currentDirectoryPath + "/some.anchor")
    }

    /// Many writers, through one object and through many: every update is somebody's, none is lost.
    @Test func updatesExcludeEachOther() async throws {
        let shared = FileAnchor(path: path)
        let volume = volume
        try shared.compareAndSwap(expected: nil, new: value(1))
        try await withThrowingTaskGroup(of: Void.self) { group in
            for task in 0..<4 {
                group.addTask {
                    let mine = task % 2 == 0 ? shared : FileAnchor(path: shared.path)
                    var won = 0
                    while won < 10 {
                        let found = try mine.load()
                        let next = AnchorValue(
                            volume: volume, sequence: SequenceNumber((found?.sequence.rawValue ?? 0) + 1),
                            tag: .zero)
                        do throws(AnchorError) {
                            try mine.compareAndSwap(expected: found, new: next)
                            won += 1
                        } catch {
                            guard case .conflict = error else { throw error }
                        }
                    }
                }
            }
            try await group.waitForAll()
        }
        #expect(try shared.load()?.sequence == SequenceNumber(41))
    }

    /// Records that are sound and of no use: of a later version, or with no number left to count on.
    @Test func soundRecordsOfNoUse() throws {
        let first = try DiskAnchor([]).next(value(1))
        func file(_ change: (inout [UInt8]) -> Void) throws -> [UInt8] {
            var record = first.bytes
            change(&record)
            let body = [UInt8](record[..<(DiskAnchor.recordBytes - Digest.byteCount)])
            return body + (try Digest.sha256(body))
        }
        #expect(try DiskAnchor(file { _ in }).newest?.value == value(1))
        #expect(throws: AnchorError.damaged("a version newer than 1")) { try DiskAnchor(file { $0[8] = 2 }) }
        #expect(throws: AnchorError.damaged("neither record is sound")) { try DiskAnchor(file { $0[0] ^= 1 }) }
        let last = try DiskAnchor(file { record in for byte in 56..<64 { record[byte] = 0xFF } })
        #expect(throws: AnchorError.damaged("update numbers are used up")) { try last.next(value(2)) }
    }

    /// An anchor that another process keeps locked is not waited for without end.
    @Test func aLockThatIsKeptIsSaid() throws {
        let anchor = try anchor(updates: 1)
        let descriptor = open(path, O_RDONLY)
        try #require(flock(descriptor, LOCK_EX) == 0)
        #expect(throws: AnchorError.unavailable("\(path) is locked by another process")) { try anchor.load() }
        close(descriptor)
        #expect(try anchor.load() == value(1))
    }
}
