import FUSEFront
import TPM

@main
struct Program {
    static func main() {
        ProcessHardening.apply()
        TPMLibrary.silence()
        FuseDebug.main()
    }
}
