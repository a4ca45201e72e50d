import EncFS
public import SecureBlock
public import VFS

/// Makes an image of a tree of files: a filesystem in which everything follows from the tree.
///
///     let built = try ImageBuild.run(tree, on: host, scratch: scratch, ImageBuild.Options())
///     print(built.rootHash)
///
/// **Reproducible.** The same names, contents, permissions, owners, modification times, links and attributes give the same bytes and
/// the same root hash, on every machine: entries are taken in the order of their names' bytes, inode numbers are given in that order,
/// blocks of zeros are holes wherever the tree has its own, and each file's access, change and birth times are its
/// modification time. Nothing is random.
///
/// The machine that builds is trusted, as is what it reads the tree from: the root hash stands for what it read.
public enum ImageBuild {
    /// How a tree becomes a filesystem.
    public struct Options: Sendable {
        /// Whose the files are.
        public var ownership = Ownership.kept
        /// Times after this one become this one, as `SOURCE_DATE_EPOCH` wants it (reproducible-builds.org).
        public var latestTime: Timestamp?
        public init() {}

        func time(of attributes: Attributes) -> Timestamp {
            min(attributes.modificationTime, latestTime ?? attributes.modificationTime)
        }

        func owner(of attributes: Attributes) -> (user: UInt32, group: UInt32) {
            switch ownership {
            case .kept: (attributes.owner, attributes.group)
            case .fixed(let user, let group): (user, group)
            }
        }
    }

    /// Whose the files of an image are.
    public enum Ownership: Sendable, Hashable {
        /// As in the tree.
        case kept
        case fixed(user: UInt32, group: UInt32)
    }

    /// What came of it.
    public struct Summary: Sendable {
        public var rootHash: TreeHash
        public var imageBytes: UInt64
        /// Names of anything but directories.
        public var files: UInt64
        public var directories: UInt64
        /// Paths of sockets, which are not in the image.
        public var leftOut: [String]
    }

    /// How far it is: names done, and all of them.
    public typealias Progress = (UInt64, UInt64) -> Void

    static let nodeBytes = 16384
    /// Files up to this size stand in the filesystem's tree: an eighth of a node.
    static let inlineBytes = nodeBytes / 8
    /// The size of a filesystem is a multiple of this many blocks.
    static let roundingBlocks: UInt64 = 128

    /// Makes the image on `host`, which is empty; durable on return.
    /// - Parameter scratch: room for the filesystem in the making; what is there afterwards is of no use.
    public static func run(
        _ source: any FileSystem, on host: any BlockHost, scratch: any BlockHost, _ options: Options,
        progress: Progress = { _, _ in }
    ) throws(ImageBuildError) -> Summary {
        // Twice the room each time it was too little, so that the size is the same on every machine.
        try run(source, on: host, scratch: scratch, options, nodeHalves: [3, 6, 12, 24], progress: progress)
    }

    /// - Parameter nodeHalves: guesses to try, one after the other.
    static func run(
        _ source: any FileSystem, on host: any BlockHost, scratch: any BlockHost, _ options: Options,
        nodeHalves: [UInt64], progress: Progress = { _, _ in }
    ) throws(ImageBuildError) -> Summary {
        let survey = try TreeSurvey(SourceTree(source))
        for nodeHalves in nodeHalves {
            let device = ScratchDevice(scratch, blocks: survey.blockCount(nodeHalves: nodeHalves))
            let tree = SourceTree(source)
            do throws(ImageBuildError) {
                try fill(device, tree, options, names: survey.files + survey.directories, progress)
            } catch {
                if let failure = device.failure { throw .scratch(failure) }
                if case .unsuitable(_, let cause) = error, cause.errno == .noSpace { continue }
                throw error
            }
            let rootHash = try write(device, on: host)
            let size: UInt64
            do throws(HostError) { size = try host.byteCount() } catch { throw .image(.host(error)) }
            return Summary(
                rootHash: rootHash, imageBytes: size, files: survey.files,
                directories: survey.directories, leftOut: tree.leftOut)
        }
        throw .fileSystem("the tree needs more room than was counted")
    }

    private static func fill(
        _ device: ScratchDevice, _ tree: SourceTree, _ options: Options, names: UInt64, _ progress: Progress
    ) throws(ImageBuildError) {
        let time = options.time(of: try tree.root().attributes)
        let clock = BuildClock(time)
        var format = EncFS.FormatOptions()
        format.nodeBytes = nodeBytes
        format.reproducibleTime = time
        // How a file is written in pieces must not show.
        format.packsTails = false
        var mounting = EncFS.MountOptions()
        mounting.commitsInBackground = false
        mounting.noAccessTime = true
        mounting.clock = { clock.now }
        let files: EncFS
        do throws(EncFSError) {
            try EncFS.format(device, format)
            files = try EncFS(mounting: device, mounting)
        } catch { throw .fileSystem("\(error)") }
        var done: UInt64 = 1
        try withoutActuallyEscaping(progress) { progress throws(ImageBuildError) in
            var copy = TreeCopy(tree, to: files, clock, options) {
                done += 1
                progress(done, names)
            }
            try copy.run()
        }
        do throws(EncFSError) { try files.close() } catch { throw .fileSystem("\(error)") }
    }

    private static func write(_ device: ScratchDevice, on host: any BlockHost) throws(ImageBuildError) -> TreeHash {
        let piece = AlignedBuffer(byteCount: 256 * blockBytes)
        do throws(ImageError) {
            let writer = try ImageWriter(on: host, blockCount: device.logicalBlockCount)
            var block: UInt64 = 0
            while block < device.logicalBlockCount {
                let count = min(256, device.logicalBlockCount - block)
                let bytes = piece.slice(0, Int(count) * blockBytes)
                do throws(DeviceError) { try device.read(LogicalBlock(block), into: bytes) } catch {
                    throw ImageError.host(device.failure ?? .closed)
                }
                try writer.append(UnsafeRawBufferPointer(bytes))
                block += count
            }
            return try writer.finish()
        } catch { throw .image(error) }
    }
}
