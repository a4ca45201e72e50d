import Foundation

/// A directory of the host for one test.
struct TemporaryDirectory {
    let path: String

    init() throws {
        path = FileManager.default.temporaryDirectory.appendingPathComponent("casemate-\(UUID().uuidString)").path
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    }

    func remove() {
        // What is left of a failed removal is in the temporary directory, where the system clears it.
        try? FileManager.default.removeItem(atPath: path)
    }
}
