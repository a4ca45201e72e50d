@testable import SecureBlock

/// Ours, not the one of swift-testing.
typealias Tag = SecureBlock.Tag

/// Bytes from hexadecimal text; spaces are ignored.
func hex(_ text: String) -> [UInt8] {
    let digits = text.compactMap(\.hexDigitValue)
    return stride(from: 0, to: digits.count, by: 2).map { UInt8(digits[$0] << 4 | digits[$0 + 1]) }
}

func secret(_ bytes: [UInt8]) throws -> SecretBytes {
    try bytes.withRawBytes { try SecretBytes(copying: $0) }
}

extension SecretBytes {
    var copy: [UInt8] { withUnsafeBytes { [UInt8]($0) } }
}
