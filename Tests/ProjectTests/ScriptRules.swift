import Foundation
import Testing

/// Scripts that other people run must be runnable and fail loudly.
@Suite struct ScriptRules {
    static let scripts = Tree.files(in: "scripts", [""]) + Tree.files(in: ".ci", [""])

    @Test(arguments: scripts)
    func isExecutableAndStrict(_ script: Tree.File) {
        #expect(FileManager.default.isExecutableFile(atPath: Tree.root.appendingPathComponent(script.path).path))
        #expect(
            script.text.hasPrefix("#!/usr/bin/env bash\n# "),
            "starts with the interpreter, then says what it is for")
        #expect(script.text.contains("\nset -euo pipefail\n") || script.text.contains("\nset -uo pipefail\n"))
    }

    @Test(arguments: scripts)
    func isSoundBash(_ script: Tree.File) throws {
        let check = Process()
        check.executableURL = URL(fileURLWithPath: "/bin/bash")
        check.arguments = ["-n", Tree.root.appendingPathComponent(script.path).path]
        try check.run()
        check.waitUntilExit()
        #expect(check.terminationStatus == 0)
    }

    @Test func theOnesPeopleAreToldOfAreThere() throws {
        for name in ["setup", "test", "demo", "loads", "nightly", "figures"] {
            #expect(Self.scripts.contains { $0.path == "scripts/\(name)" }, "scripts/\(name)")
        }
        #expect(Self.scripts.contains { $0.path == ".ci/run" })
    }
}
