/// The first block of an image. Its hash is the image's root hash, so that everything in it is pinned, too.
///
///      0  magic        8 bytes  "CASEIMAG"
///      8  version      u16      1
///     10  block log2   u8       12
///     11  fan-out log2 u8       7
///     12  digest       u16      1: SHA-256
///     14  zero         u16
///     16  features     u64      that everybody must know; none yet
///     24  blocks       u64      1…2^36
///     32  top          32 bytes hash of the page on top
///     64  zero         up to 4096
package struct ImageHeader: Hashable, Sendable {
    package static let magic: [UInt8] = Array("CASEIMAG".utf8)
    package static let version: UInt16 = 1

    let layout: ImageLayout
    let top: TreeHash

    /// Whether the bytes at the start of a store are those of an image.
    package static func isPresent(_ bytes: UnsafeRawBufferPointer) -> Bool {
        bytes.count >= magic.count && bytes.prefix(magic.count).elementsEqual(magic)
    }

    /// - Throws: ``ImageError/notAnImage``, ``ImageError/newerVersion(found:supported:)``,
    ///   ``ImageError/unknownFeatures(_:)``, ``ImageError/headerDamaged(_:)``.
    package static func parse(_ bytes: UnsafeRawBufferPointer) throws(ImageError) -> ImageHeader {
        guard bytes.count == blockBytes, isPresent(bytes) else { throw .notAnImage }
        let fields: Fields
        do throws(ParseError) { fields = try Fields(bytes) } catch { throw .headerDamaged("\(error)") }
        if fields.version > version { throw .newerVersion(found: fields.version, supported: version) }
        if fields.features != 0 { throw .unknownFeatures(fields.features) }
        guard fields.version == version, fields.sizes == (12, 7), fields.digest == 1 else {
            throw .headerDamaged("version, sizes or digest")
        }
        guard let layout = ImageLayout(blockCount: fields.blockCount) else {
            throw .headerDamaged("number of blocks")
        }
        return ImageHeader(layout: layout, top: fields.top)
    }

    private struct Fields {
        let version: UInt16
        let sizes: (UInt8, UInt8)
        let digest: UInt16
        let features: UInt64
        let blockCount: UInt64
        let top: TreeHash

        init(_ bytes: UnsafeRawBufferPointer) throws(ParseError) {
            var reader = ByteReader(bytes)
            try reader.skip(magic.count)
            version = try reader.u16()
            sizes = (try reader.u8(), try reader.u8())
            digest = try reader.u16()
            try reader.zeros(2, field: "image header")
            features = try reader.u64()
            blockCount = try reader.u64()
            top = TreeHash(loading: try reader.bytes(TreeHash.byteCount))
            try reader.zeros(blockBytes - 64, field: "image header")
        }
    }

    func serialise(into buffer: UnsafeMutableRawBufferPointer) {
        var writer = ByteWriter(buffer)
        writer.bytes(Self.magic)
        writer.u16(Self.version)
        writer.u8(12)
        writer.u8(7)
        writer.u16(1)
        writer.u16(0)
        writer.u64(0)
        writer.u64(layout.blockCount)
        top.store(into: writer.reserve(TreeHash.byteCount))
        writer.zeros(upTo: blockBytes)
    }
}
