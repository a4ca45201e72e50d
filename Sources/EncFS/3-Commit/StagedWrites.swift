import SecureBlock

/// Gathers blocks in ascending order and writes neighbours together.
struct StagedWrites: ~Copyable {
    private static let limitBytes = 1 << 20
    private static let smallBytes = 64 << 10

    private let device: any BlockDevice
    // SAFETY: owned by this value; `filled` never exceeds its size.
    private var buffer = UnsafeMutableRawBufferPointer(start: nil, count: 0)
    private var first: UInt64 = 0
    private var filled = 0

    init(_ device: any BlockDevice) {
        self.device = device
    }

    deinit { buffer.deallocate() }

    /// - Parameter bytes: whole blocks, at most 1 MiB.
    mutating func add(_ block: UInt64, _ bytes: UnsafeRawBufferPointer) throws(DeviceError) {
        precondition(bytes.count % blockBytes == 0 && bytes.count <= Self.limitBytes)
        if filled > 0, block != first + UInt64(filled / blockBytes) || filled + bytes.count > Self.limitBytes {
            try flush()
        }
        if filled == 0 { first = block }
        reserve(filled + bytes.count)
        UnsafeMutableRawBufferPointer(rebasing: buffer[filled..<filled + bytes.count]).copyMemory(from: bytes)
        filled += bytes.count
    }

    /// Most commits stage little, and many nothing: a large buffer would cost them two system calls and its pages.
    private mutating func reserve(_ byteCount: Int) {
        guard byteCount > buffer.count else { return }
        let larger = UnsafeMutableRawBufferPointer.allocate(
            byteCount: byteCount <= Self.smallBytes ? Self.smallBytes : Self.limitBytes, alignment: blockBytes)
        larger.copyMemory(from: UnsafeRawBufferPointer(rebasing: buffer[..<filled]))
        buffer.deallocate()
        buffer = larger
    }

    mutating func add(_ block: UInt64, _ bytes: [UInt8]) throws(DeviceError) {
        var failure: DeviceError?
        bytes.withUnsafeBytes { source in
            do throws(DeviceError) { try add(block, source) } catch { failure = error }
        }
        if let failure { throw failure }
    }

    mutating func flush() throws(DeviceError) {
        guard filled > 0 else { return }
        let count = filled
        filled = 0
        try device.writeForCommit(LogicalBlock(first), UnsafeRawBufferPointer(rebasing: buffer[0..<count]))
    }
}
