import SecureBlock
import SoftwareTPM
import Testing

@testable import TPM

/// Small volumes on memory hosts, and their keys.
enum TPMTesting {
    static let index: UInt32 = 0x0180_0100

    static func secret(_ byte: UInt8, count: Int = 32) throws -> SecretBytes {
        try [UInt8](repeating: byte, count: count).withUnsafeBytes { try SecretBytes(copying: $0) }
    }

    static func keyFile() throws -> Credential { .keyFile(try secret(7)) }

    static func create(
        _ host: any BlockHost, _ credential: Credential? = nil, anchor: (any Anchor)? = nil,
        anchorPolicy: AnchorPolicy? = nil
    ) throws {
        var options = VolumeOptions(logicalBytes: 256 * UInt64(blockBytes))
        options.segmentBytes = 16 * blockBytes
        options.anchorPolicy = anchorPolicy
        try SecureDevice.create(on: host, options, credential: credential ?? keyFile(), anchor: anchor)
    }

    static func open(
        _ host: any BlockHost, _ credential: Credential? = nil, anchor: (any Anchor)? = nil,
        mode: OpenMode = .readWrite, adopts: Bool = false
    ) throws -> SecureDevice {
        var options = DeviceOptions()
        options.maintenance = .inline
        options.acceptsMissingAnchor = adopts
        return try SecureDevice.open(
            host, credential: credential ?? keyFile(), anchor: anchor, mode: mode, options: options)
    }

    /// Writes one block and makes it durable.
    static func commit(_ device: SecureDevice, _ value: UInt8) throws {
        let buffer = AlignedBuffer(byteCount: blockBytes)
        buffer.bytes.initializeMemory(as: UInt8.self, repeating: value)
        try device.write(LogicalBlock(3), UnsafeRawBufferPointer(buffer.bytes))
        try device.commit().wait()
    }

    static func value(in device: SecureDevice) throws -> UInt8 {
        let buffer = AlignedBuffer(byteCount: blockBytes)
        try device.read(LogicalBlock(3), into: buffer.bytes)
        return buffer.bytes[0]
    }
}

/// A disk in memory, which outlives the devices that close it.
final class Disk {
    private var host = MemoryBlockHost()

    /// For the next device.
    func attached() -> MemoryBlockHost {
        host = copy()
        return host
    }

    /// As it is now.
    func copy() -> MemoryBlockHost { MemoryBlockHost(contents: host.contents) }
}
