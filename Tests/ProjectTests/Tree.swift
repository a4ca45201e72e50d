import Foundation
import Testing

/// The project's own files, as text.
enum Tree {
    struct File: Sendable, CustomTestStringConvertible {
        /// Relative to the project's root.
        var path: String
        var text: String
        var lines: [Substring] { text.split(separator: "\n", omittingEmptySubsequences: false) }
        var testDescription: String { path }
    }

    static let root = URL(fileURLWithPath: #filePath)
        .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()

    /// All files below `folder` with one of `extensions` (`""`: none), in order of their paths.
    static func files(in folder: String, _ extensions: Set<String> = ["swift"]) -> [File] {
        let start = folder.isEmpty ? root : root.appendingPathComponent(folder)
        guard let walk = FileManager.default.enumerator(atPath: start.path) else { return [] }
        var files: [File] = []
        while let relative = walk.nextObject() as? String {
            if relative.hasPrefix(".build") || relative.hasPrefix(".git/") || relative == ".git" {
                walk.skipDescendants()
                continue
            }
            let url = start.appendingPathComponent(relative)
            guard extensions.contains(url.pathExtension), !url.hasDirectoryPath,
                let text = try? String(contentsOf: url, encoding: .utf8)
            else { continue }
            files.append(File(path: folder.isEmpty ? relative : "\(folder)/\(relative)", text: text))
        }
        return files.sorted { $0.path < $1.path }
    }

    static func text(_ path: String) throws -> String {
        try String(contentsOf: root.appendingPathComponent(path), encoding: .utf8)
    }

    static let sources = files(in: "Sources")
    static let tests = files(in: "Tests")
    /// Everything written for people or machines to read.
    static let everything = files(in: "", ["swift", "md", "c", "h", "modulemap", "sh", "yml", ""])
}

/// A line of Swift without its comment and without what stands in string literals.
func codeOnly(_ line: Substring) -> String {
    var code = ""
    var inString = false
    var previous: Character = " "
    for character in line {
        if character == "\"", previous != "\\" {
            inString.toggle()
            code.append(character)
        } else if !inString {
            if character == "/", previous == "/" { return String(code.dropLast()) }
            code.append(character)
        }
        previous = character
    }
    return code
}
