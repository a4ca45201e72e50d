import CommandSupport
import EncFS
import Inspection
import SecureBlock

/// Makes a volume larger or smaller: the device and the filesystem on it, in the order that a crash between them forgives.
/// The filesystem is never larger than its device; where a crash leaves it smaller, the next resize goes on.
package struct VolumeResizer {
    private let device: SecureDevice
    private let files: EncFS?
    private let volume: String
    private let quiesce: Quiesce

    /// - Parameters:
    ///   - files: what stands on the device; `nil` for nothing that we know.
    ///   - quiesce: runs what it is given while everything is committed and stands still.
    package init(_ device: SecureDevice, _ files: EncFS?, volume: String, quiesce: @escaping Quiesce) {
        self.device = device
        self.files = files
        self.volume = volume
        self.quiesce = quiesce
    }

    /// Durable on return.
    /// - Returns: what was done, for people.
    package func resize(
        toBytes bytes: UInt64, progress: (UInt64, UInt64) -> Void
    ) throws(CommandFailure) -> String {
        guard bytes > 0, bytes % UInt64(blockBytes) == 0 else {
            throw CommandFailure(.usage, "a size is a multiple of \(blockBytes) bytes", at: volume)
        }
        let blocks = bytes / UInt64(blockBytes), old = device.logicalBlockCount
        if let files, blocks < files.blockCount { try resize(files, to: blocks, progress) }
        if blocks < old {
            do throws(ResizeError) { try device.prepareResize(toBlocks: blocks, progress: progress) } catch {
                throw CommandFailure(error, volume: volume)
            }
        }
        try resizeDevice(to: blocks)
        if let files, blocks > files.blockCount { try resize(files, to: blocks, progress) }
        return "\(ByteCount(bytes: bytes)), before \(ByteCount(bytes: old * UInt64(blockBytes)))"
    }

    private func resize(
        _ files: EncFS, to blocks: UInt64, _ progress: (UInt64, UInt64) -> Void
    ) throws(CommandFailure) {
        do throws(EncFSError) { try files.resize(toBlocks: blocks, progress: progress) } catch {
            throw CommandFailure(resizing: error, volume: volume)
        }
    }

    private func resizeDevice(to blocks: UInt64) throws(CommandFailure) {
        let outcome: Result<Void, ResizeError>
        do throws(CommandFailure) {
            outcome = try quiesced(by: quiesce) { () throws(ResizeError) in try device.resize(toBlocks: blocks) }
        } catch {
            device.abandonResize()
            throw error
        }
        try outcome.mapError { CommandFailure($0, volume: volume) }.get()
    }
}
