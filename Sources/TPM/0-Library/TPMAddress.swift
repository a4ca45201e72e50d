/// How to reach a TPM: the name and the settings of one of tpm2-tss's transports (TCTI), as `tpm2-tools` takes them too.
public struct TPMAddress: Hashable, Sendable, CustomStringConvertible {
    /// The kernel's resource manager, which shares a TPM among programs. It is named and not left to the library to find:
    /// where there is none, the library would go on to ports of this machine that anybody may listen on.
    public static let standard = TPMAddress("device:/dev/tpmrm0")

    public let text: String

    /// - Parameter text: for example `device:/dev/tpm0` or `swtpm:path=/run/vtpm`.
    public init(_ text: String) { self.text = text }

    public var description: String { text }
}
