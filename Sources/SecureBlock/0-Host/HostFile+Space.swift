import CLinux

#if canImport(Glibc)
    import Glibc
#endif

extension HostFile {
    /// Takes space for a range, growing the file; the bytes stay as they are.
    func allocate(_ offset: UInt64, _ byteCount: UInt64) throws(HostError) {
        let end = try checkedEnd(offset, byteCount)
        guard !isDevice, byteCount > 0 else { return }
        let failure = casemate_allocate(descriptor, offset, byteCount)
        switch failure {
        case 0: return
        case EOPNOTSUPP, ENOSYS:
            // The file system allocates when it writes: only the size can be had now.
            try growth.withLock { _ throws(HostError) in
                if try self.byteCount() < end, ftruncate(descriptor, off_t(end)) != 0 {
                    throw Self.failure("ftruncate", errno, end)
                }
            }
        default: throw Self.failure("fallocate", failure, offset)
        }
    }

    /// Whether the range holds nothing that was ever written: a hole, or space allocated and not used.
    func isUnwritten(_ offset: UInt64, _ byteCount: UInt64) -> Bool {
        !isDevice && casemate_is_unwritten(descriptor, offset, byteCount)
    }

    /// Whether all of the range was written before, and so has its space: asking again would cost the file system a transaction.
    func isWritten(_ offset: UInt64, _ byteCount: UInt64) -> Bool {
        !isDevice && byteCount > 0 && casemate_is_written(descriptor, offset, byteCount)
    }

    /// Ends the file at `byteCount`, if it is longer.
    func cut(to byteCount: UInt64) throws(HostError) {
        guard !isDevice else { return }
        try growth.withLock { _ throws(HostError) in
            guard try self.byteCount() > byteCount else { return }
            guard ftruncate(descriptor, off_t(clamping: byteCount)) == 0 else {
                throw Self.failure("ftruncate", errno, byteCount)
            }
        }
    }

    /// Gives a range's space back; where that cannot be done, leaves it.
    func punch(_ offset: UInt64, _ byteCount: UInt64) throws(HostError) {
        _ = try checkedEnd(offset, byteCount)
        guard byteCount > 0 else { return }
        let failure = casemate_punch(descriptor, offset, byteCount)
        switch failure {
        case 0, EOPNOTSUPP, ENOSYS, EINVAL: return
        default: throw Self.failure("fallocate", failure, offset)
        }
    }
}
