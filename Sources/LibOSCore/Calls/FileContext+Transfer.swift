import Synchronization
public import VFS

/// `whence` of `lseek(2)`.
public enum SeekOrigin: Sendable {
    case start
    case current
    case end
    case data
    case hole
}

extension FileContext {
    // Reading.

    /// Reads at the file offset and moves it; fewer bytes than asked for only at the end of file.
    /// - Throws: `EBADF`, `EISDIR`, `EIO`.
    public func read(_ descriptor: Descriptor, into buffer: UnsafeMutableRawBufferPointer) throws(VFSError) -> Int {
        try readv(descriptor, into: [buffer])
    }

    /// As ``read(_:into:)``, up to `count` bytes.
    public func read(_ descriptor: Descriptor, count: Int) throws(VFSError) -> [UInt8] {
        let file = try file(descriptor)
        return try file.position.withLock { (position) throws(VFSError) -> [UInt8] in
            let bytes = try read(file, at: position, count: count)
            position += UInt64(bytes.count)
            return bytes
        }
    }

    /// Reads one stretch of the file into several buffers.
    public func readv(_ descriptor: Descriptor, into buffers: [UnsafeMutableRawBufferPointer]) throws(VFSError)
        -> Int
    {
        let file = try file(descriptor)
        let handle = try file.readable()
        return try file.position.withLock { (position) throws(VFSError) -> Int in
            var done = 0
            for buffer in buffers where !buffer.isEmpty {
                let count: Int
                do throws(VFSError) {
                    count = try namespace.read(file.node, handle, at: position, into: buffer)
                } catch {
                    if done == 0 { throw error }
                    break
                }
                done += count
                position += UInt64(count)
                if count < buffer.count { break }
            }
            return done
        }
    }

    /// Reads at an offset in bytes; the file offset stays.
    /// - Throws: as ``read(_:into:)``; `EINVAL` for a negative offset.
    public func pread(_ descriptor: Descriptor, into buffer: UnsafeMutableRawBufferPointer, at offset: Int64)
        throws(VFSError) -> Int
    {
        let file = try file(descriptor)
        guard offset >= 0 else { throw VFSError(.invalidArgument) }
        return try namespace.read(file.node, file.readable(), at: UInt64(offset), into: buffer)
    }

    /// As ``pread(_:into:at:)``, up to `count` bytes.
    public func pread(_ descriptor: Descriptor, count: Int, at offset: Int64) throws(VFSError) -> [UInt8] {
        let file = try file(descriptor)
        guard offset >= 0 else { throw VFSError(.invalidArgument) }
        return try read(file, at: UInt64(offset), count: count)
    }

    func read(_ file: OpenFile, at offset: UInt64, count: Int) throws(VFSError) -> [UInt8] {
        let handle = try file.readable()
        guard count >= 0 else { throw VFSError(.invalidArgument) }
        var bytes = [UInt8](repeating: 0, count: count)
        let result = bytes.withUnsafeMutableBytes { buffer -> Result<Int, VFSError> in
            do throws(VFSError) {
                return .success(try namespace.read(file.node, handle, at: offset, into: buffer))
            } catch {
                return .failure(error)
            }
        }
        bytes.removeSubrange(try result.get()...)
        return bytes
    }

    // Writing.

    /// Writes at the file offset, or the end of file for an appending descriptor, and moves the offset; how many bytes.
    /// Durable on return only with ``OpenOptions/sync`` or ``OpenOptions/dataSync``; else after ``fsync(_:)``.
    /// - Throws: `EBADF`, `EFBIG`, `ENOSPC`, `EIO`, `EROFS`.
    public func write(_ descriptor: Descriptor, _ bytes: UnsafeRawBufferPointer) throws(VFSError) -> Int {
        try writev(descriptor, [bytes])
    }

    /// As ``write(_:_:)-(_,UnsafeRawBufferPointer)``.
    public func write(_ descriptor: Descriptor, _ bytes: [UInt8]) throws(VFSError) -> Int {
        try Self.withBytes(of: bytes) { buffer throws(VFSError) in try write(descriptor, buffer) }
    }

    /// Writes several buffers as one stretch.
    public func writev(_ descriptor: Descriptor, _ buffers: [UnsafeRawBufferPointer]) throws(VFSError) -> Int {
        let file = try file(descriptor)
        let handle = try file.writable()
        let done = try file.position.withLock { (position) throws(VFSError) -> Int in
            var done = 0
            for buffer in buffers where !buffer.isEmpty {
                let written: Written
                do throws(VFSError) {
                    written = try namespace.write(
                        file.node, handle, at: file.options.contains(.append) ? .end : .offset(position), buffer,
                        writeFlags)
                } catch {
                    if done == 0 { throw error }
                    break
                }
                done += written.count
                position = written.end
                if written.count < buffer.count { break }
            }
            return done
        }
        try makeDurable(file, done)
        return done
    }

    /// Writes at an offset in bytes; the file offset stays. As Linux has it, an appending descriptor appends.
    /// - Throws: as ``write(_:_:)-(_,UnsafeRawBufferPointer)``; `EINVAL` for a negative offset.
    public func pwrite(_ descriptor: Descriptor, _ bytes: UnsafeRawBufferPointer, at offset: Int64)
        throws(VFSError) -> Int
    {
        let file = try file(descriptor)
        let handle = try file.writable()
        guard offset >= 0 else { throw VFSError(.invalidArgument) }
        if bytes.isEmpty { return 0 }
        let written = try namespace.write(
            file.node, handle, at: file.options.contains(.append) ? .end : .offset(UInt64(offset)), bytes,
            writeFlags)
        try makeDurable(file, written.count)
        return written.count
    }

    /// As ``pwrite(_:_:at:)-(_,UnsafeRawBufferPointer,_)``.
    public func pwrite(_ descriptor: Descriptor, _ bytes: [UInt8], at offset: Int64) throws(VFSError) -> Int {
        try Self.withBytes(of: bytes) { buffer throws(VFSError) in try pwrite(descriptor, buffer, at: offset) }
    }

    var writeFlags: WriteFlags { caller.isPrivileged ? [] : .clearsPrivileges }

    private func makeDurable(_ file: OpenFile, _ count: Int) throws(VFSError) {
        guard count > 0, file.options.contains(.dataSync) else { return }
        try namespace.commit(file.node, dataOnly: !file.options.contains(.sync)).wait()
    }

    static func withBytes<R>(of bytes: [UInt8], _ body: (UnsafeRawBufferPointer) throws(VFSError) -> R)
        throws(VFSError) -> R
    {
        try bytes.withUnsafeBytes { buffer -> Result<R, VFSError> in
            do throws(VFSError) { return .success(try body(buffer)) } catch { return .failure(error) }
        }.get()
    }

    // The offset.

    /// Moves the file offset; where it is then. For a directory, 0 starts again and other values are those of entries.
    /// - Throws: `EBADF`, `EINVAL` for a place before the start, `EOVERFLOW`; `ENXIO` for data or a hole at or past the
    ///   end of file.
    @discardableResult
    public func lseek(_ descriptor: Descriptor, _ offset: Int64, _ origin: SeekOrigin) throws(VFSError) -> Int64 {
        let file = try file(descriptor)
        let handle = try file.opened()
        return try file.position.withLock { (position) throws(VFSError) -> Int64 in
            let base: UInt64
            switch origin {
            case .start: base = 0
            case .current: base = position
            case .end: base = try namespace.attributes(file.node).size
            case .data, .hole:
                guard offset >= 0 else { throw VFSError(.noSuchAddressOrDevice) }
                let target: SeekTarget = origin == .data ? .data : .hole
                position = try namespace.seek(file.node, handle, from: UInt64(offset), to: target)
                return Int64(position)
            }
            guard let base = Int64(exactly: base) else { throw VFSError(.overflow) }
            let (place, overflow) = base.addingReportingOverflow(offset)
            guard !overflow else { throw VFSError(.overflow) }
            guard place >= 0 else { throw VFSError(.invalidArgument) }
            position = UInt64(place)
            return place
        }
    }
}
