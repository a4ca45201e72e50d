import CommandSupport
import EncFS
import Inspection
import SecureBlock

extension Whereabouts {
    /// As ``init(of:in:on:)``, with the failure as the user of `volume` reads it.
    package init(
        of file: String, in files: EncFS, on device: SecureDevice, volume: String
    ) throws(CommandFailure) {
        do throws(Failure) { try self.init(of: file, in: files, on: device) } catch {
            switch error {
            case .device(let error): throw CommandFailure(error, volume: volume)
            case .filesystem(let error):
                throw CommandFailure(
                    .fileMissing, "\(file): \(error)", at: volume, advice: "PATH is given from the volume's root.")
            }
        }
    }
}
