/// Both superblocks as stored: which parse, and, once a key is held, which is authentic.
package struct SuperblockCopies {
    struct Copy {
        var index: Int
        var superblock: Superblock
        var stored: AlignedBuffer
    }

    let sound: [Copy]
    let damaged: [Int]

    /// The first copy that parses; its volume identifier is needed before its authenticator can be checked.
    var first: Copy { sound[0] }

    /// - Throws: ``VolumeError/notAVolume``, ``VolumeError/superblocksDamaged``, and what a newer format asks for.
    init(_ host: any BlockHost) throws(VolumeError) {
        var sound: [Copy] = []
        var damaged: [Int] = []
        var failure: VolumeError = .notAVolume
        for (index, block) in Layout.superblocks.enumerated() {
            let buffer = AlignedBuffer(byteCount: blockBytes)
            do throws(HostError) {
                try host.read(at: block * UInt64(blockBytes), into: buffer.bytes)
            } catch {
                guard case .beyondEnd = error else { throw .host(error) }
                damaged.append(index)
                continue
            }
            do throws(VolumeError) {
                let superblock = try Superblock.parse(UnsafeRawBufferPointer(buffer.bytes))
                sound.append(Copy(index: index, superblock: superblock, stored: buffer))
            } catch {
                damaged.append(index)
                // A copy that says what it needs says more than one that is damaged, and that more than none.
                switch (failure, error) {
                case (_, .notAVolume), (.newerVersion, _), (.unknownFeatures, _): break
                default: failure = error
                }
            }
        }
        guard !sound.isEmpty else { throw failure }
        self.sound = sound
        self.damaged = damaged
    }

    /// The first copy that the volume key authenticates, its digest, and the copies that are damaged or forged.
    func authentic(_ keys: VolumeKeys) throws(VolumeError) -> (
        superblock: Superblock, digest: [UInt8], damaged: [Int]
    ) {
        var damaged = damaged
        var found: (Superblock, [UInt8])?
        for copy in sound {
            let bytes = UnsafeRawBufferPointer(copy.stored.bytes)
            do throws(SealError) {
                if copy.superblock.volume == keys.volume,
                    try Superblock.isAuthentic(bytes, key: keys.superblockKey)
                {
                    if found == nil { found = (copy.superblock, try Digest.sha256(bytes)) }
                } else {
                    damaged.append(copy.index)
                }
            } catch { throw .crypto("\(error)") }
        }
        guard let found else { throw .superblocksDamaged }
        return (found.0, found.1, damaged.sorted())
    }
}
