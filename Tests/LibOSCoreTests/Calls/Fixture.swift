import LibOSCore
import MemFS
import VFS

/// A namespace of memory filesystems and a context of user 0 in it.
struct Fixture {
    let memory = MemFS(maximumBytes: 64 << 20, rootPermissions: 0o755)
    let namespace: Namespace
    let root: FileContext

    init() {
        namespace = Namespace(root: memory)
        root = FileContext(namespace, umask: 0)
    }

    func user(_ user: UInt32, group: UInt32 = 100, groups: [UInt32] = []) -> FileContext {
        FileContext(namespace, caller: Caller(user: user, group: group, groups: groups), umask: 0o022)
    }
}

extension FileContext {
    func put(_ path: Path, _ text: String = "", permissions: UInt16 = 0o644) throws {
        let file = try open(path, [.writeOnly, .create, .truncate], permissions: permissions)
        if !text.isEmpty { _ = try write(file, Array(text.utf8)) }
        try close(file)
    }

    func text(_ path: Path) throws -> String {
        let file = try open(path)
        let bytes = try read(file, count: 1 << 16)
        try close(file)
        return String(decoding: bytes, as: UTF8.self)
    }

    func list(_ path: Path) throws -> [String] {
        try names(in: path).map { String(decoding: $0, as: UTF8.self) }.sorted()
    }
}
