import Foundation
import Testing

/// Documents that name things must name things that exist.
@Suite struct DocumentRules {
    static let documents =
        Tree.files(in: "docs", ["md"]) + Tree.files(in: "", ["md"]).filter { !$0.path.contains("/") }

    @Test func everyTargetIsInTheArchitecture() throws {
        let architecture = try Tree.text("docs/ARCHITECTURE.md")
        let package = try Tree.text("Package.swift")
        var count = 0
        for match in package.matches(of: /arget\(\s*name: "([A-Za-z-]+)"/) where !match.1.hasSuffix("Tests") {
            count += 1
            if !architecture.contains(match.1) {
                Issue.record("docs/ARCHITECTURE.md does not tell what \(match.1) is")
            }
        }
        for match in package.matches(of: /systemLibrary\(name: "([A-Za-z]+)"/) {
            count += 1
            if !architecture.contains(match.1) {
                Issue.record("docs/ARCHITECTURE.md does not tell what \(match.1) is")
            }
        }
        #expect(count >= 10)
    }

    @Test func everyTestTargetIsInTesting() throws {
        let testing = try Tree.text("docs/TESTING.md")
        for match in try Tree.text("Package.swift").matches(of: /testTarget\(\s*name: "([A-Za-z]+)"/) {
            if !testing.contains(match.1) { Issue.record("docs/TESTING.md does not tell what \(match.1) shows") }
        }
    }

    /// A promise is worth the test that would refute it: every `Suite/test` in the threat model exists.
    @Test func everyPromiseNamesARealTest() throws {
        let model = try Tree.text("docs/THREAT-MODEL.md")
        let named = model.matches(of: /`([A-Z][A-Za-z0-9]+)\/([a-z][A-Za-z0-9]+)`/)
        for match in named {
            let suite = String(match.1)
            let test = String(match.2)
            let exists = Tree.tests.contains { $0.text.contains(suite) && $0.text.contains("func \(test)(") }
            if !exists { Issue.record("docs/THREAT-MODEL.md: no test \(suite)/\(test)") }
        }
        for row in model.split(separator: "\n") where row.hasPrefix("| **") {
            if !row.contains("/") { Issue.record("docs/THREAT-MODEL.md: a promise without a test: \(row)") }
        }
    }

    @Test(arguments: documents)
    func linksLeadSomewhere(_ document: Tree.File) {
        let folder = Tree.root.appendingPathComponent(document.path).deletingLastPathComponent()
        for match in document.text.matches(of: /\]\(([^):#]+)\)/) {
            let target = folder.appendingPathComponent(String(match.1)).path
            if !FileManager.default.fileExists(atPath: target) { Issue.record("\(document.path): no \(match.1)") }
        }
    }

    @Test(arguments: documents)
    func namedFilesExist(_ document: Tree.File) {
        for match in document.text.matches(
            of: /`((?:scripts|docs|Sources|Tests|fixtures|Examples)\/[A-Za-z0-9_.\/+-]+)`/)
        {
            if !FileManager.default.fileExists(atPath: Tree.root.appendingPathComponent(String(match.1)).path) {
                Issue.record("\(document.path): no \(match.1)")
            }
        }
    }
}
