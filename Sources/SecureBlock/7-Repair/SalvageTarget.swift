/// The new volume that a salvage fills, in ascending order of blocks.
final class SalvageTarget {
    private let device: SecureDevice
    private var uncommittedBlocks = 0
    private static let commitBlocks = 16384

    init(_ device: SecureDevice) { self.device = device }

    func write(_ first: LogicalBlock, _ bytes: UnsafeRawBufferPointer) throws(VolumeError) {
        try retrying { () throws(DeviceError) in try device.write(first, bytes) }
        try note(bytes.count / blockBytes)
    }

    func markLost(_ first: LogicalBlock, count: UInt64) throws(VolumeError) {
        var done: UInt64 = 0
        // In parts, so that commits come between: every part changes pages of the map.
        while done < count {
            let part = min(count - done, 1 << 16)
            try retrying { () throws(DeviceError) in
                try device.markLost(LogicalBlock(first.rawValue + done), count: part)
            }
            try note(Int(part) / MapEntry.perPage + 1)
            done += part
        }
    }

    /// Everything written is durable.
    func finish() throws(VolumeError) { try commit() }

    private func note(_ blocks: Int) throws(VolumeError) {
        uncommittedBlocks += blocks
        if uncommittedBlocks >= Self.commitBlocks || device.commitWanted { try commit() }
    }

    private func commit() throws(VolumeError) {
        uncommittedBlocks = 0
        do throws(DeviceError) { try device.commit().wait() } catch { throw .device(error) }
    }

    private func retrying(_ body: () throws(DeviceError) -> Void) throws(VolumeError) {
        do throws(DeviceError) { try body() } catch {
            guard error == .commitRequired else { throw .device(error) }
            try commit()
            do throws(DeviceError) { try body() } catch { throw .device(error) }
        }
    }
}
