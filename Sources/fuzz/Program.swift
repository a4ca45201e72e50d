import Fuzzing
import Glibc
import SecureBlock

/// libFuzzer over one target: `fuzz TARGET [options of libFuzzer] [corpora]`. Built by `scripts/fuzz` alone.
@main
struct Program {
    /// SAFETY: set before libFuzzer starts, and by this thread alone.
    nonisolated(unsafe) static var target = FuzzTarget.superblock

    /// Tells a process that libFuzzer starts, as for merging, what the target is.
    private static let variable = "CASEMATE_FUZZ_TARGET"

    static func main() {
        var words = CommandLine.arguments[...]
        let program = words.popFirst() ?? "fuzz"
        if let word = words.first, let chosen = FuzzTarget(rawValue: word) {
            target = chosen
            words.removeFirst()
            setenv(variable, word, 1)
        } else if let word = getenv(variable), let chosen = FuzzTarget(rawValue: String(cString: word)) {
            target = chosen
        } else {
            let names = FuzzTarget.allCases.map(\.rawValue).joined(separator: " ")
            complain("usage: fuzz TARGET [--seeds DIRECTORY | libFuzzer's options]\ntargets: \(names)")
            exit(2)
        }
        if words.count == 2, words.first == "--seeds", let directory = words.last { exit(writeSeeds(directory)) }
        // Changed volumes are then read as if they had been sealed so.
        if target == .volume { Sabotage.current = .skipTagCheck }
        var arguments = ([program] + words).map { strdup($0) } + [nil]
        var count = Int32(arguments.count - 1)
        arguments.withUnsafeMutableBufferPointer { buffer in
            var start = buffer.baseAddress
            exit(runDriver(&count, &start, testOneInput))
        }
    }

    private static func writeSeeds(_ directory: String) -> Int32 {
        for (index, seed) in target.seeds().enumerated() {
            guard let file = fopen("\(directory)/seed-\(index)", "w") else { return 1 }
            fwrite(seed, 1, seed.count, file)
            fclose(file)
        }
        return 0
    }

    static func complain(_ text: String) {
        let bytes = Array((text + "\n").utf8)
        _ = bytes.withUnsafeBytes { Glibc.write(2, $0.baseAddress, $0.count) }
    }
}

private func testOneInput(_ bytes: UnsafePointer<UInt8>?, _ count: Int) -> Int32 {
    let input = Array(UnsafeBufferPointer(start: bytes, count: count))
    do throws(FuzzTarget.Failure) {
        try Program.target.run(input)
        return 0
    } catch {
        Program.complain("fuzz: \(error)")
        abort()
    }
}

@_silgen_name("LLVMFuzzerRunDriver")
private func runDriver(
    _ count: UnsafeMutablePointer<Int32>,
    _ arguments: UnsafeMutablePointer<UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>?>,
    _ body: @convention(c) (UnsafePointer<UInt8>?, Int) -> Int32
) -> Int32
