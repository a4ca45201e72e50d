import FUSEFront

@main
struct Program {
    static func main() {
        ProcessHardening.apply()
        FuseDebug.main()
    }
}
