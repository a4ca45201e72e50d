import SecureBlock
import SimHost
import Testing
import VFS

@testable import EncFS

/// The last bytes of small files, which are in the tree until the file changes.
@Suite struct TailTests {
    private let device: SimBlockDevice
    private let files: EncFS

    init() throws {
        device = try freshDevice()
        files = try EncFS(mounting: device, .quiet)
    }

    private func made(_ count: Int, seed: UInt64 = 1) throws -> (file: NodeID, bytes: [UInt8]) {
        let file = try files.make("file"), bytes = pattern(count, seed: seed)
        try files.write(bytes, to: file, at: 0)
        return (file, bytes)
    }

    private func tail(_ file: NodeID) throws -> Range<UInt64>? {
        try files.store.look { tree throws(TreeError) in
            try tree.inlineData(file.rawValue, try tree.inode(file.rawValue, files.table))?.range
        }
    }

    /// What a file must be, in memory, to a check, and mounted again.
    private func expect(_ file: NodeID, _ bytes: [UInt8], _ text: String = "") throws {
        #expect(try files.attributes(file).size == UInt64(bytes.count), "\(text)")
        #expect(try files.read(file, count: bytes.count + 1) == bytes, "\(text)")
        try files.sync()
        #expect(try findings(device.crash()) == [], "\(text)")
        let again = try EncFS(mounting: device.crash(), .quiet)
        #expect(try again.read(try again.find("file"), count: bytes.count + 1) == bytes, "\(text)")
    }

    /// Of more than a block and up to 16 of them, with an end that an item has room for.
    @Test(
        arguments: [
            (3072, nil), (4096, nil), (4097, 1), (5000, 904), (7168, 3072), (7169, nil), (8192, nil), (64_600, nil),
            (61_441, 1), (65_537, nil),
        ] as [(Int, Int?)])
    func smallFilesHaveTails(count: Int, tailBytes: Int?) throws {
        let (file, bytes) = try made(count)
        let whole = count <= 3072
        let range = try tail(file)
        #expect(range.map(\.count) == (whole ? count : tailBytes))
        if let range { #expect(range.upperBound == UInt64(count)) }
        let blocks = (count - (range?.count ?? 0) + 4095) / 4096
        #expect(try files.attributes(file).blocks512 == UInt64(blocks * 8 + ((range?.count ?? 0) + 511) / 512))
        try expect(file, bytes)
    }

    /// A file that grows piece by piece, as archives are unpacked, keeps its end in the tree wherever a piece ends.
    @Test(arguments: [1, 100, 1000, 2048, 3000, 3500, 4096, 5000, 10_240]) func growingFilesHaveTails(piece: Int)
        throws
    {
        let file = try files.make("file")
        let bytes = pattern(piece == 1 ? 4200 : 20_000, seed: 3)
        var tails = 0
        for start in stride(from: 0, to: bytes.count, by: piece) {
            let end = min(start + piece, bytes.count)
            try files.write(Array(bytes[start..<end]), to: file, at: UInt64(start))
            if let tail = try tail(file), tail.lowerBound > 0 {
                tails += 1
                #expect(tail.upperBound == UInt64(end))
            }
            if piece > 1 || end % 512 == 0 { try expect(file, Array(bytes[..<end]), "up to \(end)") }
        }
        #expect(tails > 0 || piece == 2048 || piece == 4096)
        try expect(file, bytes)
    }

    /// Blocks that were reserved beforehand are used: they are the file's in any case.
    @Test func reservedBlocksAreUsed() throws {
        let file = try files.make("file"), bytes = pattern(9000, seed: 3)
        try files.allocate(file, .none, 0..<9000, .allocateKeepingSize)
        try files.write(bytes, to: file, at: 0)
        #expect(try tail(file) == nil)
        try expect(file, bytes)
        try files.setSize(0, of: file)
        try files.allocate(file, .none, 0..<8192, .allocate)
        try files.setSize(9000, of: file)
        try files.write(bytes, to: file, at: 0)
        #expect(try tail(file) == 8192..<9000)
        try expect(file, bytes)
    }

    /// Any change keeps every byte; what a model says of the bytes is what is there.
    @Test func everyChangeKeepsTheRest() throws {
        let count = 9000
        typealias Change = (name: String, apply: (EncFS, NodeID) throws -> Void, model: (inout [UInt8]) -> Void)
        func write(_ offset: Int, _ length: Int) -> Change {
            let new = pattern(length, seed: 77)
            return (
                "write \(length) at \(offset)", { try $0.write(new, to: $1, at: UInt64(offset)) },
                { bytes in
                    if bytes.count < offset + length {
                        bytes += [UInt8](repeating: 0, count: offset + length - bytes.count)
                    }
                    bytes.replaceSubrange(offset..<offset + length, with: new)
                }
            )
        }
        func size(_ size: Int) -> Change {
            (
                "size \(size)", { try $0.setSize(UInt64(size), of: $1) },
                { $0 = Array($0.prefix(size)) + [UInt8](repeating: 0, count: max(0, size - $0.count)) }
            )
        }
        func allocate(_ range: Range<Int>, _ mode: AllocationMode, _ model: @escaping (inout [UInt8]) -> Void)
            -> Change
        {
            (
                "\(mode) \(range)",
                { try $0.allocate($1, .none, UInt64(range.lowerBound)..<UInt64(range.upperBound), mode) }, model
            )
        }
        func zeros(_ range: Range<Int>) -> (inout [UInt8]) -> Void {
            { bytes in for index in range where index < bytes.count { bytes[index] = 0 } }
        }
        var changes: [Change] = [
            write(0, 10), write(0, 4096), write(8000, 500), write(8192, 808), write(8200, 5), write(9000, 1),
            write(20_000, 30), write(0, 9000), write(0, 20_000), size(0), size(1), size(4096), size(8192),
            size(8193),
            size(8999), size(9001), size(50_000), allocate(0..<50_000, .allocateKeepingSize) { _ in },
            allocate(4096..<8192, .collapse) { $0.removeSubrange(4096..<8192) },
            allocate(4096..<8192, .insert) { $0.insert(contentsOf: [UInt8](repeating: 0, count: 4096), at: 4096) },
        ]
        for range in [
            0..<9000, 2977..<24_305, 8000..<8500, 8192..<12_288, 8300..<8400, 100..<8200, 4096..<12_288,
            8999..<9100,
        ] {
            changes.append(allocate(range, .punchHole, zeros(range)))
            changes.append(allocate(range, .zeroKeepingSize, zeros(range)))
        }
        for first in changes {
            for second in [nil, write(8500, 3), size(8200), size(12_000)] as [Change?] {
                var (file, bytes) = try made(count)
                #expect(try tail(file)?.count == 808)
                for change in [first, second].compactMap(\.self) {
                    try change.apply(files, file)
                    change.model(&bytes)
                }
                try expect(file, bytes, "\(first.name), then \(second?.name ?? "nothing")")
                try files.remove(Name("file"), in: files.root, .nonDirectory)
            }
        }
    }

    @Test func sharingLeavesTheSourceItsTimes() throws {
        let (file, bytes) = try made(9000)
        let before = try files.attributes(file)
        let twin = try files.make("twin")
        try files.clone(file, 0..<9000, to: twin, at: 0, [])
        #expect(try files.read(twin, count: 9001) == bytes)
        #expect(try tail(file) == nil)
        let after = try files.attributes(file)
        #expect(after.modificationTime == before.modificationTime)
        #expect(after.changeTime == before.changeTime)
        try expect(file, bytes)
    }

    @Test func seekingFindsTheTail() throws {
        let (file, _) = try made(9000)
        func seek(_ offset: UInt64, _ target: SeekTarget) throws -> UInt64 {
            try files.seek(file, .none, from: offset, to: target)
        }
        #expect(try seek(0, .hole) == 9000)
        #expect(try seek(8500, .data) == 8500)
        try files.setSize(20_000, of: file)
        #expect(try tail(file)?.count == 808)
        #expect(try seek(0, .hole) == 9000)
        #expect(try seek(8191, .data) == 8191)
        #expect(errno { try seek(9000, .data) } == .noSuchAddressOrDevice)
        #expect(try seek(9000, .hole) == 9000)
    }

    /// Without the feature nothing is packed; a program that knows nothing of it does not mount.
    @Test func theFeatureSaysSo() throws {
        let plain = SimBlockDevice(blocks: 2000)
        var format = EncFS.FormatOptions()
        format.packsTails = false
        try EncFS.format(plain, format)
        let files = try EncFS(mounting: plain, .quiet)
        let file = try files.make("file")
        try files.write(pattern(5000, seed: 1), to: file, at: 0)
        #expect(try files.attributes(file).blocks512 == 16)
        try files.close()
        #expect(try EncFS.readSuperblock(plain).incompatible == 0)
        #expect(try EncFS.readSuperblock(device).incompatible == 1)
    }

    /// A write whose blocks the device does not take leaves no tail behind a gap.
    @Test func aWriteThatFailsHasNoTail() throws {
        let (file, bytes) = try made(0)
        try files.sync()
        device.setFault(.writesAfter(0, .latched("gone")))
        #expect(errno { try files.write(pattern(9000, seed: 1), to: file, at: 0) } == .ioError)
        #expect(try tail(file) == nil)
        #expect(try files.read(file, count: 10) == bytes)
        #expect(try files.attributes(file).blocks512 == 0)
        #expect(try findings(device.crash()) == [])
    }
}
