import SecureBlock

extension EncFS {
    /// Whether `device` holds a filesystem of this kind, sound or not. Changes nothing.
    /// - Throws: ``EncFSError/device(_:)`` when the place to look at cannot be read.
    public static func isPresent(on device: any BlockDevice) throws(EncFSError) -> Bool {
        do throws(EncFSError) {
            _ = try readSuperblock(device)
            return true
        } catch {
            switch error {
            case .notFormatted: return false
            case .device: throw error
            default: return true
            }
        }
    }
}
