import CLinux
import Glibc
import Testing
import VFS

/// What `docs/POSIX-STATUS.md` says is not passed on through FUSE is refused with the error it names, and nothing
/// happens: the reasons for which other tests are cancelled are true.
@Suite struct FrontGapTests {
    static let notPassedOn = Errno.notSupportedOnSocket

    @Test(arguments: Subject.throughFUSE) func whatIsNotPassedOnIsRefused(_ subject: Subject) throws {
        let it = try subject.make()
        expect(Self.notPassedOn) {
            try it.files.make(NewNode(kind: .regular, permissions: 0o600), named: nil, in: it.root, by: .root)
        }
        let contents = [UInt8](repeating: 1, count: 3 * 4096)
        let file = try it.file("f")
        try it.write(file, at: 0, contents)
        try it.withHandle(file, .write) { handle in
            for mode in [AllocationMode.collapse, .insert] {
                expect(Self.notPassedOn) { try it.files.allocate(file, handle, 4096..<8192, mode) }
            }
        }
        let other = try it.file("g")
        expect(Self.notPassedOn) { try it.files.clone(file, 0..<4096, to: other, at: 0, []) }
        #expect(try it.attributes(other).size == 0)
        let client = try #require(it.files as? KernelClient)
        #expect(try !client.tellsBirth(of: file))
        #expect(try it.read(file) == contents)
        #expect(try it.list().sorted() == ["f", "g"])
        it.checkInvariants()
    }
}
