import CLinux
import Glibc

/// What a process does before it holds a key.
public enum ProcessHardening {
    /// Lets the fatal signals end the process at once, without a backtrace that prints memory, and turns core dumps
    /// and tracing by others of the same user off. For the top of `main`.
    public static func apply() {
        for fatal in [SIGILL, SIGTRAP, SIGSEGV, SIGBUS, SIGFPE, SIGABRT, SIGQUIT] { signal(fatal, SIG_DFL) }
        var none = rlimit(rlim_cur: 0, rlim_max: 0)
        // Either alone keeps memory out of a dump; both are there because a sandbox may refuse one.
        _ = setrlimit(__rlimit_resource_t(UInt32(RLIMIT_CORE.rawValue)), &none)
        _ = casemate_forbid_dumps()
    }
}
