import ArgumentParser
import SecureBlock

/// One `--mount`: what, where in the namespace, and from where on the host.
///
///     enc:/=VOLUME    an encrypted volume
///     image:/=FILE@HASH   an image, with its root hash
///     mem:/tmp        a filesystem in memory
///     host:/src=DIR   a directory of the host
///     union:/=UPPER,LOWER,…   layers, each enc:VOLUME, image:FILE@HASH, mem: or host:DIR, the writable one first
struct MountArgument: ExpressibleByArgument, Hashable {
    enum Kind: String, CaseIterable {
        case enc
        case image
        case mem
        case host
        case union
    }

    /// One filesystem of a mount.
    struct Layer: Hashable {
        var kind: Kind
        /// The volume, image or directory; empty for memory.
        var source: String

        /// Of an image, its file and the root hash it has to have.
        var image: (path: String, root: TreeHash)? {
            guard kind == .image, let at = source.lastIndex(of: "@"),
                let root = TreeHash(String(source[source.index(after: at)...])), at != source.startIndex
            else { return nil }
            return (String(source[..<at]), root)
        }

        /// Whether it names what its kind needs.
        fileprivate var isComplete: Bool { (kind == .mem) == source.isEmpty && (kind != .image || image != nil) }
    }

    var kind: Kind
    /// Absolute, without `.`, `..` and doubled slashes.
    var path: String
    /// The volume or directory; empty for memory.
    var source: String
    /// Of a union: the writable layer first. Otherwise the one there is.
    var layers: [Layer]

    init?(argument: String) {
        guard let colon = argument.firstIndex(of: ":"), let kind = Kind(rawValue: String(argument[..<colon])) else {
            return nil
        }
        let rest = argument[argument.index(after: colon)...]
        let parts = rest.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
        guard let path = parts.first, path.hasPrefix("/") else { return nil }
        let components = path.split(separator: "/", omittingEmptySubsequences: true)
        guard !components.contains(where: { $0 == "." || $0 == ".." }) else { return nil }
        self.kind = kind
        self.path = "/" + components.joined(separator: "/")
        source = parts.count == 2 ? String(parts[1]) : ""
        layers = [Layer(kind: kind, source: source)]
        guard layers[0].isComplete else { return nil }
        guard kind == .union else { return }
        layers = []
        for part in source.split(separator: ",", omittingEmptySubsequences: false) {
            guard let colon = part.firstIndex(of: ":"), let kind = Kind(rawValue: String(part[..<colon])),
                kind != .union
            else { return nil }
            let layer = Layer(kind: kind, source: String(part[part.index(after: colon)...]))
            guard layer.isComplete else { return nil }
            layers.append(layer)
        }
        guard layers.count >= 2 else { return nil }
    }

    var components: [Substring] { path.split(separator: "/") }
    var isRoot: Bool { components.isEmpty }

    static var allValueStrings: [String] {
        [
            "enc:/PATH=VOLUME", "image:/PATH=FILE@HASH", "mem:/PATH", "host:/PATH=DIRECTORY",
            "union:/PATH=UPPER,LOWER",
        ]
    }
}
