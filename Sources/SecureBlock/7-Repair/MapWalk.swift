/// Goes through the map a page at a time without keeping what it reads: one page of memory, however large the map is.
struct MapWalk {
    private let context: VolumeContext
    private let map: LogicalMap

    init(_ context: VolumeContext, _ map: LogicalMap) {
        self.context = context
        self.map = map
    }

    var leafCount: Int { map.leafCount }

    /// The entries of one leaf, as many as the map has blocks there.
    /// - Returns: `nil` for a leaf that was never written.
    /// - Throws: ``VolumeError/corrupt(_:)`` for a page that does not verify, ``VolumeError/host(_:)``.
    func entries(_ leaf: Int) throws(VolumeError) -> [MapEntry]? {
        let first = UInt64(leaf) * UInt64(MapEntry.perPage)
        let count = Int(min(UInt64(MapEntry.perPage), map.logicalBlocks - first))
        var page: AlignedBuffer?
        while page == nil, let (wanted, pointer) = map.missing(LogicalMap.Page(0, leaf)) {
            let bytes = try context.page(pointer, wanted.association)
            if wanted.level == 0 {
                page = bytes
            } else if !map.install(wanted, at: pointer, UnsafeRawBufferPointer(bytes.bytes), context.geometry) {
                throw .corrupt("map page \(wanted.index) of level \(wanted.level) is none")
            }
        }
        guard let page else {
            guard map.leaf(leaf) != nil else { return nil }
            return (0..<count).map { map.entry(LogicalBlock(first + UInt64($0))) }
        }
        var reader = ByteReader(UnsafeRawBufferPointer(page.bytes))
        var entries: [MapEntry] = []
        entries.reserveCapacity(count)
        do throws(ParseError) {
            for _ in 0..<count { entries.append(MapEntry(bits: try reader.u64())) }
        } catch { throw .corrupt("map page \(leaf): \(error)") }
        return entries
    }
}
