import SecureBlock

extension DeviceError {
    /// For log lines and faults.
    var text: String {
        switch self {
        case .unreadable(let block, let reason): "\(block): \(reason.text)"
        case .outOfRange(let block, let count): "\(block) + \(count) is outside the device"
        case .misaligned(let byteCount): "\(byteCount) bytes are no whole blocks"
        case .readOnly: "the device is read-only"
        case .noSpace: "no room: the volume, or the disk that holds it, is full"
        case .commitRequired: "no room before a commit: the volume, or the disk that holds it, is full"
        case .latched(let cause): "the device stopped writing: \(cause)"
        case .closed: "the device is closed"
        }
    }
}

extension UnreadableReason {
    var text: String {
        switch self {
        case .tagMismatch(let block): "\(block): tag does not match"
        case .headerMismatch(let block): "\(block): record header does not verify"
        case .mapMismatch(let block): "\(block): map page does not verify"
        case .hashMismatch(0, let number): "block \(number) of the image does not verify"
        case .hashMismatch(let level, let number): "page \(number) of hashes on level \(level) does not verify"
        case .crypto(let cause): "the crypto library failed: \(cause)"
        case .lost: "lost, as a repair or a salvage found"
        case .host(let error): "host: \(error)"
        }
    }
}
