public import SecureBlock

/// What `info` tells of an image.
public struct ImageSummary: Sendable {
    private let rootHash: TreeHash
    private let isPinned: Bool
    private let blocks: UInt64
    private let imageBytes: UInt64
    private let storeBytes: UInt64

    /// - Parameter storeBytes: size of the file or device that holds the image.
    public init(_ image: ImageDevice, storeBytes: UInt64) {
        rootHash = image.rootHash
        isPinned = image.isPinned
        blocks = image.logicalBlockCount
        imageBytes = image.imageBytes
        self.storeBytes = storeBytes
    }

    /// What an image that was opened so does not protect against.
    public static func exposure(of image: ImageDevice) -> [String] {
        image.isPinned
            ? []
            : [
                "no root hash was given: damage shows, but another image in place of the right one would go unnoticed"
            ]
    }

    private var rows: [(name: String, value: String)] {
        [
            ("image", "read-only, in clear, version 1, SHA-256"),
            ("root hash", "\(rootHash)"),
            ("compared", isPinned ? "with the root hash that was given" : "WITH NONE"),
            ("holds", "\(blocks) blocks, \(ByteCount(bytes: blocks * UInt64(blockBytes)))"),
            ("on the host", "\(imageBytes) bytes"),
            (
                "behind it",
                storeBytes > imageBytes ? "\(storeBytes - imageBytes) bytes that are no part of it" : "nothing"
            ),
        ]
    }

    public func text(image: String) -> String { ([image] + rows.aligned).joined(separator: "\n") }

    /// For programs: the same facts, sizes in bytes.
    public var json: JSON {
        [
            "image": .bool(true),
            "formatVersion": .number(1),
            "rootHash": .string("\(rootHash)"),
            "isPinned": .bool(isPinned),
            "logicalBytes": .number(blocks * UInt64(blockBytes)),
            "imageBytes": .number(imageBytes),
            "storeBytes": .number(storeBytes),
        ]
    }
}

extension [(name: String, value: String)] {
    /// Two columns.
    var aligned: [String] {
        let width = map(\.name.count).max() ?? 0
        return map { "  \($0.name)\(String(repeating: " ", count: width - $0.name.count))  \($0.value)" }
    }
}
