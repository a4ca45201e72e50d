import SecureBlock

/// A device for reading that gives up when nobody wants the result any more.
final class WatchedDevice: BlockDevice {
    private let device: any BlockDevice
    private let isWanted: @Sendable () -> Bool

    init(_ device: any BlockDevice, isWanted: @escaping @Sendable () -> Bool) {
        self.device = device
        self.isWanted = isWanted
    }

    var logicalBlockCount: UInt64 { device.logicalBlockCount }
    var isReadOnly: Bool { true }
    var commitWanted: Bool { false }

    func read(_ first: LogicalBlock, into buffer: UnsafeMutableRawBufferPointer) throws(DeviceError) {
        guard isWanted() else {
            buffer.initializeMemory(as: UInt8.self, repeating: 0)
            throw .closed
        }
        try device.read(first, into: buffer)
    }

    func write(_ first: LogicalBlock, _ bytes: UnsafeRawBufferPointer) throws(DeviceError) { throw .readOnly }
    func discard(_ first: LogicalBlock, count: UInt64) throws(DeviceError) { throw .readOnly }
    func commit() throws(DeviceError) -> any CommitTicket { throw .readOnly }
}
