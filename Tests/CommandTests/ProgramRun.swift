import Foundation
import Glibc

/// A built program, run to its end.
struct ProgramRun: Sendable {
    var status: Int32
    var output: String
    var errors: String
    /// Both, for messages that may come on either.
    var text: String { output + errors }

    /// Where the test runner lies, the programs lie too.
    static let programs: URL = {
        var path = [CChar](repeating: 0, count: 4096)
        let count = readlink("/proc/self/exe", &path, path.count - 1)
        let own = String(decoding: path.prefix(max(0, count)).map { UInt8(bitPattern: $0) }, as: UTF8.self)
        return URL(fileURLWithPath: own).deletingLastPathComponent()
    }()

    static var casemate: String { programs.appendingPathComponent("casemate").path }

    /// Runs `program`; kills it after `seconds`, which gives status -1.
    static func run(
        _ program: String, _ arguments: [String], input: String = "", environment: [String: String] = [:],
        seconds: Double = 60
    ) throws -> ProgramRun {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: program)
        process.arguments = arguments
        process.environment = ProcessInfo.processInfo.environment.merging(environment) { $1 }
        let (stdin, stdout, stderr) = (Pipe(), Pipe(), Pipe())
        process.standardInput = stdin
        process.standardOutput = stdout
        process.standardError = stderr
        try process.run()
        try stdin.fileHandleForWriting.write(contentsOf: Data(input.utf8))
        try stdin.fileHandleForWriting.close()
        let deadline = DispatchWorkItem { kill(process.processIdentifier, SIGKILL) }
        DispatchQueue.global().asyncAfter(deadline: .now() + seconds, execute: deadline)
        // Both at once: a program that fills one pipe while we read the other would wait for ever.
        let group = DispatchGroup()
        let output = Collected()
        let errors = Collected()
        for (pipe, collected) in [(stdout, output), (stderr, errors)] {
            DispatchQueue.global().async(group: group) {
                collected.data = pipe.fileHandleForReading.readDataToEndOfFile()
            }
        }
        group.wait()
        process.waitUntilExit()
        deadline.cancel()
        let isKilled = process.terminationReason == .uncaughtSignal
        return ProgramRun(
            status: isKilled ? -process.terminationStatus : process.terminationStatus, output: output.text,
            errors: errors.text)
    }

    private final class Collected: @unchecked Sendable {
        // Written by one reader, read after the group was waited for.
        var data = Data()
        var text: String { String(decoding: data, as: UTF8.self) }
    }
}

/// Runs the built `casemate`.
@discardableResult
func casemate(_ arguments: String..., input: String = "") throws -> ProgramRun {
    try ProgramRun.run(ProgramRun.casemate, arguments, input: input)
}
