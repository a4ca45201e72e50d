import CommandSupport
import SecureBlock

/// A volume made for measuring, under a random key that nobody keeps.
struct BenchVolume {
    let target: VolumeTarget
    var transport: String { target.device.status.transport }

    /// - Parameter workBytes: what each round covers. The volume is as much larger as all rounds write to its log.
    init(path: String, workBytes: UInt64, rounds: Int) throws(CommandFailure) {
        do {
            let credential = Credential.keyFile(try SecretBytes.random(byteCount: Credential.keyFileBytes))
            let host = try FileBlockHost.create(path: path)
            let options = VolumeOptions(logicalBytes: workBytes * UInt64(3 * rounds + 1))
            try SecureDevice.create(on: host, options, credential: credential)
            target = VolumeTarget(device: try SecureDevice.open(host, credential: credential), path: path)
        } catch let error as VolumeError {
            throw CommandFailure(error, volume: path)
        } catch let error as HostError {
            throw CommandFailure(error, volume: path)
        } catch {
            throw CommandFailure(.cryptoFailed, "\(error)", at: path)
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
