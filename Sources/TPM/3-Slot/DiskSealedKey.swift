import SecureBlock

/// What a key slot keeps of a secret that a TPM sealed. All numbers are little-endian:
///
///      offset  bytes  field
///           0      2  version, 1
///           2      1  flags: 1 there is a PIN
///           3      1  zero
///           4      4  platform registers (PCR) of the policy, a bit each; 0 for none
///           8     16  salt of the PIN (0 without one)
///          24     32  name of the parent key, without its algorithm
///          56     32  policy (0 without registers)
///          88     32  identity of the object
///         120      2  count of the private bytes, 1 to 512
///         122         private bytes, as the TPM made them
///
/// The object's public area is not stored but made again from these, so nothing in it is the host's choice but what the TPM
/// itself checks.
package struct DiskSealedKey: Equatable {
    static let version: UInt16 = 1
    static let saltBytes = 16
    static let digestBytes = 32
    static let privateLimitBytes = 512
    static let registerCount: UInt32 = 24
    private static let headerBytes = 122

    var hasPIN: Bool
    var registers: UInt32
    var salt: [UInt8]
    var parent: [UInt8]
    var policy: [UInt8]
    var unique: [UInt8]
    var privateBytes: [UInt8]

    package var bytes: [UInt8] {
        var bytes = [UInt8](repeating: 0, count: Self.headerBytes + privateBytes.count)
        bytes.withMutableRawBytes { buffer in
            var writer = ByteWriter(buffer)
            writer.u16(Self.version)
            writer.u8(hasPIN ? 1 : 0)
            writer.u8(0)
            writer.u32(registers)
            writer.bytes(salt)
            writer.bytes(parent)
            writer.bytes(policy)
            writer.bytes(unique)
            writer.u16(UInt16(privateBytes.count))
            writer.bytes(privateBytes)
        }
        return bytes
    }
}

extension DiskSealedKey {
    package static func parse(_ bytes: [UInt8]) throws(ParseError) -> DiskSealedKey {
        try bytes.withRawBytes { bytes throws(ParseError) in
            var reader = ByteReader(bytes)
            guard try reader.u16() == version else { throw .unexpected(field: "version", position: 0) }
            let flags = try reader.u8()
            guard flags <= 1 else { throw .unexpected(field: "flags", position: 2) }
            try reader.zeros(1, field: "reserved")
            let registers = try reader.u32()
            guard registers >> registerCount == 0 else { throw .unexpected(field: "registers", position: 4) }
            let salt = Array(try reader.bytes(saltBytes))
            let parent = Array(try reader.bytes(digestBytes))
            let policy = Array(try reader.bytes(digestBytes))
            let unique = Array(try reader.bytes(digestBytes))
            let count = Int(try reader.u16())
            guard (1...privateLimitBytes).contains(count), count == reader.remaining else {
                throw .unexpected(field: "private bytes", position: 120)
            }
            return DiskSealedKey(
                hasPIN: flags == 1, registers: registers, salt: salt, parent: parent, policy: policy,
                unique: unique,
                privateBytes: Array(try reader.bytes(count)))
        }
    }
}
