import SecureBlock
import SimHost

/// Sound structures, taken from a small volume.
enum FuzzSeeds {
    /// Marks, among a parser's errors, what changed when it was stored again.
    static let changed = "changed when stored again"

    static func structures(_ target: FuzzTarget) -> [[UInt8]] {
        guard let volume = VolumeFuzz.base else { return [] }
        func stored(_ block: UInt64) -> [UInt8] {
            var bytes = [UInt8](repeating: 0, count: blockBytes)
            bytes.withMutableRawBytes { volume.store.read(Int(block) * blockBytes, into: $0) }
            return bytes
        }
        switch target {
        case .superblock: return [Array(stored(Layout.superblocks[0]).prefix(256))]
        case .keySlot:
            return [Array(stored(Layout.keySlot(0)).prefix(256)), Array(stored(Layout.keySlot(1)).prefix(256))]
        case .root: return volume.targets.filter { $0.kind == .root }.map { Array($0.plain.prefix(1200)) }
        case .recordHeader:
            return volume.targets.filter { $0.kind == .header }.prefix(6).map { target in
                Array(stored(target.block).prefix(104)) + target.plain.prefix(400)
            }
        case .page:
            return volume.targets.filter { $0.kind == .page }.prefix(8).enumerated().map { index, target in
                [UInt8(index % 5)] + target.plain.prefix(600)
            } + [[3] + snapshotPage()]
        case .volume, .files, .image, .calls: return []
        }
    }

    private static func snapshotPage() -> [UInt8] {
        guard let name = SnapshotName("a") else { return [] }
        let pointer = PagePointer(
            block: PhysicalBlock(300), generation: Generation(1), epochIndex: 0, tag: Tag(low: 1, high: 2))
        let entry = SnapshotEntry(
            commit: SequenceNumber(3), timeMilliseconds: 4, rootCopy: pointer, name: name)
        return SnapshotEntry.serialised([entry]).first.map { Array($0.bytes.prefix(256)) } ?? []
    }
}
