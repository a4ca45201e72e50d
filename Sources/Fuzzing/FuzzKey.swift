import SecureBlock

/// The key of everything that is fuzzed.
enum FuzzKey {
    static func secret() throws(SealError) -> SecretBytes {
        try [UInt8](repeating: 5, count: 32).withRawBytes { bytes throws(SealError) in
            try SecretBytes(copying: bytes)
        }
    }

    static func credential() throws(SealError) -> Credential { .keyFile(try secret()) }

    static func sealing() throws(SealError) -> SealingKey { try SealingKey(key: try secret()) }
}
