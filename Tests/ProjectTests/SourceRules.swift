import Testing

/// Rules of `docs/STYLE.md` that can be read off the text. Each failure says what to write instead.
@Suite struct SourceRules {
    struct Rule: Sendable, CustomTestStringConvertible {
        var pattern: String
        var instead: String
        /// Whether programs, which speak to people, may.
        var librariesOnly = false
        var testDescription: String { pattern }

        func isBroken(by code: String) -> Bool {
            var rest = code[...]
            while let found = rest.firstRange(of: pattern) {
                let before = rest[..<found.lowerBound].last
                // `print(` is meant, `blueprint(` is not.
                if !(pattern.first?.isLetter == true
                    && (before?.isLetter == true || before == "." || before == "_"))
                {
                    return true
                }
                rest = rest[found.upperBound...]
            }
            return false
        }
    }

    static let rules = [
        Rule(pattern: "try!", instead: "a do/catch, or let the error out by typed throws"),
        Rule(pattern: "try?", instead: "a do/catch that says why the error may be dropped"),
        Rule(pattern: " as!", instead: "guard let … as?"),
        Rule(pattern: "fatalError(", instead: "a typed error, or precondition for our own mistakes"),
        Rule(pattern: "print(", instead: "a returned value, a log line, or Terminal in a program"),
        Rule(pattern: "unowned(unsafe)", instead: "a strong reference, or unowned"),
        Rule(pattern: ".load(as:", instead: "the bounds-checked cursor (load is unchecked in release)"),
        Rule(pattern: "NSLock", instead: "Mutex of Synchronization"),
        Rule(pattern: "DispatchQueue", instead: "a thread that is owned, or a direct call", librariesOnly: true),
        Rule(pattern: "import Foundation", instead: "the standard library and Glibc", librariesOnly: true),
    ]

    static let programs = ["Sources/casemate/", "Sources/fuse-debug/"]

    @Test(arguments: rules)
    func sourcesObey(_ rule: Rule) {
        for file in Tree.sources {
            if rule.librariesOnly, Self.programs.contains(where: file.path.hasPrefix) { continue }
            for (index, line) in file.lines.enumerated() where rule.isBroken(by: codeOnly(line)) {
                Issue.record("\(file.path):\(index + 1): not \(rule.pattern) but \(rule.instead)")
            }
        }
    }

    @Test func theRulesFindWhatTheyForbid() {
        for rule in Self.rules {
            #expect(rule.isBroken(by: codeOnly("    let x =\(rule.pattern) y")[...].description))
            #expect(!rule.isBroken(by: codeOnly("    // why not \(rule.pattern)")))
            #expect(!rule.isBroken(by: codeOnly("    let text = \"\(rule.pattern)\"")))
        }
    }

    /// A longer file holds more than one idea: split it by aspect.
    @Test func filesStayShort() {
        for file in Tree.sources where file.lines.count > 400 {
            Issue.record("\(file.path): \(file.lines.count) lines; split it into Type+Aspect.swift files under 250")
        }
    }

    @Test func unsafeSystemCallsSayWhyTheyAreSafe() {
        let marks = ["UnsafeMutableRawBufferPointer(start:", "UnsafeRawBufferPointer(start:", "unsafeBitCast("]
        for file in Tree.sources where !file.text.contains("SAFETY:") {
            for mark in marks where file.text.contains(mark) {
                Issue.record("\(file.path): \(mark) without a // SAFETY: line in the file")
            }
        }
    }

    @Test(arguments: ["Utils", "Helper", "Manager"])
    func noFileIsNamedAfterNothing(_ word: String) {
        for file in Tree.sources where file.path.contains(word) {
            Issue.record("\(file.path): name it after what it is, not \(word)")
        }
    }

    /// What is not there yet belongs into an error or into the documents, not into a note between the lines.
    @Test func nothingIsLeftForLater() {
        let words = ["TO" + "DO", "FIX" + "ME", "XX" + "X:", "HA" + "CK"]
        for file in Tree.everything {
            for word in words where file.text.contains(word) { Issue.record("\(file.path): \(word)") }
        }
    }

    /// Paths of somebody's machine, and hosts that only some machines reach.
    @Test func nothingNamesAMachine() {
        let words = ["/wo" + "rk/", "/ho" + "me/", "/Us" + "ers/", "local" + "host:", "127.0." + "0.1"]
        for file in Tree.everything where file.path != "LICENSE" {
            for word in words where file.text.contains(word) { Issue.record("\(file.path): \(word)") }
        }
    }
}
