import SecureBlock
import VFS

/// A run of a file's data blocks: 16 bytes. Its key's offset is its first block in the file.
///
///     offset  size  field
///          0     8  first logical block
///          8     4  count of blocks, 1 to 2^18
///         12     4  flags: 1 other extents may name the same blocks
///
/// A block of an extent that was never written reads as zeros, as the device promises.
struct Extent: Equatable, Sendable {
    static let storedBytes = 16
    /// 1 GiB: freeing one extent touches a bounded number of bitmap blocks.
    static let maximumBlocks: UInt64 = 1 << 18
    private static let sharedFlag: UInt32 = 1

    var fileBlock: UInt64
    var first: UInt64
    var count: UInt64
    /// Whether shared runs have to be asked before its blocks are overwritten or freed. Once set it stays, also when
    /// this is the last extent left.
    var mayBeShared = false

    var fileEnd: UInt64 { fileBlock + count }
    /// Where it stands on the device.
    var place: Range<UInt64> { first..<first + count }

    init(fileBlock: UInt64, first: UInt64, count: UInt64, mayBeShared: Bool = false) {
        self.fileBlock = fileBlock
        self.first = first
        self.count = count
        self.mayBeShared = mayBeShared
    }

    init(fileBlock: UInt64, stored: UnsafeRawBufferPointer) throws(StoredError) {
        guard stored.count == Self.storedBytes else { throw .invalid("extent of \(stored.count) bytes") }
        var reader = StoredReader(stored)
        first = try reader.integer()
        count = UInt64(try reader.integer(UInt32.self))
        let flags: UInt32 = try reader.integer()
        guard flags & ~Self.sharedFlag == 0 else { throw .invalid("extent flags \(flags)") }
        mayBeShared = flags & Self.sharedFlag != 0
        guard (1...Self.maximumBlocks).contains(count) else { throw .invalid("extent of \(count) blocks") }
        guard fileBlock <= Inode.maximumBytes / UInt64(blockBytes), first < 1 << 51 else {
            throw .invalid("extent at file block \(fileBlock), logical block \(first)")
        }
        self.fileBlock = fileBlock
    }

    var stored: [UInt8] {
        var writer = StoredWriter(capacity: Self.storedBytes)
        writer.integer(first)
        writer.integer(UInt32(count))
        writer.integer(mayBeShared ? Self.sharedFlag : 0)
        return writer.bytes
    }

    /// The part of it that covers these blocks of the file, which are all in it.
    func part(_ blocks: Range<UInt64>) -> Extent {
        Extent(
            fileBlock: blocks.lowerBound, first: first + (blocks.lowerBound - fileBlock),
            count: UInt64(blocks.count), mayBeShared: mayBeShared)
    }
}

/// A run of data blocks that more than one extent names: 16 bytes. Its key's offset is its first logical block. Runs do
/// not overlap; a block that no run covers has one extent at most.
///
///     offset  size  field
///          0     8  count of blocks
///          8     4  extents that name each of them, 2 or more
///         12     4  zero
struct SharedRun: Equatable, Sendable {
    static let storedBytes = 16

    var first: UInt64
    var count: UInt64
    var references: UInt32

    var place: Range<UInt64> { first..<first + count }

    init(_ place: Range<UInt64>, references: UInt32) {
        first = place.lowerBound
        count = UInt64(place.count)
        self.references = references
    }

    init(first: UInt64, stored: UnsafeRawBufferPointer) throws(StoredError) {
        guard stored.count == Self.storedBytes else { throw .invalid("shared run of \(stored.count) bytes") }
        var reader = StoredReader(stored)
        count = try reader.integer()
        references = try reader.integer()
        let reserved: UInt32 = try reader.integer()
        guard reserved == 0, references >= 2, count > 0, first < 1 << 51, count < 1 << 51 else {
            throw .invalid("shared run of \(count) blocks, \(references) references")
        }
        self.first = first
    }

    var stored: [UInt8] {
        var writer = StoredWriter(capacity: Self.storedBytes)
        writer.integer(count)
        writer.integer(references)
        writer.integer(UInt32(0))
        return writer.bytes
    }
}

/// Extents of a file that are still to move within it, after a range was taken out or put in: 25 bytes.
///
///     offset  size  field
///          0     8  from this block of the file on
///          8     8  by how many blocks
///         16     8  what was moved already: down, all that began below this block; up, all from this block on
///         24     1  1: towards the end of the file; 0: towards its begin
struct ShiftIntent: Equatable, Sendable {
    static let storedBytes = 25

    var from: UInt64
    var distance: UInt64
    var position: UInt64
    var isUpwards: Bool

    init(from: UInt64, distance: UInt64, position: UInt64, isUpwards: Bool) {
        self.from = from
        self.distance = distance
        self.position = position
        self.isUpwards = isUpwards
    }

    init(stored: UnsafeRawBufferPointer) throws(StoredError) {
        guard stored.count == Self.storedBytes else { throw .invalid("shift of \(stored.count) bytes") }
        var reader = StoredReader(stored)
        from = try reader.integer()
        distance = try reader.integer()
        position = try reader.integer()
        let direction: UInt8 = try reader.integer()
        let limit = Inode.maximumBytes / UInt64(blockBytes) + 1
        guard direction <= 1, from <= limit, (1...limit).contains(distance), position <= 2 * limit,
            direction == 1 || distance <= from
        else { throw .invalid("shift from \(from) by \(distance)") }
        isUpwards = direction == 1
    }

    var stored: [UInt8] {
        var writer = StoredWriter(capacity: Self.storedBytes)
        writer.integer(from)
        writer.integer(distance)
        writer.integer(position)
        writer.integer(UInt8(isUpwards ? 1 : 0))
        return writer.bytes
    }
}
