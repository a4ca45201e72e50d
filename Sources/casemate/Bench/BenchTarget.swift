import CommandSupport
import SecureBlock

/// One side of the comparison: blocks that are written, made durable and read, from any number of threads.
protocol BenchTarget: Sendable {
    /// Writes `bytes` from block `first`; need not be durable on return.
    func write(_ first: UInt64, _ bytes: UnsafeRawBufferPointer) throws(CommandFailure)
    func read(_ first: UInt64, into buffer: UnsafeMutableRawBufferPointer) throws(CommandFailure)
    /// Returns once all that was written is durable.
    func sync() throws(CommandFailure)
}

extension BenchTarget {
    /// Writes the first `bytes` in order, durable on return.
    func fill(_ bytes: UInt64, _ scale: BenchScale) throws(CommandFailure) {
        let piece = UnsafeRawBufferPointer(scale.buffer.slice(0, BenchScale.readBytes))
        for index in 0..<(bytes / UInt64(piece.count)) {
            try write(index * UInt64(piece.count / blockBytes), piece)
        }
        try sync()
    }
}

/// The volume's device, as its client sees it.
struct VolumeTarget: BenchTarget {
    let device: SecureDevice
    let path: String

    func write(_ first: UInt64, _ bytes: UnsafeRawBufferPointer) throws(CommandFailure) {
        do {
            do {
                try device.write(LogicalBlock(first), bytes)
            } catch .commitRequired {
                // What every client does then; the time is the volume's.
                try device.commit().wait()
                try device.write(LogicalBlock(first), bytes)
            }
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
