import Testing

@testable import SecureBlock

/// A volume whose sealed structures somebody changed who has the key, as a writer with a bug might: every tag verifies, and
/// what it stands for is wrong.
struct ForgedVolume {
    private(set) var image: SparseBytes
    let unlocked: UnlockedVolume

    init(_ image: SparseBytes) throws {
        self.image = image
        unlocked = try UnlockedVolume(
            MemoryBlockHost(contents: image), credential: DeviceTesting.keyFile(), forWriting: false)
    }

    /// The newest root as it was found.
    var root: Root { unlocked.newest }
    var geometry: Geometry { unlocked.context.geometry }
    var host: MemoryBlockHost { MemoryBlockHost(contents: image) }

    /// Seals a changed copy of the newest root into its slot; the other slot is destroyed.
    mutating func sealRoot(_ change: (inout Root) -> Void) throws {
        var root = root
        change(&root)
        let context = unlocked.context
        let sealed = try root.seal(
            try context.keys.rootKey(root.epoch, context.superblock.cipherSuite), volume: context.superblock.volume,
            superblockDigest: context.superblockDigest)
        SalvageSubject.destroy(&image, Layout.rootSlots)
        image.write(
            Int(Layout.rootSlots[unlocked.slots[0].slot]) * blockBytes, UnsafeRawBufferPointer(sealed.bytes))
    }

    /// Writes changed copies of the superblock, authenticated, and a root that belongs to them.
    mutating func sealSuperblocks(_ change: (inout Superblock) -> Void) throws {
        var superblock = unlocked.context.superblock
        change(&superblock)
        let key = try #require(try unlocked.context.keys.superblockKey())
        let stored = try superblock.serialise(key: key)
        for copy in Layout.superblocks { image.write(Int(copy) * blockBytes, UnsafeRawBufferPointer(stored.bytes)) }
        let sealed = try root.seal(
            try unlocked.context.keys.rootKey(root.epoch, superblock.cipherSuite), volume: superblock.volume,
            superblockDigest: Superblock.digest(UnsafeRawBufferPointer(stored.bytes)))
        for slot in Layout.rootSlots { image.write(Int(slot) * blockBytes, UnsafeRawBufferPointer(sealed.bytes)) }
    }

    /// Seals a changed copy of a page in its place.
    /// - Returns: the pointer that it has now.
    mutating func sealPage(
        _ pointer: PagePointer, _ association: BlockAssociation, _ change: (UnsafeMutableRawBufferPointer) -> Void
    ) throws -> PagePointer {
        let page = try unlocked.context.page(pointer, association)
        change(page.bytes)
        let key = try #require(try unlocked.context.epochs.key(pointer.epochIndex))
        let start = try #require(page.bytes.baseAddress)
        var changed = pointer
        changed.tag = try key.seal(
            UnsafeRawBufferPointer(page.bytes), into: start, at: pointer.block, pointer.generation, as: association)
        image.write(Int(pointer.block.rawValue) * blockBytes, UnsafeRawBufferPointer(page.bytes))
        return changed
    }

    /// Changes the entry of a logical block in a map whose topmost pages are its leaves.
    mutating func sealMapEntry(_ block: Int, _ entry: MapEntry) throws {
        let leaf = block / MapEntry.perPage
        let pointer = try sealPage(root.mapTop[leaf], BlockAssociation(.mapPage, address: UInt64(leaf))) { page in
            page.storeBytes(
                of: entry.bits.littleEndian, toByteOffset: block % MapEntry.perPage * 8, as: UInt64.self)
        }
        try sealRoot { $0.mapTop[leaf] = pointer }
    }

    /// Changes a byte of a segment's entry in the table.
    mutating func sealTableByte(_ segment: Int, _ offset: Int, _ byte: UInt8) throws {
        let index = segment / SegmentEntry.perPage
        let pointer = try sealPage(root.tableTop[index], BlockAssociation(.tablePage, address: UInt64(index))) {
            $0[segment % SegmentEntry.perPage * SegmentEntry.byteCount + offset] = byte
        }
        try sealRoot { $0.tableTop[index] = pointer }
    }

    /// Seals every header after the newest root anew, changed, each naming the one before.
    mutating func sealChain(_ change: (inout RecordHeader) -> Void) throws {
        let reader = try ChainReader(unlocked.context, from: root)
        var headers: [RecordHeader] = []
        while let header = try reader.next() { headers.append(header) }
        try #require(!headers.isEmpty)
        let key = try #require(try unlocked.context.epochs.key(root.epochIndex))
        let block = AlignedBuffer(byteCount: blockBytes)
        var previous = root.commit.tag
        for var header in headers {
            change(&header)
            header.previousTag = previous
            let place = geometry.physical(header.position)
            try header.seal(into: block.bytes, at: place, key)
            image.write(Int(place.rawValue) * blockBytes, UnsafeRawBufferPointer(block.bytes))
            previous = header.tag
        }
    }

    /// What a check says, notes left out, by kind.
    func findings() throws -> [String] {
        try DeviceTesting.findings(host).map(\.kind)
    }

    /// What opening says; `nil` when it opens.
    func openingError(rebuildsTable: Bool = false) -> VolumeError? {
        var options = DeviceOptions()
        options.maintenance = .inline
        options.rebuildsSegmentTable = rebuildsTable
        do throws(VolumeError) {
            let credential: Credential
            do { credential = try DeviceTesting.keyFile() } catch { return .crypto("\(error)") }
            _ = try SecureDevice.open(host, credential: credential, options: options)
            return nil
        } catch { return error }
    }

    /// As ``openingError(rebuildsTable:)``, but only whether it is metadata that contradicts itself.
    func isRefusedAsCorrupt(rebuildsTable: Bool = false) -> Bool {
        if case .corrupt? = openingError(rebuildsTable: rebuildsTable) { true } else { false }
    }
}
