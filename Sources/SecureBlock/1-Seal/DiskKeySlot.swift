/// The stored form of a ``KeySlot``; the byte table is there.
enum DiskKeySlot {
    static let magic: UInt64 = 0x544C_5359_454B_4D43  // "CMKEYSLT"
    static let version: UInt16 = 1
    static let volumeKeyBytes = 32
    static let saltBytes = 32
    static let saltStart = 48
    /// Where the public fields end and nonce, wrapped key and tag begin.
    static let fieldsEnd = 80
    static let wrappedEnd = fieldsEnd + volumeKeyBytes + WrappedKey.overheadBytes
    /// Where the sealed bytes begin, behind their count.
    static let sealedStart = wrappedEnd + 2
    static let secretBytes = 32
    static let digestStart = blockBytes - Digest.byteCount

    static func bytes(
        volumeKey: SecretBytes, credential: Credential, number: Int, volume: VolumeIdentifier, scrypt: ScryptCost
    ) throws(SealError) -> [UInt8] {
        guard volumeKey.byteCount == volumeKeyBytes else { throw .unsuitable("a volume key has 32 bytes") }
        let kind: KeySlot.Kind
        var sealed: [UInt8] = []
        var secret: SecretBytes?
        switch credential {
        case .passphrase:
            guard scrypt.isSuitable else { throw .unsuitable("scrypt cost \(scrypt)") }
            kind = .passphrase(scrypt)
        case .keyFile(let key):
            guard key.byteCount == Credential.keyFileBytes else { throw .unsuitable("a key file has 32 bytes") }
            kind = .keyFile
        case .sealer(let sealer):
            kind = .sealed
            let drawn = try SecretBytes.random(byteCount: secretBytes)
            do throws(KeySealerError) { sealed = try sealer.seal(drawn) } catch { throw .sealer(error) }
            precondition((1...KeySlot.sealedLimitBytes).contains(sealed.count), "a sealer keeps to the limit")
            secret = drawn
        }
        let salt = try Random.bytes(saltBytes)
        let key = try salt.withRawBytes { salt throws(SealError) in
            if let secret { return try wrappingKey(kind: kind, material: secret, salt: salt) }
            return try wrappingKey(kind: kind, credential: credential, sealed: sealed, salt: salt)
        }
        var block = [UInt8](repeating: 0, count: blockBytes)
        block.withMutableRawBytes { writeFields(kind, number: number, volume: volume, salt: salt, to: $0) }
        let data = associatedData([UInt8](block[..<fieldsEnd]), sealed)
        let wrapped = try data.withRawBytes { data throws(SealError) in
            try WrappedKey.wrap(volumeKey, under: key, associatedData: data)
        }
        block.replaceSubrange(fieldsEnd..<wrappedEnd, with: wrapped)
        block.replaceSubrange(wrappedEnd..<sealedStart + sealed.count, with: counted(sealed))
        return try finished(block)
    }

    static func emptyBytes(number: Int, volume: VolumeIdentifier) throws(SealError) -> [UInt8] {
        var block = [UInt8](repeating: 0, count: blockBytes)
        let salt = [UInt8](repeating: 0, count: saltBytes)
        block.withMutableRawBytes { writeFields(.empty, number: number, volume: volume, salt: salt, to: $0) }
        return try finished(block)
    }

    /// What the tag of the volume key also covers: all public fields.
    static func associatedData(_ fields: [UInt8], _ sealed: [UInt8]) -> [UInt8] {
        sealed.isEmpty ? fields : fields + counted(sealed)
    }

    private static func counted(_ sealed: [UInt8]) -> [UInt8] {
        [UInt8(truncatingIfNeeded: sealed.count), UInt8(truncatingIfNeeded: sealed.count >> 8)] + sealed
    }

    /// The key that wraps the volume key. `kind` and `credential` go together.
    static func wrappingKey(
        kind: KeySlot.Kind, credential: Credential, sealed: [UInt8], salt: UnsafeRawBufferPointer
    ) throws(SealError) -> SecretBytes {
        let material: SecretBytes
        switch (kind, credential) {
        case (.passphrase(let cost), .passphrase(let passphrase)):
            material = try KeyDerivation.scrypt(passphrase: passphrase, salt: salt, cost: cost)
        case (.keyFile, .keyFile(let key)):
            material = key
        case (.sealed, .sealer(let sealer)):
            do throws(KeySealerError) { material = try sealer.unseal(sealed) } catch { throw .sealer(error) }
            guard material.byteCount == secretBytes else { throw .sealer(.malformed("a secret of another length")) }
        default:
            throw .unsuitable("a credential of another kind than the slot's")
        }
        return try wrappingKey(kind: kind, material: material, salt: salt)
    }

    private static func wrappingKey(
        kind: KeySlot.Kind, material: SecretBytes, salt: UnsafeRawBufferPointer
    ) throws(SealError) -> SecretBytes {
        let info = [UInt8]("casemate key slot 1".utf8) + [kind.code]
        return try KeyDerivation.hkdf(key: material, salt: salt, info: info)
    }

    static func parse(_ bytes: UnsafeRawBufferPointer, slot: Int) throws(KeySlotError) -> KeySlot {
        guard bytes.count == blockBytes else { throw .damaged(slot: slot) }
        // SAFETY: both ranges lie within the `blockBytes` checked above.
        let digest: [UInt8]
        do throws(SealError) {
            digest = try Digest.sha256(UnsafeRawBufferPointer(rebasing: bytes[..<digestStart]))
        } catch {
            throw .seal(error)
        }
        guard digest.elementsEqual(bytes[digestStart...]) else { throw .damaged(slot: slot) }
        let fields: Fields
        do throws(ParseError) {
            fields = try Fields(bytes)
        } catch {
            switch error {
            case .pastEnd: throw .damaged(slot: slot)
            case .unexpected(let field, _): throw .unexpected(slot: slot, field: field)
            }
        }
        guard fields.version == version else { throw .unsupportedVersion(slot: slot, found: fields.version) }
        guard fields.number == slot else { throw .misplaced(slot: slot, found: fields.number) }
        guard let kind = fields.kind else { throw .unexpected(slot: slot, field: "kind") }
        return KeySlot(
            number: slot, kind: kind, volume: fields.volume, stored: [UInt8](bytes[..<wrappedEnd]),
            sealed: [UInt8](bytes[sealedStart..<sealedStart + fields.sealedCount]))
    }

    private static func writeFields(
        _ kind: KeySlot.Kind, number: Int, volume: VolumeIdentifier, salt: [UInt8],
        to block: UnsafeMutableRawBufferPointer
    ) {
        guard let number = UInt16(exactly: number) else { preconditionFailure("a slot number has 16 bits") }
        var cost: (logN: UInt8, r: UInt8, p: UInt8) = (0, 0, 0)
        if case .passphrase(let scrypt) = kind { cost = (scrypt.logN, scrypt.r, scrypt.p) }
        var writer = ByteWriter(block)
        writer.u64(magic)
        writer.u16(version)
        writer.u16(number)
        writer.u8(kind.code)
        writer.u8(cost.logN)
        writer.u8(cost.r)
        writer.u8(cost.p)
        writer.u32(0)
        writer.zeros(12)
        writer.volumeIdentifier(volume)
        writer.bytes(salt)
    }

    /// The block with its checksum in place.
    private static func finished(_ block: [UInt8]) throws(SealError) -> [UInt8] {
        var block = block
        let digest = try block.withRawBytes { bytes throws(SealError) in
            try Digest.sha256(UnsafeRawBufferPointer(rebasing: bytes[..<digestStart]))
        }
        block.replaceSubrange(digestStart..., with: digest)
        return block
    }

    /// The public fields as they are read, each checked on its own.
    private struct Fields {
        let version: UInt16
        let number: Int
        /// `nil` for a kind of a later version.
        var kind: KeySlot.Kind?
        let volume: VolumeIdentifier
        /// At most ``KeySlot/sealedLimitBytes``, and above 0 exactly where a device sealed.
        var sealedCount = 0

        init(_ bytes: UnsafeRawBufferPointer) throws(ParseError) {
            var reader = ByteReader(bytes)
            guard try reader.u64() == magic else { throw .unexpected(field: "magic", position: 0) }
            version = try reader.u16()
            number = Int(try reader.u16())
            let code = try reader.u8()
            let cost = ScryptCost(logN: try reader.u8(), r: try reader.u8(), p: try reader.u8())
            guard version == DiskKeySlot.version else {
                // The caller stops at the version; what follows may mean something else there.
                volume = try reader.volumeIdentifier()
                return
            }
            switch code {
            case KeySlot.Kind.empty.code: kind = .empty
            case KeySlot.Kind.passphrase(cost).code:
                guard cost.isSuitable else { throw .unexpected(field: "scrypt cost", position: 13) }
                kind = .passphrase(cost)
            case KeySlot.Kind.keyFile.code: kind = .keyFile
            case KeySlot.Kind.sealed.code: kind = .sealed
            default: throw .unexpected(field: "kind", position: 12)
            }
            if case .passphrase = kind {
            } else if cost != ScryptCost(logN: 0, r: 0, p: 0) {
                throw .unexpected(field: "scrypt cost", position: 13)
            }
            try reader.zeros(4, field: "flags")
            try reader.zeros(12, field: "reserved")
            volume = try reader.volumeIdentifier()
            try reader.skip(wrappedEnd - reader.position)
            sealedCount = Int(try reader.u16())
            guard sealedCount <= KeySlot.sealedLimitBytes, (sealedCount > 0) == (kind == .sealed) else {
                throw .unexpected(field: "sealed bytes", position: wrappedEnd)
            }
            try reader.skip(sealedCount)
            try reader.zeros(digestStart - reader.position, field: "reserved")
        }
    }
}

extension KeySlot.Kind {
    /// As stored.
    var code: UInt8 {
        switch self {
        case .empty: 0
        case .passphrase: 1
        case .keyFile: 2
        case .sealed: 3
        }
    }
}
