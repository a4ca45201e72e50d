import CFUSE
import Glibc
import VFS

/// Ranges of files: allocating, finding holes, copying.
extension Server {
    /// `fallocate(2)`'s modes; `linux/falloc.h`.
    private enum AllocationFlag {
        static let keepSize: Int32 = 1
        static let punchHole: Int32 = 2
        static let collapse: Int32 = 8
        static let zero: Int32 = 16
        static let insert: Int32 = 32
    }

    func allocate(
        _ raw: OpaquePointer?, _ node: UInt64, _ mode: Int32, _ offset: off_t, _ length: off_t,
        _ file: UnsafeMutablePointer<fuse_file_info>?
    ) {
        serve(raw, "fallocate \(node) mode \(mode) \(length) at \(offset)") { request throws(VFSError) in
            let start = try Self.offset(offset)
            let (end, overflows) = start.addingReportingOverflow(try Self.offset(length))
            guard length > 0 else { throw VFSError(.invalidArgument) }
            guard !overflows, end <= traits.maximumFileBytes else { throw VFSError(.fileTooLarge) }
            let mode = try Self.mode(mode)
            let node = nodes.node(node)
            do throws(VFSError) {
                try filesystem.allocate(node, Self.handle(file), start..<end, mode)
            } catch {
                // ENOSYS would end fallocate for the whole mount.
                throw error.errno == .noFunction ? VFSError(.notSupported, fault: error.fault) : error
            }
            request.succeed()
        }
    }

    private static func mode(_ flags: Int32) throws(VFSError) -> AllocationMode {
        switch flags {
        case 0: return .allocate
        case AllocationFlag.keepSize: return .allocateKeepingSize
        case AllocationFlag.punchHole | AllocationFlag.keepSize: return .punchHole
        case AllocationFlag.zero: return .zero
        case AllocationFlag.zero | AllocationFlag.keepSize: return .zeroKeepingSize
        case AllocationFlag.collapse: return .collapse
        case AllocationFlag.insert: return .insert
        default: throw VFSError(.notSupported)
        }
    }

    func seek(
        _ raw: OpaquePointer?, _ node: UInt64, _ offset: off_t, _ whence: Int32,
        _ file: UnsafeMutablePointer<fuse_file_info>?
    ) {
        serve(raw, "lseek \(node) \(whence == Self.seekHole ? "hole" : "data") from \(offset)") {
            request throws(VFSError) in
            let target: SeekTarget
            switch whence {
            case Self.seekData: target = .data
            case Self.seekHole: target = .hole
            default: throw VFSError(.invalidArgument)
            }
            let node = nodes.node(node)
            let start = try Self.offset(offset)
            do throws(VFSError) {
                request.reply(offset: try filesystem.seek(node, Self.handle(file), from: start, to: target))
            } catch {
                guard error.errno == .noFunction else { throw error }
                request.reply(offset: try seekWithoutHoles(node, start, target))
            }
        }
    }

    private static let seekData: Int32 = 3
    private static let seekHole: Int32 = 4

    /// lseek(2): a filesystem that does not tell holes shows one, behind the end.
    private func seekWithoutHoles(_ node: NodeID, _ start: UInt64, _ target: SeekTarget) throws(VFSError) -> UInt64
    {
        let size = try filesystem.attributes(node).size
        guard start < size else { throw VFSError(.noSuchAddressOrDevice) }
        return target == .data ? start : size
    }

    /// What one copy request moves at most: a larger one goes on with the next request, so that none holds a serving
    /// thread for long.
    private static let copyBytes = 8 << 20
    /// What one shares at most; the reply's count has 32 bits.
    private static let sharedBytes: UInt64 = 1 << 30

    /// Copies within the mount, without the bytes passing through the kernel twice. Fewer bytes than asked for are
    /// the caller's to ask for again.
    func copy(
        _ raw: OpaquePointer?, _ source: (node: UInt64, offset: off_t, file: UnsafeMutablePointer<fuse_file_info>?),
        _ target: (node: UInt64, offset: off_t, file: UnsafeMutablePointer<fuse_file_info>?), _ length: Int,
        _ flags: Int32
    ) {
        serve(raw, "copy \(source.node) at \(source.offset) \(target.node) at \(target.offset) \(length)") {
            request throws(VFSError) in
            guard flags == 0, length >= 0 else { throw VFSError(.invalidArgument) }
            let from = nodes.node(source.node)
            let to = nodes.node(target.node)
            let start = (try Self.offset(source.offset), try Self.offset(target.offset))
            guard start.1 <= traits.maximumFileBytes else { throw VFSError(.fileTooLarge) }
            let writing: WriteFlags = request.caller.user == 0 ? [] : .clearsPrivileges
            if writing.isEmpty { try dropCapabilities(of: to) }
            let shared = try filesystem.cloneLeading(
                from, at: start.0, to: to, at: start.1, count: UInt64(length), limit: Self.sharedBytes, writing)
            if shared > 0 { return request.reply(written: Int(shared)) }
            let limit = min(length, Self.copyBytes)
            var done = 0
            while done < limit {
                let room = Worker.current.room(min(limit - done, FUSEOptions.requestBytes))
                do throws(VFSError) {
                    let count = try filesystem.read(
                        from, Self.handle(source.file), at: start.0 + UInt64(done), into: room)
                    guard count > 0 else { break }
                    let written = try filesystem.write(
                        to, Self.handle(target.file), at: .offset(start.1 + UInt64(done)),
                        UnsafeRawBufferPointer(rebasing: room[..<count]), writing)
                    done += written.count
                } catch {
                    guard done > 0 else { throw error }
                    break
                }
            }
            request.reply(written: done)
        }
    }
}
