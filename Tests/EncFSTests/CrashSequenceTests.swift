import FileSimulation
import Synchronization
import Testing

/// Every sequence of one or two operations on a small filesystem, over a real device, with a crash at every host write:
/// what mounts is the filesystem as of one commit, not older than the last acknowledged, and sound.
@Suite struct CrashSequenceTests {
    private static let totals = Mutex((sequences: 0, images: 0))

    /// The first operation is the argument; the second is none and each in turn.
    @Test(arguments: FileOperation.allCases)
    func everyCrashIsOneCommit(first: FileOperation) throws {
        let seconds: [FileOperation?] = isDebug ? [nil] : [nil] + FileOperation.allCases.map { $0 }
        for second in seconds {
            var sequence = [first]
            if let second { sequence.append(second) }
            let result = FileCrashSearch.run(sequence)
            for violation in result.violations.prefix(3) { Issue.record("\(violation)") }
            Self.totals.withLock {
                $0.sequences += 1
                $0.images += result.images
            }
        }
        let (sequences, images) = Self.totals.withLock { $0 }
        if sequences == FileOperation.allCases.count * seconds.count {
            print("EncFS: \(images) distinct crash images of \(sequences) sequences of operations")
        }
    }

    /// A crash between the steps of a long truncation: sound, and finished by the next mount.
    @Test func aChainThatACrashCutIsFinished() {
        let (commitsInside, violations) = FileChainSearch.run()
        for violation in violations.prefix(3) { Issue.record("\(violation)") }
        #expect(commitsInside > 0)
    }
}

private let isDebug: Bool = {
    var isDebug = false
    assert(
        {
            isDebug = true
            return true
        }())
    return isDebug
}()
