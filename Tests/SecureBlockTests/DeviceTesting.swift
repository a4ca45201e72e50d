import Testing

@testable import SecureBlock

/// Small volumes on memory hosts, and blocks that say what they are.
enum DeviceTesting {
    static func secret(_ text: String = "correct horse") throws -> SecretBytes {
        try Array(text.utf8).withUnsafeBytes { try SecretBytes(copying: $0) }
    }

    static func keyFile(_ byte: UInt8 = 7) throws -> Credential {
        .keyFile(try [UInt8](repeating: byte, count: 32).withUnsafeBytes { try SecretBytes(copying: $0) })
    }

    static func options(
        blocks: UInt64, segmentBlocks: Int = 16, cipher: CipherSuite = .aes256GCM, sparePerMille: Int? = nil
    ) -> VolumeOptions {
        var options = VolumeOptions(logicalBytes: blocks * UInt64(blockBytes))
        options.segmentBytes = segmentBlocks * blockBytes
        options.cipher = cipher
        if let sparePerMille { options.sparePerMille = sparePerMille }
        return options
    }

    static func create(
        _ host: any BlockHost, blocks: UInt64 = 256, segmentBlocks: Int = 16, cipher: CipherSuite = .aes256GCM,
        anchor: (any Anchor)? = nil, sparePerMille: Int? = nil
    ) throws {
        let options = options(
            blocks: blocks, segmentBlocks: segmentBlocks, cipher: cipher, sparePerMille: sparePerMille)
        try SecureDevice.create(on: host, options, credential: keyFile(), anchor: anchor)
    }

    static func open(
        _ host: any BlockHost, anchor: (any Anchor)? = nil, mode: OpenMode = .readWrite,
        checkpointInterval: Int? = nil, background: Bool = false, anchorPolicy: AnchorPolicy? = nil,
        mapCacheBytes: Int? = nil, returnsFreeSpace: Bool = false, recentRecords: Int = 0
    ) throws -> SecureDevice {
        var options = DeviceOptions()
        options.anchorPolicy = anchorPolicy
        options.maintenance = background ? .background : .inline
        options.checkpointIntervalBytes = checkpointInterval
        options.returnsFreeSpace = returnsFreeSpace
        options.recentRecords = recentRecords
        if let mapCacheBytes { options.mapCacheBytes = mapCacheBytes }
        return try SecureDevice.open(host, credential: keyFile(), anchor: anchor, mode: mode, options: options)
    }

    /// A new device, open. It keeps no recent record in memory: whatever is read comes from the host.
    static func made(
        _ host: any BlockHost, blocks: UInt64, segmentBlocks: Int = 16, background: Bool = false
    ) throws -> SecureDevice {
        try create(host, blocks: blocks, segmentBlocks: segmentBlocks)
        return try open(host, background: background)
    }

    /// A new device, open, whose every block holds its number and one, and whose last commit a root describes.
    static func checkpointed(_ host: any BlockHost, blocks: UInt64) throws -> SecureDevice {
        try create(host, blocks: blocks)
        let device = try open(host)
        for block in 0..<blocks { try writeWithCommits(device, block, block + 1) }
        try device.commit().wait()
        try device.checkpointNow()
        return device
    }

    /// As ``made(_:blocks:segmentBlocks:background:)``, with contents: what `value` says of each block, 0 for none;
    /// committed in ten parts.
    static func filled(
        _ host: any BlockHost, blocks: UInt64, segmentBlocks: Int, background: Bool = false,
        value: (UInt64) -> UInt64
    ) throws -> SecureDevice {
        let device = try made(host, blocks: blocks, segmentBlocks: segmentBlocks, background: background)
        for block in 0..<blocks {
            if value(block) != 0 { try write(device, block, value(block)) }
            if (block + 1) % (blocks / 10) == 0 { try device.commit().wait() }
        }
        return device
    }

    /// A block filled with a pattern of `value`; 0 is a block of zeros.
    static func fill(_ buffer: UnsafeMutableRawBufferPointer, _ value: UInt64) {
        for index in 0..<buffer.count / 8 {
            buffer.storeBytes(
                of: value == 0 ? 0 : value &* 0x9E37_79B9_7F4A_7C15 &+ UInt64(index), toByteOffset: index * 8,
                as: UInt64.self)
        }
    }

    static func write(_ device: some BlockDevice, _ block: UInt64, _ value: UInt64) throws {
        let buffer = AlignedBuffer(byteCount: blockBytes)
        fill(buffer.bytes, value)
        try device.write(LogicalBlock(block), UnsafeRawBufferPointer(buffer.bytes))
    }

    /// As ``write(_:_:_:)``, by a client that commits when it is asked to.
    static func writeWithCommits(_ device: SecureDevice, _ block: UInt64, _ value: UInt64) throws {
        for _ in 0..<100 {
            do {
                try write(device, block, value)
                return
            } catch {
                guard isShortOfSpace(error) else { throw error }
                try device.commit().wait()
            }
        }
        Issue.record("no space after a hundred commits")
    }

    /// Whether the block holds the pattern of `value`.
    static func holds(_ device: some BlockDevice, _ block: UInt64, _ value: UInt64) throws -> Bool {
        let buffer = AlignedBuffer(byteCount: blockBytes)
        let expected = AlignedBuffer(byteCount: blockBytes)
        fill(expected.bytes, value)
        try device.read(LogicalBlock(block), into: buffer.bytes)
        return buffer.bytes.elementsEqual(expected.bytes)
    }

    /// Whether a write failed for want of space, which a commit may cure.
    static func isShortOfSpace(_ error: any Error) -> Bool {
        guard let error = error as? DeviceError else { return false }
        return error == .noSpace || error == .commitRequired
    }

    /// All of a device, for comparison with a model.
    static func contents(_ device: some BlockDevice) throws -> [UInt8] {
        let buffer = AlignedBuffer(byteCount: Int(device.logicalBlockCount) * blockBytes)
        try device.read(LogicalBlock(0), into: buffer.bytes)
        return Array(buffer.bytes)
    }

    static func contents(of model: [UInt64]) -> [UInt8] {
        let buffer = AlignedBuffer(byteCount: model.count * blockBytes)
        for (index, value) in model.enumerated() { fill(buffer.slice(index * blockBytes, blockBytes), value) }
        return Array(buffer.bytes)
    }
}
