import SecureBlock

/// Images with changed numbers anywhere, and of another length, opened without a root hash, as whoever has none must: so the header is
/// the host's. Whatever reads, reads as it was put in.
enum ImageFuzz {
    private struct Base {
        var store: SparseBytes
        var header: TreeHash
    }

    /// Two levels of pages.
    private static let blockCount = 300
    /// Blocks of the file that are changed: the header more often than its share, every page, some of the data.
    private static let targets: [Int] =
        [0, 0, 0, 0] + (1 + blockCount..<1 + blockCount + 4) + [1, 2, 128, 129, 256, 300]

    /// The last one changes the length.
    static var targetCount: Int { targets.count + 1 }

    private static let base: Base? = {
        do { return try make() } catch { return nil }
    }()

    static func run(_ input: [UInt8]) throws(FuzzTarget.Failure) {
        guard let base else { return }
        var store = base.store
        for edit in FuzzEdit.parse(input) {
            let target = edit.target % targetCount
            guard target < targets.count else {
                let byteCount = Int(edit.value % UInt64(2 * base.store.byteCount))
                store.truncate(to: byteCount)
                store.grow(to: byteCount)
                continue
            }
            // Of the header what is not zero.
            let size = targets[target] == 0 ? 64 : blockBytes
            let start = targets[target] * blockBytes
            guard start + size <= store.byteCount else { continue }
            var bytes = [UInt8](repeating: 0, count: size)
            bytes.withMutableRawBytes { store.read(start, into: $0) }
            edit.apply(to: &bytes, from: 0)
            store.write(start, bytes)
        }
        try look(MemoryBlockHost(contents: store), base)
    }

    private static func look(_ host: MemoryBlockHost, _ base: Base) throws(FuzzTarget.Failure) {
        do throws(ImageError) {
            _ = try ImageDevice.open(host, root: .pinned(base.header))
        } catch {
            // What the right one needs is more than the header: the length.
            if case .headerDamaged = error {
                throw FuzzTarget.Failure(description: "\(error) under the right root hash")
            }
        }
        let image: ImageDevice
        do throws(ImageError) { image = try ImageDevice.open(host, root: .asFound) } catch { return }
        // A header may claim more than anybody wants to look at; the file has to be as large.
        var unreadable: Set<UInt64> = []
        do throws(DeviceError) {
            let verified = try image.check { unreadable.formUnion($0.blocks) }
            guard verified + UInt64(unreadable.count) == image.logicalBlockCount else {
                throw .latched("blocks that neither verify nor do not")
            }
        } catch { throw FuzzTarget.Failure(description: "\(error)") }
        let buffer = AlignedBuffer(byteCount: blockBytes)
        for block in 0..<image.logicalBlockCount {
            do throws(DeviceError) { try image.read(LogicalBlock(block), into: buffer.bytes) } catch {
                guard unreadable.contains(block), UnsafeRawBufferPointer(buffer.bytes).isZero else {
                    throw FuzzTarget.Failure(description: "block \(block): \(error), after it verified")
                }
                continue
            }
            guard !unreadable.contains(block), block < blockCount, Array(buffer.bytes) == contents(Int(block))
            else {
                throw FuzzTarget.Failure(description: "block \(block) reads, and never was")
            }
        }
        guard image.checkInvariants() else { throw FuzzTarget.Failure(description: "the cache is out of order") }
    }

    private static func contents(_ block: Int) -> [UInt8] {
        var bytes = [UInt8](repeating: block % 5 == 0 ? 0 : UInt8(block % 256), count: blockBytes)
        if block % 5 != 0 { bytes[7] = UInt8(block >> 8) }
        return bytes
    }

    private static func make() throws(ImageError) -> Base {
        let host = MemoryBlockHost()
        let writer = try ImageWriter(on: host, blockCount: UInt64(blockCount))
        for block in 0..<blockCount {
            try contents(block).withRawBytes { bytes throws(ImageError) in try writer.append(bytes) }
        }
        return Base(store: host.contents, header: try writer.finish())
    }
}
