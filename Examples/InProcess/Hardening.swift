import Glibc

/// What every program does before it holds a key.
enum Hardening {
    /// A crash must print and leave no memory: Swift's backtraces show some, core dumps all.
    static func apply() {
        for number in [SIGILL, SIGTRAP, SIGSEGV, SIGBUS, SIGFPE, SIGABRT, SIGQUIT] { signal(number, SIG_DFL) }
        var none = rlimit(rlim_cur: 0, rlim_max: 0)
        setrlimit(__rlimit_resource_t(RLIMIT_CORE.rawValue), &none)
    }
}
