import CLinux

#if canImport(Glibc)
    import Glibc
#endif

extension HostFile {
    func byteCount() throws(HostError) -> UInt64 {
        if let deviceBytes { return deviceBytes }
        var status = stat()
        guard fstat(descriptor, &status) == 0 else { throw .failed(call: "fstat", errno: errno, offset: nil) }
        return UInt64(clamping: status.st_size)
    }

    /// Fills `buffer`, however many calls that takes.
    /// - Parameter cached: through the page cache, where there is a way.
    func read(
        _ offset: UInt64, into buffer: UnsafeMutableRawBufferPointer, cached: Bool = false
    ) throws(HostError) {
        guard let base = buffer.baseAddress else { return }
        let descriptor = readDescriptor(cached: cached)
        var done = 0
        var patience = Patience()
        while done < buffer.count {
            // SAFETY: `done < buffer.count`, and the call writes at most what remains.
            let count = pread(descriptor, base + done, buffer.count - done, try Self.position(offset, done))
            if count > 0 {
                done += count
            } else if count == 0 {
                throw .beyondEnd(offset: offset + UInt64(done))
            } else if !patience.allows(errno) {
                throw .failed(call: "pread", errno: errno, offset: offset + UInt64(done))
            }
        }
    }

    /// Writes all of `bytes`, however many calls that takes.
    func write(_ offset: UInt64, _ bytes: UnsafeRawBufferPointer, durable: Bool) throws(HostError) {
        guard let base = bytes.baseAddress else { return }
        var done = 0
        var patience = Patience()
        while done < bytes.count {
            let position = try Self.position(offset, done)
            // SAFETY: `done < bytes.count`, and the call reads at most what remains.
            let count =
                durable
                ? casemate_durable_pwrite(descriptor, base + done, bytes.count - done, UInt64(position))
                : pwrite(descriptor, base + done, bytes.count - done, position)
            if count > 0 {
                // Direct transfers go on from whole blocks only: the rest of one is written again, the same.
                let advanced =
                    isDirect && done + count < bytes.count ? (done + count) & ~(blockBytes - 1) : done + count
                guard advanced > done else { throw .failed(call: "pwrite", errno: EIO, offset: UInt64(position)) }
                done = advanced
            } else if count == 0 {
                throw .failed(call: "pwrite", errno: EIO, offset: UInt64(position))
            } else if !patience.allows(errno) {
                throw Self.failure("pwrite", errno, UInt64(position))
            }
        }
    }

    func flush() throws(HostError) {
        while fdatasync(descriptor) != 0 {
            if errno != EINTR { throw Self.failure("fdatasync", errno, nil) }
        }
    }

    /// What a failed call means; running out of space has a case of its own.
    static func failure(_ call: String, _ number: Int32, _ offset: UInt64?) -> HostError {
        number == ENOSPC || number == EDQUOT ? .noSpace : .failed(call: call, errno: number, offset: offset)
    }

    /// A range's end, within what the kernel can address and, on a device, within the device.
    func checkedEnd(_ offset: UInt64, _ byteCount: UInt64) throws(HostError) -> UInt64 {
        let (end, overflow) = offset.addingReportingOverflow(byteCount)
        guard !overflow, end <= UInt64(Int64.max), end <= deviceBytes ?? .max else {
            throw .beyondEnd(offset: offset)
        }
        return end
    }

    /// How long a call that only asks to be made again is made again.
    private struct Patience {
        private var tries = 0

        mutating func allows(_ number: Int32) -> Bool {
            if number == EINTR { return true }
            guard number == EAGAIN, tries < 1000 else { return false }
            tries += 1
            usleep(1000)
            return true
        }
    }

    private static func position(_ offset: UInt64, _ done: Int) throws(HostError) -> off_t {
        let (sum, overflow) = offset.addingReportingOverflow(UInt64(done))
        guard !overflow, let position = off_t(exactly: sum) else { throw .beyondEnd(offset: offset) }
        return position
    }
}
