import CLinux
import Glibc
import Synchronization
public import VFS

extension HostFS {
    /// Cookies are the host's directory offsets, two higher: a host may use 1 and 2. Offsets of 2^63 - 2 and above, which
    /// filesystems use for the end, become one, so that every cookie is a valid `off_t`.
    private static let cookieShift: UInt64 = 2
    private static let bufferBytes = 32 << 10

    public func readDirectory(
        _ node: NodeID, _ handle: Handle, after cookie: DirectoryCookie, plus: Bool,
        _ body: (DirectoryEntry) -> Bool
    ) throws(VFSError) {
        let directory = try directory(node)
        let open = try file(handle)
        guard open.node === directory.node else { throw VFSError(.badFileDescriptor) }
        var place = cookie.rawValue == 0 ? 0 : cookie.rawValue - Self.cookieShift
        while true {
            let batch = try batch(open, behind: place)
            guard let last = batch.last else { return }
            for item in batch where !item.isDot {
                guard let entry = try entry(item, in: directory, plus: plus) else { continue }
                guard body(entry) else {
                    if plus { forget(entry.node, count: 1) }
                    return
                }
            }
            place = last.offset
        }
    }

    /// One record of `getdents64(2)`.
    private struct Record {
        var inode: UInt64
        var offset: UInt64
        var type: UInt8
        var name: [UInt8]

        var isDot: Bool { name == [0x2E] || name == [0x2E, 0x2E] }
    }

    /// The next records behind a host offset; none at the end.
    private func batch(_ open: HostOpen, behind place: UInt64) throws(VFSError) -> [Record] {
        guard let start = off_t(exactly: place) else { throw VFSError(.invalidArgument) }
        var buffer = [UInt8](repeating: 0, count: Self.bufferBytes)
        let count = try open.position.withLock { _ throws(VFSError) -> Int in
            _ = try open.descriptor.call { lseek($0, start, SEEK_SET) }
            return try open.descriptor.call { number in
                buffer.withUnsafeMutableBytes { casemate_list(number, $0.baseAddress, $0.count) }
            }
        }
        return try Self.parse(buffer[..<count])
    }

    /// Layout of a record: inode (8 bytes), offset of the next (8), record length (2), type (1), name, NUL, padding.
    private static func parse(_ bytes: ArraySlice<UInt8>) throws(VFSError) -> [Record] {
        func number(_ start: Int, _ count: Int) -> UInt64 {
            bytes[start..<start + count].reversed().reduce(0) { $0 << 8 | UInt64($1) }
        }
        var records: [Record] = []
        var start = bytes.startIndex
        while start < bytes.endIndex {
            guard bytes.endIndex - start > 19 else { throw malformed }
            let length = Int(number(start + 16, 2))
            guard length > 19, length <= bytes.endIndex - start else { throw malformed }
            let name = bytes[start + 19..<start + length].prefix { $0 != 0 }
            records.append(
                Record(
                    inode: number(start, 8), offset: number(start + 8, 8), type: bytes[start + 18],
                    name: Array(name)))
            start += length
        }
        return records
    }

    private static var malformed: VFSError {
        VFSError(.ioError, fault: "the host gives a malformed directory record")
    }

    /// The entry to hand out; `nil` when it went meanwhile.
    private func entry(_ record: Record, in directory: HostDirectory, plus: Bool) throws(VFSError)
        -> DirectoryEntry?
    {
        let name = try Name(record.name)
        let highest = UInt64(off_t.max) - Self.cookieShift
        let cookie = DirectoryCookie(rawValue: min(record.offset, highest) + Self.cookieShift)
        do throws(VFSError) {
            if plus {
                let found = try lookup(name, in: NodeID(rawValue: directory.node.number))
                return DirectoryEntry(
                    name: name, node: found.node, kind: found.attributes.kind, cookie: cookie,
                    attributes: found.attributes)
            }
            var kind = NodeKind(rawValue: record.type)
            if kind == nil {
                var status = casemate_status()
                _ = try directory.descriptor.call { number in
                    name.withCString { casemate_status_at(number, $0, &status) }
                }
                kind = NodeKind(mode: status.mode)
            }
            guard let kind else { throw VFSError(.ioError, fault: "the host gives \(name) an unknown type") }
            let node = NodeID(rawValue: table.listedNumber(inode: record.inode))
            return DirectoryEntry(name: name, node: node, kind: kind, cookie: cookie)
        } catch {
            guard error.errno == .noSuchFileOrDirectory else { throw error }
            return nil
        }
    }
}
