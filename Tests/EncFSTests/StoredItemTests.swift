import SecureBlock
import SimHost
import Testing
import VFS

@testable import EncFS

/// Every item of the tree, cut short and with every field out of its range: a typed error for each.
@Suite struct StoredItemTests {
    private enum Verdict: Equatable { case sound, tooShort, invalid }

    /// A kind of item: a sound one, and what parses it.
    struct Kind: Sendable, CustomTestStringConvertible {
        var testDescription: String
        var sound: [UInt8]
        var parse: @Sendable (UnsafeRawBufferPointer) throws(StoredError) -> Void

        static func all() throws -> [Kind] {
            let time = Timestamp(seconds: 1, nanoseconds: 2)
            let inode = Inode(
                kind: .regular, permissions: 0o644, linkCount: 1, owner: 0, group: 0, accessTime: time,
                modificationTime: time, changeTime: time, birthTime: time)
            let entry = DirectoryItem(inode: 9, kind: .regular, name: try Name("name"))
            let here = AttributeItem(name: Array("user.a".utf8), valueBytes: 3, value: [1, 2, 3])
            let shift = ShiftIntent(from: 8, distance: 2, position: 9, isUpwards: false)
            return [
                Kind(testDescription: "inode", sound: inode.stored) { (bytes) throws(StoredError) in
                    _ = try Inode(stored: bytes)
                },
                Kind(testDescription: "entry", sound: entry.stored) { (bytes) throws(StoredError) in
                    _ = try DirectoryItem(stored: bytes)
                },
                Kind(testDescription: "attribute", sound: here.stored) { (bytes) throws(StoredError) in
                    _ = try AttributeItem(stored: bytes)
                },
                Kind(testDescription: "extent", sound: Extent(fileBlock: 1, first: 900, count: 4).stored) {
                    (bytes) throws(StoredError) in _ = try Extent(fileBlock: 1, stored: bytes)
                },
                Kind(testDescription: "shared run", sound: SharedRun(900..<904, references: 2).stored) {
                    (bytes) throws(StoredError) in _ = try SharedRun(first: 900, stored: bytes)
                },
                Kind(testDescription: "shift", sound: shift.stored) { (bytes) throws(StoredError) in
                    _ = try ShiftIntent(stored: bytes)
                },
                Kind(testDescription: "number", sound: StoredNumbers.encode([7])) { (bytes) throws(StoredError) in
                    _ = try StoredNumbers.decode(bytes)
                },
            ]
        }
    }

    private func verdict(_ kind: Kind, _ bytes: [UInt8]) -> Verdict {
        bytes.withUnsafeBytes { bytes in
            do throws(StoredError) {
                try kind.parse(bytes)
                return .sound
            } catch {
                switch error {
                case .tooShort: return .tooShort
                case .invalid: return .invalid
                }
            }
        }
    }

    @Test func noItemMayBeCutOrPadded() throws {
        var tooShort = 0
        for kind in try Kind.all() {
            #expect(verdict(kind, kind.sound) == .sound, "\(kind.testDescription)")
            for count in 0..<kind.sound.count {
                let verdict = verdict(kind, Array(kind.sound[..<count]))
                #expect(verdict != .sound, "\(kind.testDescription) of \(count) bytes")
                if verdict == .tooShort { tooShort += 1 }
            }
            #expect(verdict(kind, kind.sound + [0]) == .invalid, "\(kind.testDescription) with a tail")
        }
        #expect(tooShort > 10)
    }

    /// What an item must not say, by kind, offset and byte.
    @Test(arguments: [
        ("inode", 1, 0xF0), ("inode", 2, 0x08), ("inode", 23, 0x80), ("inode", 31, 0x80), ("inode", 31, 0x01),
        ("inode", 75, 0x7F), ("inode", 79, 0x7F),
        ("inode", 83, 0x7F), ("inode", 87, 0x7F), ("entry", 0, 0), ("entry", 8, 3), ("entry", 9, 0),
        ("entry", 10, 0x2F), ("entry", 10, 0), ("attribute", 2, 2), ("attribute", 4, 2), ("attribute", 5, 0),
        ("extent", 7, 0x80), ("extent", 8, 0), ("extent", 11, 0x80), ("extent", 12, 2), ("shared run", 0, 0),
        ("shared run", 7, 0x80), ("shared run", 8, 1), ("shared run", 12, 1), ("shift", 7, 0x80), ("shift", 8, 0),
        ("shift", 15, 0x80), ("shift", 23, 0x80), ("shift", 24, 2), ("shift", 0, 1),
    ])
    func noFieldMayLeaveItsRange(name: String, offset: Int, byte: UInt8) throws {
        let kind = try #require(try Kind.all().first { $0.testDescription == name })
        var bytes = kind.sound
        #expect(bytes[offset] != byte)
        bytes[offset] = byte
        #expect(verdict(kind, bytes) != .sound)
    }

    /// A directory's size is told in bytes, 32 for each entry.
    @Test func noDirectoryIsLargerThanCanBeTold() throws {
        let time = Timestamp.zero
        var inode = Inode(
            kind: .directory, permissions: 0o755, linkCount: 2, owner: 0, group: 0, accessTime: time,
            modificationTime: time, changeTime: time, birthTime: time)
        for (size, isSound) in [(UInt64(1) << 58 - 1, true), (1 << 58, false), (UInt64(Int64.max), false)] {
            inode.size = size
            let parsed = inode.stored.withUnsafeBytes { bytes -> Inode? in
                do throws(StoredError) { return try Inode(stored: bytes) } catch { return nil }
            }
            #expect((parsed != nil) == isSound, "\(size)")
            if let parsed { #expect(parsed.attributes(1).size == size * 32) }
        }
    }

    /// What the errors say names the item.
    @Test func errorsNameTheItem() {
        let key = ItemKey(7, .extent, 3)
        for (error, text) in [(StoredError.tooShort, "too short"), (.invalid("extent of 0 blocks"), "of 0 blocks")]
        {
            guard case .corrupt(let what) = TreeError.unparsable(key, error) else {
                Issue.record("\(error) is not corrupt")
                continue
            }
            #expect(what.contains("\(key)") && what.contains(text))
        }
    }

    /// What is not in memory is asked for, by the address or number to read; whoever asked runs again.
    @Test func whatIsNotInMemoryIsAskedFor() throws {
        let device = try freshDevice()
        let superblock = try EncFS.readSuperblock(device)
        let store = MetadataStore(
            device, superblock, freeCounts: try EncFS.readGroupTable(device, superblock), cacheBytes: 1 << 20,
            latch: Latch { Issue.record("latched: \($0)") })
        do throws(TreeError) {
            _ = try store.tree.node(superblock.root, level: superblock.rootLevel)
            Issue.record("nothing was read, and the root is here")
        } catch {
            guard case .missingNode(let address, let level) = error else {
                Issue.record("\(error)")
                return
            }
            #expect(address == superblock.root && level == superblock.rootLevel)
        }
        do throws(TreeError) {
            _ = try store.space.group(0)
            Issue.record("nothing was read, and a group is here")
        } catch {
            guard case .missingGroup(let number) = error else {
                Issue.record("\(error)")
                return
            }
            #expect(number == 0)
        }
        do throws(TreeError) {
            _ = try store.space.group(1 << 20)
            Issue.record("there is no such group")
        } catch {
            guard case .corrupt = error else {
                Issue.record("\(error)")
                return
            }
        }
        let item = try store.look { tree throws(TreeError) in
            try tree.value(of: ItemKey(1, .inode)).map { Array($0) }
        }
        #expect(item?.count == Inode.storedBytes)
    }
}
