import Glibc
public import SecureBlock
import TPM

/// Where a volume's anchor is, as given on the command line.
public enum AnchorSource: Hashable, Sendable, CustomStringConvertible {
    /// None: an older copy of the whole volume cannot be told from the current one.
    case none
    /// A file, which belongs on other storage than the volume.
    case file(path: String)
    /// An NV index of a TPM 2.0.
    case tpm(index: UInt32)

    /// `none`, `file:PATH` or `tpm:0xINDEX`; `nil` for anything else.
    public init?(_ text: String) {
        if text == "none" {
            self = .none
        } else if text.hasPrefix("file:"), text.utf8.count > 5 {
            self = .file(path: String(text.dropFirst(5)))
        } else if text.hasPrefix("tpm:0x"), let index = UInt32(text.dropFirst(6), radix: 16),
            TPMAnchor.indexes.contains(index)
        {
            self = .tpm(index: index)
        } else {
            return nil
        }
    }

    public var description: String {
        switch self {
        case .none: "none"
        case .file(let path): "file:\(path)"
        case .tpm(let index): "tpm:0x\(String(index, radix: 16))"
        }
    }

    /// The anchor itself; nothing is opened yet.
    public var anchor: (any Anchor)? {
        switch self {
        case .none: nil
        case .file(let path): FileAnchor(path: path)
        case .tpm(let index): TPMAnchor(index: index, at: .fromEnvironment)
        }
    }
}

extension TPMAddress {
    /// The TPM that `CASEMATE_TPM_TCTI` names, as `TPM2TOOLS_TCTI` does for tpm2-tools; the kernel's where it names none.
    static var fromEnvironment: TPMAddress {
        guard let text = getenv("CASEMATE_TPM_TCTI"), text[0] != 0 else { return .standard }
        return TPMAddress(String(cString: text))
    }
}
