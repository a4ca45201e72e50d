import CLinux
import Foundation

@testable import SecureBlock

/// A directory of a test's own, gone with it.
final class Scratch: Sendable {
    let path: String

    /// - Parameter parent: where; by default the system's temporary directory.
    init(in parent: String = FileManager.default.temporaryDirectory.path) throws {
        path = parent + "/casemate-test-" + UUID().uuidString
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    }

    deinit {
        try? FileManager.default.removeItem(atPath: path)
    }

    func file(_ name: String) -> String { path + "/" + name }
}

/// Runs a program of the system.
/// - Returns: its exit status and what it printed.
@discardableResult
func run(_ program: String, _ arguments: String...) throws -> (status: Int32, output: String) {
    let process = Process(), pipe = Pipe()
    process.executableURL = URL(fileURLWithPath: program)
    process.arguments = arguments
    process.standardOutput = pipe
    process.standardError = FileHandle.nullDevice
    try process.run()
    let output = pipe.fileHandleForReading.readDataToEndOfFile()
    process.waitUntilExit()
    return (process.terminationStatus, String(decoding: output, as: UTF8.self))
}

extension AlignedBuffer {
    /// Whether both hold the same bytes; `elementsEqual` takes seconds for megabytes in a debug build.
    func isSame(as other: AlignedBuffer) -> Bool {
        bytes.count == other.bytes.count
            && casemate_are_equal(bytes.baseAddress, other.bytes.baseAddress, bytes.count)
    }
}
