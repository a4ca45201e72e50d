/// Both superblocks as stored: which parse, and, once a key is held, which is authentic.
package struct SuperblockCopies {
    struct Copy {
        var index: Int
        var superblock: Superblock
        var stored: AlignedBuffer

        /// What roots bind: the checksum over all but the authenticator.
        var digest: [UInt8] { Superblock.digest(UnsafeRawBufferPointer(stored.bytes)) }

        func isAuthentic(_ keys: VolumeKeys, version: UInt32) throws(SealError) -> Bool {
            guard superblock.volume == keys.volume, let key = try keys.superblockKey(version: version) else {
                return false
            }
            return try Superblock.isAuthentic(UnsafeRawBufferPointer(stored.bytes), key: key)
        }
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
                // A checksum that cannot be computed says nothing about the copy.
                if case .crypto = error { throw error }
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

    /// Which copies are not those that the root binds, and which are but carry the authenticator of an older volume key.
    func judged(digest: [UInt8], _ keys: VolumeKeys) throws(SealError) -> (damaged: [Int], stale: [Int]) {
        var damaged = damaged
        var stale: [Int] = []
        for copy in sound {
            var isStale = false
            if copy.digest == digest {
                if try copy.isAuthentic(keys, version: keys.version) { continue }
                for version in keys.olderVersions where !isStale {
                    isStale = try copy.isAuthentic(keys, version: version)
                }
            }
            if isStale { stale.append(copy.index) } else { damaged.append(copy.index) }
        }
        return (damaged.sorted(), stale)
    }
}
