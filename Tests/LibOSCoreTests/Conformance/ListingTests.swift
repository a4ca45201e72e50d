import Testing
import VFS

/// `readdir(3)`: completeness, cookies, and what happens when the directory changes during a scan.
@Suite struct ListingTests {
    @Test(arguments: Subject.all, [1, 7, Int.max]) func everyEntryOnce(_ subject: Subject, step: Int) throws {
        let it = try subject.make()
        #expect(try it.list(step: step).isEmpty)
        let names = (0..<300).map { "entry-\($0)" }
        for (index, name) in names.enumerated() {
            if index % 3 == 0 { try it.directory(name) } else { try it.file(name) }
        }
        #expect(try it.list(step: step).sorted() == names.sorted())
        it.checkInvariants()
    }

    @Test(arguments: Subject.all) func entriesTellKindAndNode(_ subject: Subject) throws {
        let it = try subject.make()
        let file = try it.file("file")
        let directory = try it.directory("directory")
        var found: [String: DirectoryEntry] = [:]
        try it.withHandle(it.root, [.read, .directory]) { handle throws in
            try it.files.readDirectory(it.root, handle, after: .start, plus: false) { entry in
                found[entry.name.description] = entry
                return true
            }
        }
        #expect(found.count == 2)
        #expect(found["file"]?.kind == .regular)
        #expect(found["file"]?.node == file)
        #expect(found["directory"]?.kind == .directory)
        #expect(found["directory"]?.node == directory)
        #expect(found.values.allSatisfy { $0.attributes == nil && $0.cookie.rawValue > 2 })
    }

    /// `plus` hands out lookups for what was accepted and for nothing else.
    @Test(arguments: Subject.all) func plusCountsWhatIsAccepted(_ subject: Subject) throws {
        let it = try subject.make()
        for index in 0..<10 {
            let file = try it.file("f\(index)", "x")
            it.files.forget(file, count: 1)
        }
        var accepted: [DirectoryEntry] = []
        var refused: NodeID?
        try it.withHandle(it.root, [.read, .directory]) { handle throws in
            try it.files.readDirectory(it.root, handle, after: .start, plus: true) { entry in
                if accepted.count == 4 {
                    refused = entry.node
                    return false
                }
                accepted.append(entry)
                return true
            }
        }
        for entry in accepted {
            #expect(entry.attributes?.size == 1)
            try it.remove(entry.name.description)
            #expect(try it.attributes(entry.node).linkCount == 0)
            it.files.forget(entry.node, count: 1)
            #expect(throws: VFSError.self) { try it.attributes(entry.node) }
        }
        let last = try #require(refused)
        for name in try it.list() { try it.remove(name) }
        #expect(throws: VFSError.self) { try it.attributes(last) }
        it.checkInvariants()
    }

    /// What stays during a scan is given exactly once, what comes or goes at most once.
    @Test(arguments: Subject.all) func scanUnderChange(_ subject: Subject) throws {
        let it = try subject.make()
        for index in 0..<200 { try it.file("stay-\(index)") }
        for index in 0..<200 { try it.file("go-\(index)") }
        var seen: [String: Int] = [:]
        try it.withHandle(it.root, [.read, .directory]) { handle throws in
            var cookie = DirectoryCookie.start
            var round = 0
            while true {
                var given = 0
                try it.files.readDirectory(it.root, handle, after: cookie, plus: false) { entry in
                    guard given < 20 else { return false }
                    given += 1
                    seen[entry.name.description, default: 0] += 1
                    cookie = entry.cookie
                    return true
                }
                if given == 0 { break }
                for index in stride(from: round * 10, to: min(200, round * 10 + 10), by: 1) {
                    try it.remove("go-\(index)")
                }
                if round < 30 { try it.file("new-\(round)") }
                round += 1
            }
        }
        for index in 0..<200 { #expect(seen["stay-\(index)"] == 1) }
        #expect(seen.values.allSatisfy { $0 == 1 })
        it.checkInvariants()
    }

    /// Everything can be removed while scanning, as `rm -r` does.
    @Test(arguments: Subject.all) func removeWhileScanning(_ subject: Subject) throws {
        let it = try subject.make()
        for index in 0..<500 { try it.file("f\(index)") }
        try it.withHandle(it.root, [.read, .directory]) { handle throws in
            var cookie = DirectoryCookie.start
            while true {
                var names: [String] = []
                try it.files.readDirectory(it.root, handle, after: cookie, plus: false) { entry in
                    guard names.count < 50 else { return false }
                    names.append(entry.name.description)
                    cookie = entry.cookie
                    return true
                }
                if names.isEmpty { break }
                for name in names { try it.remove(name) }
            }
        }
        #expect(try it.list().isEmpty)
        it.checkInvariants()
    }

    @Test(arguments: Subject.all) func onlyDirectoriesAreListed(_ subject: Subject) throws {
        let it = try subject.make()
        let file = try it.file("file")
        try it.withHandle(file, .read) { handle throws in
            expect(.notDirectory) {
                try it.files.readDirectory(file, handle, after: .start, plus: false) { _ in true }
            }
        }
    }
}
