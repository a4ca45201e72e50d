import Foundation

/// Runs `body` with a folder of its own, which is gone afterwards. On a disk: `/tmp` may be memory.
func inTemporaryFolder<Result>(_ body: (URL) throws -> Result) throws -> Result {
    let parent = ProcessInfo.processInfo.environment["CASEMATE_TEST_DIRECTORY"] ?? "/var/tmp"
    let folder = URL(fileURLWithPath: parent).appendingPathComponent("casemate-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: folder) }
    return try body(folder)
}
