/// Where a volume's anchor is, as given on the command line.
public enum AnchorSource: Hashable, Sendable, CustomStringConvertible {
    /// None: an older copy of the whole volume cannot be told from the current one.
    case none
    /// A file, which belongs on other storage than the volume.
    case file(path: String)

    /// `none` or `file:PATH`; `nil` for anything else.
    public init?(_ text: String) {
        if text == "none" {
            self = .none
        } else if text.hasPrefix("file:"), text.utf8.count > 5 {
            self = .file(path: String(text.dropFirst(5)))
        } else {
            return nil
        }
    }

    public var description: String {
        switch self {
        case .none: "none"
        case .file(let path): "file:\(path)"
        }
    }
}
