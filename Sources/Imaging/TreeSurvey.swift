import SecureBlock
import VFS

/// Counts what a tree needs, so that the size of its image follows from the tree alone.
struct TreeSurvey: TreeVisitor {
    private let tree: SourceTree
    private(set) var files: UInt64 = 0
    private(set) var directories: UInt64 = 1
    /// Blocks that are not all zeros, of files that are too large to stand in the filesystem's tree.
    private(set) var dataBlocks: UInt64 = 0
    /// What stands in the filesystem's tree, roughly.
    private var treeBytes: UInt64 = 4096

    /// An inode, the three items of a name, and what a node needs for each item.
    private static let inodeBytes: UInt64 = 160
    private static let nameBytes: UInt64 = 200
    private static let itemBytes: UInt64 = 64

    init(_ tree: SourceTree) throws(ImageBuildError) {
        self.tree = tree
        try countAttributes(try tree.root())
        try tree.walk(&self, from: ())
    }

    /// Blocks of a filesystem for it.
    /// - Parameter nodeHalves: what nodes take for two bytes that were counted: they are rarely full.
    func blockCount(nodeHalves: UInt64) -> UInt64 {
        let nodeBlocks = (treeBytes * nodeHalves / 2 / UInt64(blockBytes) + 64) / 4 * 4
        let used = dataBlocks + nodeBlocks
        // The reserve, the bitmaps, and room for extents to find their places.
        let blocks = used + used / 64 + 384
        return (blocks + ImageBuild.roundingBlocks - 1) / ImageBuild.roundingBlocks * ImageBuild.roundingBlocks
    }

    mutating func enter(_ directory: SourceFile, in place: ()) throws(ImageBuildError) {
        directories += 1
        try count(directory)
    }

    mutating func leave(_ directory: SourceFile, _ place: ()) throws(ImageBuildError) {}

    mutating func add(_ file: SourceFile, in place: ()) throws(ImageBuildError) {
        files += 1
        guard !file.isAnotherName else {
            treeBytes += Self.nameBytes + UInt64(file.name?.bytes.count ?? 0)
            return
        }
        try count(file)
        if file.attributes.kind == .symbolicLink { treeBytes += Self.itemBytes + file.attributes.size }
        guard file.attributes.kind == .regular else { return }
        if file.attributes.size <= UInt64(ImageBuild.inlineBytes) {
            treeBytes += Self.itemBytes + file.attributes.size
        }
        var blocks: UInt64 = 0, items: UInt64 = 0
        try tree.forEachRun(of: file) { _, run throws(ImageBuildError) in
            blocks += UInt64((run.count + blockBytes - 1) / blockBytes)
            items += 1
        }
        treeBytes += items * Self.itemBytes
        if file.attributes.size > UInt64(ImageBuild.inlineBytes) { dataBlocks += blocks }
    }

    private mutating func count(_ file: SourceFile) throws(ImageBuildError) {
        treeBytes += Self.inodeBytes + Self.nameBytes + UInt64(file.name?.bytes.count ?? 0)
        try countAttributes(file)
    }

    private mutating func countAttributes(_ file: SourceFile) throws(ImageBuildError) {
        for (name, value) in try tree.extendedAttributes(of: file) {
            treeBytes += 2 * Self.itemBytes + UInt64(name.count + value.count)
        }
    }
}
