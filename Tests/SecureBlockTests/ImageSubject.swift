import Testing

@testable import SecureBlock

/// A small image in memory, what is in it, and its root hash.
struct ImageSubject {
    let blocks: [[UInt8]]
    let host: MemoryBlockHost
    let root: TreeHash

    /// Blocks that differ from one another; those for which `isZero` says so are zeros.
    init(blockCount: Int, isZero: (Int) -> Bool = { _ in false }, on host: (any BlockHost)? = nil) throws {
        blocks = (0..<blockCount).map { Self.block($0, isZero: isZero($0)) }
        let memory = MemoryBlockHost()
        self.host = memory
        root = try Self.write(blocks, on: host ?? memory)
    }

    static func block(_ number: Int, isZero: Bool = false) -> [UInt8] {
        var bytes = [UInt8](repeating: isZero ? 0 : UInt8(truncatingIfNeeded: 1 + number % 250), count: blockBytes)
        if !isZero { for byte in 0..<8 { bytes[100 + byte] = UInt8(truncatingIfNeeded: number >> (8 * byte)) } }
        return bytes
    }

    /// Blocks one after the other.
    static func joined(_ blocks: some Sequence<[UInt8]>) -> [UInt8] { blocks.reduce(into: []) { $0 += $1 } }

    @discardableResult
    static func write(_ blocks: [[UInt8]], on host: any BlockHost, atATime: Int = 3) throws -> TreeHash {
        let writer = try ImageWriter(on: host, blockCount: UInt64(blocks.count))
        var rest = blocks[...]
        while !rest.isEmpty {
            try joined(rest.prefix(atATime)).withRawBytes { try writer.append($0) }
            rest = rest.dropFirst(atATime)
        }
        return try writer.finish()
    }

    func open(_ root: ImageDevice.Root? = nil, cachePages: Int = 8) throws(ImageError) -> ImageDevice {
        var options = ImageDevice.Options()
        options.cacheBytes = cachePages * blockBytes
        return try ImageDevice.open(host, root: root ?? .pinned(self.root), options)
    }

    /// A copy of the image whose bytes were changed.
    func tampered(_ body: (inout SparseBytes) -> Void) -> MemoryBlockHost {
        let copy = MemoryBlockHost(contents: host.contents)
        copy.tamper(body)
        return copy
    }

    /// The root hash as docs/FORMAT.md has it, from the bytes of an image and nothing else.
    static func documentedRoot(_ bytes: [UInt8]) throws -> String {
        let count = (0..<8).reduce(0) { $0 | Int(bytes[24 + $1]) << (8 * $1) }
        func sha(_ kind: UInt8, _ level: Int, _ number: Int, _ body: ArraySlice<UInt8>) throws -> [UInt8] {
            let prefix = [kind, UInt8(level), 0, 0, 0, 0, 0, 0] + (0..<8).map { UInt8(number >> (8 * $0) & 255) }
            return try Digest.sha256(prefix + body)
        }
        func stored(_ position: Int) -> ArraySlice<UInt8> { bytes[position * 4096..<(position + 1) * 4096] }
        var hashes = try (0..<count).map { try sha(1, 0, $0, stored(1 + $0)) }
        var position = 1 + count, level = 0
        repeat {
            level += 1
            let pages = stride(from: 0, to: hashes.count, by: 128).map { joined(hashes[$0...].prefix(128)) }
            hashes = try pages.enumerated().map { number, page in
                let padded = page + [UInt8](repeating: 0, count: 4096 - page.count)
                #expect(Array(stored(position)) == padded, "page \(number) of level \(level)")
                position += 1
                return try sha(2, level, number, padded[...])
            }
        } while hashes.count > 1
        #expect(position * 4096 == bytes.count && Array(bytes[32..<64]) == hashes[0])
        return hexadecimal(try sha(3, 0, 0, stored(0)))
    }

    private static func hexadecimal(_ bytes: [UInt8]) -> String {
        bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
    }
}

extension MemoryBlockHost {
    /// All that is stored.
    var bytes: [UInt8] {
        var bytes = [UInt8](repeating: 0, count: contents.byteCount)
        bytes.withMutableRawBytes { contents.read(0, into: $0) }
        return bytes
    }
}

extension ImageDevice {
    func contents(_ block: Int, count: Int = 1) throws -> [UInt8] {
        let buffer = AlignedBuffer(byteCount: count * blockBytes)
        try read(LogicalBlock(UInt64(block)), into: buffer.bytes)
        return Array(buffer.bytes)
    }

    /// Why a block cannot be read; `nil` if it can.
    func failure(_ block: Int) -> DeviceError? {
        do { _ = try contents(block) } catch { return error as? DeviceError }
        return nil
    }
}
