import CommandSupport
import SecureBlock

/// One side of the comparison: blocks that are written, made durable and read.
protocol BenchTarget {
    /// Writes `bytes` from block `first`; need not be durable on return.
    func write(_ first: UInt64, _ bytes: UnsafeRawBufferPointer) throws(CommandFailure)
    func read(_ first: UInt64, into buffer: UnsafeMutableRawBufferPointer) throws(CommandFailure)
    /// Returns once all that was written is durable.
    func sync() throws(CommandFailure)
}

/// The volume's device.
struct VolumeTarget: BenchTarget {
    let device: SecureDevice
    let path: String

    func write(_ first: UInt64, _ bytes: UnsafeRawBufferPointer) throws(CommandFailure) {
        do {
            try device.write(LogicalBlock(first), bytes)
        } catch {
            throw CommandFailure(error, volume: path)
        }
    }

    func read(_ first: UInt64, into buffer: UnsafeMutableRawBufferPointer) throws(CommandFailure) {
        do {
            try device.read(LogicalBlock(first), into: buffer)
        } catch {
            throw CommandFailure(error, volume: path)
        }
    }

    func sync() throws(CommandFailure) {
        do {
            try device.commit().wait()
        } catch {
            throw CommandFailure(error, volume: path)
        }
    }
}
