/// One line of the table: work for both sides, and what is wanted of the volume.
enum BenchRow: String, CaseIterable {
    case sequentialWrite = "sequential-write"
    case sequentialRead = "sequential-read"
    case randomWrite = "random-write"
    case firstRead = "first-read"
    case scatteredRead = "scattered-read"
    case randomRead = "random-read"
    case deepRead = "deep-read"
    case commit
    case anchoredCommit = "anchored-commit"
    case groupCommit = "group-commit"
    case writeCPU = "write-cpu"
    case randomWriteCPU = "random-write-cpu"
    case space

    /// Which figure of the work counts.
    enum Unit: String {
        case mebibytesASecond = "MiB/s"
        case operationsASecond = "per second"
        case secondsAGibibyte = "s/GiB"
        case percent = "%"
    }

    var title: String {
        switch self {
        case .sequentialWrite: "sequential write, 512 KiB, one final sync"
        case .sequentialRead: "sequential read, 1 MiB, as written in order"
        case .randomWrite: "random write, 4 KiB, one final sync"
        case .firstRead: "random read, 4 KiB, first reads after opening"
        case .scatteredRead: "sequential read, 1 MiB, after full random overwrite; file: random 4 KiB, 32 at once"
        case .randomRead: "random read, 4 KiB, one at a time"
        case .deepRead: "random read, 4 KiB, 32 at once"
        case .commit: "4 KiB write + commit, each"
        case .anchoredCommit: "4 KiB write + commit, each, with a file anchor"
        case .groupCommit: "4 KiB write, commit every 32"
        case .writeCPU: "processor time of sequential writing"
        case .randomWriteCPU: "processor time of random writing"
        case .space: "space for all but data, of a round's writes"
        }
    }

    var unit: Unit {
        switch self {
        case .sequentialWrite, .sequentialRead, .scatteredRead: .mebibytesASecond
        case .randomWrite, .firstRead, .randomRead, .deepRead, .commit, .anchoredCommit, .groupCommit:
            .operationsASecond
        case .writeCPU, .randomWriteCPU: .secondsAGibibyte
        case .space: .percent
        }
    }

    /// Of the ratio of the volume to the plain file, or of the volume's own figure (``isRatio``); `nil`: for information.
    var goal: Goal? {
        switch self {
        case .sequentialWrite, .sequentialRead: .atLeast(1)
        case .scatteredRead, .deepRead: .atLeast(0.9)
        case .randomWrite: .atLeast(20)
        case .randomRead: .atLeast(0.95)
        case .commit: .atLeast(0.8)
        case .anchoredCommit: .atLeast(0.4)
        case .groupCommit: .atLeast(1.5)
        case .writeCPU: .atMost(0.45)
        case .space: .atMost(1)
        case .firstRead, .randomWriteCPU: nil
        }
    }

    /// Whether what is wanted is a multiple of the plain file's figure.
    var isRatio: Bool { unit == .mebibytesASecond || unit == .operationsASecond }
}
