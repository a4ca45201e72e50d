import FUSEFront
import TPM

@main
struct Program {
    static func main() {
        ProcessHardening.apply()
        ProcessMemory.bound()
        TPMLibrary.silence()
        FuseDebug.main()
    }
}
