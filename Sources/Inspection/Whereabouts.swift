public import EncFS
public import SecureBlock
public import VFS

/// Where the data of one file lies on the host now: what `info --where` tells.
///
/// For people who want to see what the host sees, or to damage exactly one file of a copy.
public struct Whereabouts: Sendable {
    /// One block of the file.
    public struct Block: Sendable, Hashable {
        /// In bytes from the file's start.
        public var fileOffset: UInt64
        public var logical: LogicalBlock
        /// In bytes from the start of the volume's file or device.
        public var hostOffset: UInt64
    }

    public enum Failure: Error, Sendable {
        case filesystem(VFSError)
        case device(DeviceError)
    }

    public let path: String
    public let blocks: [Block]

    /// Finds `path`, from the root of `files`; symbolic links are not followed.
    ///
    /// Tiny files live in the filesystem's tree and have no blocks of their own; holes have none either.
    public init(of path: String, in files: EncFS, on device: SecureDevice) throws(Failure) {
        self.path = path
        let extents: [(fileOffset: UInt64, first: LogicalBlock, count: UInt64)]
        do throws(VFSError) {
            var node = files.root
            // Where it is mounted, the filesystem lives on, and a node that is not given back would never go.
            var held: [NodeID] = []
            defer { for node in held { files.forget(node, count: 1) } }
            for part in path.utf8.split(separator: UInt8(ascii: "/")) {
                node = try files.lookup(Name(part), in: node).node
                held.append(node)
            }
            extents = try files.dataBlocks(of: node)
        } catch {
            throw .filesystem(error)
        }
        var blocks: [Block] = []
        do throws(DeviceError) {
            for extent in extents {
                for index in 0..<extent.count {
                    let logical = LogicalBlock(extent.first.rawValue + index)
                    // Allocated and never written: nothing is stored yet.
                    guard let physical = try device.physicalLocation(of: logical) else { continue }
                    blocks.append(
                        Block(
                            fileOffset: extent.fileOffset + index * UInt64(blockBytes), logical: logical,
                            hostOffset: physical.rawValue * UInt64(blockBytes)))
                }
            }
        } catch {
            throw .device(error)
        }
        self.blocks = blocks
    }

    public var text: String {
        guard !blocks.isEmpty else {
            return "\(path): no blocks of its own (empty, sparse, or stored with its inode)"
        }
        let lines = blocks.map { "  \($0.fileOffset)  at \($0.hostOffset)" }
        return (["\(path): \(blocks.count) blocks: offset in the file, offset on the host, in bytes"] + lines)
            .joined(separator: "\n")
    }

    public var json: JSON {
        [
            "path": .string(path),
            "blocks": .array(
                blocks.map {
                    [
                        "fileOffset": .number($0.fileOffset),
                        "logicalBlock": .number($0.logical.rawValue), "hostOffset": .number($0.hostOffset),
                    ]
                }),
        ]
    }
}
