import VFS

/// Why a look at the tree, or a change of it, did not come to its end. Whatever it had changed is undone.
enum TreeError: Error {
    /// A node has to be read first; the operation then runs again.
    case missingNode(address: UInt64, level: Int)
    /// A bitmap block has to be read first; the operation then runs again.
    case missingGroup(Int)
    case noSpace
    /// The tree is not what our own writing leaves; the text says where.
    case corrupt(String)
    /// The operation itself says no.
    case refused(Errno)
}

extension TreeError {
    /// Stored bytes of `key` that do not parse.
    static func unparsable(_ key: ItemKey, _ error: StoredError) -> TreeError {
        switch error {
        case .tooShort: .corrupt("item \(key): too short")
        case .invalid(let what): .corrupt("item \(key): \(what)")
        }
    }
}
