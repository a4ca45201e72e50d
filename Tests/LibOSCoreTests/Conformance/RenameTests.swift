import Testing
import VFS

/// `rename(2)` and `renameat2(2)`.
@Suite struct RenameTests {
    /// What may be at the new name, and what becomes of a file or directory renamed to it.
    enum Target: CaseIterable { case nothing, file, emptyDirectory, fullDirectory, sameFile }

    static let matrix: [(Subject, Bool, Target)] = Subject.quick.flatMap { subject in
        [false, true].flatMap { directory in Target.allCases.map { (subject, directory, $0) } }
    }

    @Test(arguments: matrix, [false, true])
    func renameOnto(_ row: (Subject, Bool, Target), across: Bool) throws {
        let (subject, movesDirectory, target) = row
        let it = try subject.make()
        let from = try it.directory("from")
        let to = across ? try it.directory("to") : from
        let moved = movesDirectory ? try it.directory("old", in: from) : try it.file("old", in: from, "moved")
        if movesDirectory { try it.file("inside", in: moved, "content") }
        var replaced: NodeID?
        switch target {
        case .nothing: break
        case .file: replaced = try it.file("new", in: to, "replaced")
        case .emptyDirectory: replaced = try it.directory("new", in: to)
        case .fullDirectory:
            let directory = try it.directory("new", in: to)
            try it.file("x", in: directory)
            replaced = directory
        case .sameFile:
            if movesDirectory { return }
            _ = try it.files.link(moved, as: name("new"), in: to)
        }
        func rename() throws { try it.rename("old", in: from, to: "new", into: to) }
        let refusal: Errno? =
            switch (movesDirectory, target) {
            case (true, .file): .notDirectory
            case (true, .fullDirectory): .directoryNotEmpty
            case (false, .emptyDirectory), (false, .fullDirectory): .isDirectory
            default: nil
            }
        if let refusal {
            expect(refusal, body: rename)
            #expect(try it.lookup("old", in: from) == moved)
            #expect(try it.lookup("new", in: to) == replaced)
        } else if target == .sameFile {
            try rename()
            #expect(try it.lookup("old", in: from) == moved)
            #expect(try it.lookup("new", in: to) == moved)
            #expect(try it.attributes(moved).linkCount == 2)
        } else {
            try rename()
            expect(.noSuchFileOrDirectory) { try it.lookup("old", in: from) }
            #expect(try it.lookup("new", in: to) == moved)
            if let replaced { #expect(try it.attributes(replaced).linkCount == 0) }
            if movesDirectory {
                #expect(try it.files.parent(of: moved) == to)
                #expect(try it.attributes(to).linkCount == 3)
                #expect(try it.text(it.lookup("inside", in: moved)) == "content")
                if across { #expect(try it.attributes(from).linkCount == 2) }
            } else {
                #expect(try it.text(moved) == "moved")
            }
        }
        it.checkInvariants()
    }

    @Test(arguments: Subject.all) func absentNameAndWrongPlaces(_ subject: Subject) throws {
        let it = try subject.make()
        let file = try it.file("file")
        expect(.noSuchFileOrDirectory) { try it.rename("absent", to: "x") }
        expect(.notDirectory) { try it.rename("x", in: file, to: "y") }
        expect(.notDirectory) { try it.rename("file", to: "y", into: file) }
        try it.rename("file", to: "file")
        #expect(try it.lookup("file") == file)
        it.checkInvariants()
    }

    @Test(arguments: Subject.all) func directoryNeverMovesBelowItself(_ subject: Subject) throws {
        let it = try subject.make()
        let top = try it.directory("top")
        let middle = try it.directory("middle", in: top)
        let bottom = try it.directory("bottom", in: middle)
        expect(.invalidArgument) { try it.rename("top", to: "x", into: top) }
        expect(.invalidArgument) { try it.rename("top", to: "x", into: bottom) }
        // Onto an ancestor, which is not empty.
        expect(.directoryNotEmpty) { try it.rename("bottom", in: middle, to: "top") }
        try it.rename("bottom", in: middle, to: "bottom")
        #expect(try it.files.parent(of: bottom) == it.root)
        it.checkInvariants()
    }

    @Test(arguments: Subject.having(.exchange)) func noReplaceKeepsWhatIsThere(_ subject: Subject) throws {
        let it = try subject.make()
        try it.file("a", "a")
        try it.file("b", "b")
        expect(.fileExists) { try it.rename("a", to: "b", .noReplace) }
        #expect(try it.text(it.lookup("b")) == "b")
        try it.rename("a", to: "c", .noReplace)
        #expect(try it.text(it.lookup("c")) == "a")
        expect(.invalidArgument) { try it.rename("c", to: "b", [.noReplace, .exchange]) }
        it.checkInvariants()
    }

    @Test(arguments: Subject.having(.exchange)) func exchangeSwaps(_ subject: Subject) throws {
        let it = try subject.make()
        let left = try it.directory("left")
        let right = try it.directory("right")
        let file = try it.file("a", in: left, "file")
        let directory = try it.directory("b", in: right)
        try it.rename("a", in: left, to: "b", into: right, .exchange)
        #expect(try it.lookup("a", in: left) == directory)
        #expect(try it.lookup("b", in: right) == file)
        #expect(try it.attributes(left).linkCount == 3)
        #expect(try it.attributes(right).linkCount == 2)
        #expect(try it.files.parent(of: directory) == left)
        expect(.noSuchFileOrDirectory) { try it.rename("b", in: right, to: "absent", .exchange) }
        expect(.invalidArgument) { try it.rename("left", to: "a", into: left, .exchange) }
        it.checkInvariants()
    }
}
