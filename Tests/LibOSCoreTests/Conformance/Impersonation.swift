import FUSEFront
import Glibc
import Synchronization
import VFS

/// System calls as somebody else.
enum Impersonation {
    /// Runs `body` on a thread of its own that is `caller` to filesystems (`setfsuid(2)`), with its groups and with a umask
    /// that no other thread sees. Needs root.
    static func run<R: Sendable>(
        as caller: Caller, umask mask: UInt16 = 0, _ body: @escaping @Sendable () throws(VFSError) -> R
    ) throws(VFSError) -> R {
        let outcome = Outcome<R>()
        do throws(FUSEError) {
            try ServiceThread(named: "caller") {
                outcome.result.withLock { result in
                    guard become(caller, mask) else {
                        result = .failure(VFSError(.notPermitted, fault: "cannot act as user \(caller.user)"))
                        return
                    }
                    result = Result { () throws(VFSError) in try body() }
                }
            }.join()
        } catch { throw VFSError(.resourceTemporarilyUnavailable, fault: "\(error)") }
        guard let result = outcome.result.withLock({ $0 }) else { throw VFSError(.ioError, fault: "no result") }
        return try result.get()
    }

    private final class Outcome<R: Sendable>: Sendable {
        let result = Mutex<Result<R, VFSError>?>(nil)
    }

    /// Changes the calling thread alone, for good.
    private static func become(_ caller: Caller, _ mask: UInt16) -> Bool {
        guard unshare(shareFilesystemContext) == 0 else { return false }
        umask(mode_t(mask))
        if caller.user == 0 { return true }
        // The C library's setgroups(2) would change all threads.
        let isSet = caller.groups.withUnsafeBufferPointer {
            systemCall(setGroupsCall, $0.count, Int(bitPattern: $0.baseAddress))
        }
        _ = setfsgid(caller.group)
        _ = setfsuid(caller.user)
        // Each returns what was set before.
        return isSet == 0 && setfsgid(caller.group) == caller.group && setfsuid(caller.user) == caller.user
    }

    private static let shareFilesystemContext: Int32 = 0x200
    #if arch(x86_64)
        private static let setGroupsCall = 116
    #else
        private static let setGroupsCall = 159
    #endif
}

// Linux calls that the C library shows only to GNU sources, or not at all.

@_silgen_name("unshare")
private func unshare(_ flags: Int32) -> Int32

@_silgen_name("setfsuid")
private func setfsuid(_ user: UInt32) -> UInt32

@_silgen_name("setfsgid")
private func setfsgid(_ group: UInt32) -> UInt32

@_silgen_name("syscall")
private func systemCall(_ number: Int, _ first: Int, _ second: Int) -> Int
