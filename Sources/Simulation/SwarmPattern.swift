import SecureBlock

/// What a block of a simulated volume holds: a canary, a number that is never used twice, and what follows from it.
enum SwarmPattern {
    /// In clear this would show in every block.
    static let canary = Array("casemate canary!".utf8)
    static let keyCanary = Array("key of simulated volumes, 32 byte".utf8.prefix(32))
    static let otherKeyCanary = Array("another key of simulated volumes".utf8.prefix(32))

    static func fill(_ block: UnsafeMutableRawBufferPointer, _ value: UInt64) {
        guard value != 0 else {
            block.initializeMemory(as: UInt8.self, repeating: 0)
            return
        }
        UnsafeMutableRawBufferPointer(rebasing: block[..<16]).copyBytes(from: canary)
        for index in 2..<blockBytes / 8 {
            block.storeBytes(
                of: index == 2 ? value : word(value, index), toByteOffset: index * 8, as: UInt64.self)
        }
    }

    /// The block's number; `nil` for bytes that no ``fill(_:_:)`` makes.
    static func value(_ block: UnsafeRawBufferPointer) -> UInt64? {
        let value = block.loadUnaligned(fromByteOffset: 16, as: UInt64.self)
        guard value != 0 else { return block.allSatisfy { $0 == 0 } ? 0 : nil }
        guard block[..<16].elementsEqual(canary) else { return nil }
        for index in 3..<blockBytes / 8
        where block.loadUnaligned(fromByteOffset: index * 8, as: UInt64.self) != word(value, index) { return nil }
        return value
    }

    private static func word(_ value: UInt64, _ index: Int) -> UInt64 {
        value &* 0x9E37_79B9_7F4A_7C15 &+ UInt64(index)
    }

    static func keyFile(_ bytes: [UInt8]) throws(SealError) -> Credential {
        .keyFile(try bytes.withRawBytes { bytes throws(SealError) in try SecretBytes(copying: bytes) })
    }
}

/// One block as it was read.
enum SwarmBlock: Hashable, Sendable {
    case value(UInt64)
    /// An error that names a block; nothing is said of its bytes.
    case unreadable
    /// Bytes nobody wrote.
    case wrong
}

extension SecureDevice {
    /// All blocks of the device.
    func swarmContents() -> (blocks: [SwarmBlock], wipes: Bool) { swarmContents(0..<Int(logicalBlockCount)) }

    /// Reads every block by itself. `nil` when a call failed in a way that says nothing of single blocks.
    /// - Parameter stride: from one block of `range` to the next, in blocks of the device.
    func swarmContents(_ range: Range<Int>, stride: Int = 1) -> (blocks: [SwarmBlock], wipes: Bool) {
        let buffer = AlignedBuffer(byteCount: blockBytes)
        var wipes = true
        let blocks = range.map { block -> SwarmBlock in
            UnsafeMutableRawBufferPointer(buffer.bytes).initializeMemory(as: UInt8.self, repeating: 0xA5)
            do throws(DeviceError) {
                try read(LogicalBlock(UInt64(block * stride)), into: buffer.bytes)
                guard let value = SwarmPattern.value(UnsafeRawBufferPointer(buffer.bytes)) else { return .wrong }
                return .value(value)
            } catch {
                if !buffer.bytes.allSatisfy({ $0 == 0 }) { wipes = false }
                return .unreadable
            }
        }
        return (blocks, wipes)
    }
}
