import SecureBlock
import SimHost
import TPM

/// What is fed with bytes of any kind: everything that parses what a host stores, whole
/// volumes, and the calls of programs on a mount.
///
/// An input passes when ``run(_:)`` returns: nothing traps, hangs, or takes memory without bound, and what parses means
/// the same when it is stored again. Checksums that anybody can compute are made to fit, and what is sealed is sealed
/// under the known key, so that inputs get past them.
public enum FuzzTarget: String, CaseIterable, Sendable {
    case superblock, keySlot, root, recordHeader, page, volume, files, image, calls

    /// What an input must not do.
    public struct Failure: Error, CustomStringConvertible {
        public var description: String
    }

    /// - Throws: ``Failure`` when something means another thing once stored again. Typed errors of the parsers are fine.
    public func run(_ input: [UInt8]) throws(Failure) {
        switch self {
        case .superblock: try Self.superblock(Self.block(input))
        case .keySlot: try Self.keySlot(Self.block(input))
        case .root: try Self.root(Self.block(input))
        case .recordHeader: try Self.recordHeader(Self.block(input))
        case .page: try Self.page(input)
        case .volume: VolumeFuzz.run(input)
        case .files: FilesFuzz.run(input)
        case .image: try ImageFuzz.run(input)
        case .calls: try CallsFuzz.run(input)
        }
    }

    /// Inputs to begin with: sound structures, and edits of each kind.
    public func seeds() -> [[UInt8]] {
        switch self {
        case .volume: return FuzzEdit.seeds(blocks: VolumeFuzz.targetCount)
        case .files: return FuzzEdit.seeds(blocks: FilesFuzz.targetCount)
        case .image: return FuzzEdit.seeds(blocks: ImageFuzz.targetCount)
        case .calls: return CallsFuzz.seeds()
        default: return FuzzSeeds.structures(self)
        }
    }

    private static func block(_ input: [UInt8]) -> [UInt8] {
        Array(input.prefix(blockBytes)) + [UInt8](repeating: 0, count: max(0, blockBytes - input.count))
    }

    private static func superblock(_ bytes: [UInt8]) throws(Failure) {
        var bytes = bytes
        bytes.reseal(block: Layout.superblocks[0])
        do {
            let parsed = try bytes.withRawBytes { bytes throws(VolumeError) in try Superblock.parse(bytes) }
            let key = try FuzzKey.secret()
            let stored = try parsed.serialise(key: key)
            guard try Superblock.isAuthentic(UnsafeRawBufferPointer(stored.bytes), key: key),
                try Superblock.parse(UnsafeRawBufferPointer(stored.bytes)) == parsed
            else { throw Failure(description: "a superblock changes when it is stored again") }
        } catch let failure as Failure {
            throw failure
        } catch { return }
    }

    private static func keySlot(_ bytes: [UInt8]) throws(Failure) {
        var bytes = bytes
        bytes.reseal(block: Layout.keySlot(0))
        do {
            let slot = try bytes.withRawBytes { bytes throws(KeySlotError) in try KeySlot.parse(bytes, slot: 0) }
            if slot.kind == .sealed, try DiskSealedKey.parse(slot.sealed).bytes != slot.sealed {
                throw Failure(description: "what a TPM sealed changes when it is stored again")
            }
            // A limit of no memory: scrypt's costs are whatever the slot says.
            _ = try slot.unwrap(try FuzzKey.credential(), volume: slot.volume, memoryLimitBytes: 1 << 20)
        } catch let failure as Failure {
            throw failure
        } catch { return }
    }

    private static func root(_ bytes: [UInt8]) throws(Failure) {
        do throws(ParseError) {
            let parsed = try bytes.withRawBytes { bytes throws(ParseError) in
                try Root(
                    parsingPayload: UnsafeRawBufferPointer(rebasing: bytes[..<Root.payloadBytes]), number: 1)
            }
            let again = AlignedBuffer(byteCount: blockBytes)
            let payload = UnsafeMutableRawBufferPointer(rebasing: again.bytes[..<Root.payloadBytes])
            var writer = ByteWriter(payload)
            parsed.write(to: &writer)
            let second = try Root(parsingPayload: UnsafeRawBufferPointer(payload), number: 1)
            guard second == parsed else { throw .unexpected(field: FuzzSeeds.changed, position: 0) }
        } catch {
            if case .unexpected(FuzzSeeds.changed, _) = error {
                throw Failure(description: "a root changes when it is stored again")
            }
        }
    }

    /// The input's clear part, and its rest sealed for it.
    private static func recordHeader(_ bytes: [UInt8]) throws(Failure) {
        let sealed = AlignedBuffer(byteCount: blockBytes), scratch = AlignedBuffer(byteCount: blockBytes)
        sealed.bytes.copyBytes(from: bytes)
        let clear = 88, start = 104
        do {
            guard let header = ClearRecordHeader(UnsafeRawBufferPointer(sealed.bytes)),
                let output = scratch.bytes.baseAddress
            else { return }
            let place = PhysicalBlock(320), key = try FuzzKey.sealing()
            let tag = try key.seal(
                UnsafeRawBufferPointer(rebasing: sealed.bytes[start...]), into: output,
                nonce: Nonce(block: place, generation: header.generation, domain: SealDomain.header),
                associatedData: UnsafeRawBufferPointer(rebasing: sealed.bytes[..<clear]))
            sealed.slice(start, blockBytes - start).copyBytes(from: scratch.bytes[..<(blockBytes - start)])
            tag.store(into: sealed.slice(clear, start - clear))
            let block = UnsafeRawBufferPointer(sealed.bytes)
            guard let fitting = ClearRecordHeader(block),
                let parsed = try RecordHeader.open(block, fitting, at: place, key, scratch: scratch.bytes)
            else { return }
            guard parsed.entries.count <= RecordHeader.maximumEntries, parsed.tag == tag else {
                throw Failure(description: "a header has more entries than there can be")
            }
        } catch let failure as Failure {
            throw failure
        } catch { return }
    }

    /// The first byte says of which kind; the rest is the page.
    private static func page(_ input: [UInt8]) throws(Failure) {
        let buffer = AlignedBuffer(byteCount: blockBytes)
        buffer.bytes.copyBytes(from: input.dropFirst().prefix(blockBytes))
        var reader = ByteReader(UnsafeRawBufferPointer(buffer.bytes))
        do throws(ParseError) {
            switch (input.first ?? 0) % 5 {
            case 0: for _ in 0..<SegmentEntry.perPage { _ = try SegmentEntry(parsing: &reader) }
            case 1: for _ in 0..<PagePointer.perPage { _ = try PagePointer(parsing: &reader) }
            case 2: _ = try EpochTable.parse([buffer, buffer])
            case 3:
                let list = try SnapshotEntry.parse([buffer])
                let again = try SnapshotEntry.parse(SnapshotEntry.serialised(list))
                guard again.map(\.name) == list.map(\.name), again.map(\.commit) == list.map(\.commit) else {
                    throw .unexpected(field: FuzzSeeds.changed, position: 0)
                }
            default: for _ in 0..<blockBytes / RecordEntry.byteCount { _ = try RecordEntry(parsing: &reader) }
            }
        } catch {
            if case .unexpected(FuzzSeeds.changed, _) = error {
                throw Failure(description: "a list of snapshots changes when it is stored again")
            }
        }
    }
}
