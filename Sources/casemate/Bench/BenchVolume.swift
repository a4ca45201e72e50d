import CommandSupport
import SecureBlock

/// A volume made for measuring, under a random key that nobody keeps, with the defaults that everybody gets.
final class BenchVolume {
    private(set) var target: VolumeTarget
    private let credential: Credential
    private let anchor: FileAnchor?

    /// - Parameter anchorPath: where the file of an anchor is to be made; `nil`: no anchor.
    init(path: String, logicalBytes: UInt64, anchorPath: String? = nil) throws(CommandFailure) {
        do {
            credential = Credential.keyFile(try SecretBytes.random(byteCount: Credential.keyFileBytes))
        } catch {
            throw CommandFailure(.cryptoFailed, "\(error)", at: path)
        }
        anchor = anchorPath.map { FileAnchor(path: $0) }
        do {
            let host = try FileBlockHost.create(path: path, FileHostOptions(cachesReads: false))
            try SecureDevice.create(
                on: host, VolumeOptions(logicalBytes: logicalBytes), credential: credential, anchor: anchor)
            target = VolumeTarget(
                device: try SecureDevice.open(host, credential: credential, anchor: anchor), path: path)
        } catch let error as VolumeError {
            throw CommandFailure(error, volume: path)
        } catch let error as HostError {
            throw CommandFailure(error, volume: path)
        } catch {
            throw CommandFailure(.internal, "\(error)", at: path)
        }
    }

    var transport: String { target.device.status.transport }
    var counters: DeviceCounters { target.device.status.counters }

    /// Writes the first `bytes` again and again until the log has been everywhere in the file: from then on it overwrites, as
    /// the plain file's writes do.
    func fillWholeFile(_ bytes: UInt64, _ scale: BenchScale) throws(CommandFailure) {
        let status = target.device.status
        for _ in 0...(status.volumeBytes / bytes) where target.device.status.neverUsedSegments > 0 {
            try target.fill(bytes, scale)
        }
    }

    /// Closes and opens it again: nothing of the map and no tags are in memory then.
    func reopen() throws(CommandFailure) {
        try close()
        do {
            let host = try FileBlockHost.open(path: target.path, FileHostOptions(cachesReads: false))
            target = VolumeTarget(
                device: try SecureDevice.open(host, credential: credential, anchor: anchor), path: target.path)
        } catch let error as VolumeError {
            throw CommandFailure(error, volume: target.path)
        } catch let error as HostError {
            throw CommandFailure(error, volume: target.path)
        } catch {
            throw CommandFailure(.internal, "\(error)", at: target.path)
        }
    }

    func close() throws(CommandFailure) {
        do {
            try target.device.close()
        } catch {
            throw CommandFailure(error, volume: target.path)
        }
    }
}
