#if canImport(Glibc)
    import Glibc
#endif

/// tpm2-tss itself.
public enum TPMLibrary {
    /// Keeps it from writing to standard error: every failure comes as an error with a place and a reason. Whoever wants its
    /// own words sets `TSS2_LOG` (tpm2-tss, "Logging").
    ///
    /// Changes the environment, so: at the start of a program, before there are other threads.
    public static func silence() { setenv("TSS2_LOG", "all+NONE", 0) }
}
