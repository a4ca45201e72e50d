import CommandSupport
import SecureBlock

/// Both sides on one disk, and the rounds of work that they are given in turn.
final class BenchRun {
    static let readers = 32
    /// What the volume with an anchor covers at most: commits cost the same wherever they go.
    private static let anchoredBytes: UInt64 = 256 << 20

    private let raw: RawFile
    private let volume: BenchVolume
    private let anchored: BenchVolume?
    private let scale: BenchScale
    private let rows: Set<BenchRow>
    private(set) var results = BenchResults()

    init(in folder: ScratchFolder, _ scale: BenchScale, _ rows: Set<BenchRow>) throws(CommandFailure) {
        self.scale = scale
        self.rows = rows
        raw = try RawFile(path: "\(folder.path)/plain")
        let fresh = Stopwatch()
        try raw.fill(scale.bytes, scale)
        results.freshFile = fresh.work(operations: 0, bytes: scale.bytes)
        // Room for what is live, for a whole rewriting of it, and for as much that waits for roots: the cleaner has its own
        // measurement (scripts/aging).
        volume = try BenchVolume(path: "\(folder.path)/volume", logicalBytes: 3 * scale.bytes)
        let freshVolume = Stopwatch()
        try volume.target.fill(scale.bytes, scale)
        results.freshVolume = freshVolume.work(operations: 0, bytes: scale.bytes)
        try volume.fillWholeFile(scale.bytes, scale)
        guard rows.contains(.anchoredCommit) else {
            anchored = nil
            return
        }
        let small = scale.within(Self.anchoredBytes)
        let beside = try BenchVolume(
            path: "\(folder.path)/anchored", logicalBytes: 3 * small.bytes, anchorPath: "\(folder.path)/anchor")
        try beside.fillWholeFile(small.bytes, small)
        anchored = beside
    }

    var transport: String { volume.transport }
    var isRawDirect: Bool { raw.isDirect }

    func close() throws(CommandFailure) {
        try volume.close()
        try anchored?.close()
    }

    /// One round: whoever comes second finds the disk as the other left it, so the order changes from round to round.
    func round(_ number: Int, _ progress: (Int) -> Void) throws(CommandFailure) {
        let before = volume.counters
        for (index, row) in BenchRow.allCases.enumerated() {
            progress(index)
            if row == .firstRead { try closeWriting(since: before) }
            guard let works = works(row) else { continue }
            guard rows.contains(row) || rows.contains(where: { $0.processorTimeOf == row }) else {
                if row == .randomWrite, needsScattered {
                    _ = try Workload.randomOverwrite.run(volume.target, scale, seed: seed(number, row))
                }
                continue
            }
            try measure(row, works, number)
        }
    }

    /// - Returns: what the plain file and the volume do for a row; `nil` for one that follows from others.
    private func works(_ row: BenchRow) -> (plain: Workload, volume: Workload)? {
        switch row {
        case .sequentialWrite: (.sequentialWrite, .sequentialWrite)
        case .sequentialRead: (.sequentialRead, .sequentialRead)
        case .randomWrite: (.randomWrite, .randomOverwrite)
        case .firstRead: (.firstReads(4096), .firstReads(4096))
        case .scatteredRead: (.deepRead(threads: Self.readers), .sequentialRead)
        case .randomRead: (.randomRead, .randomRead)
        case .deepRead: (.deepRead(threads: Self.readers), .deepRead(threads: Self.readers))
        case .commit, .anchoredCommit: (.writeAndCommit(every: 1), .writeAndCommit(every: 1))
        case .groupCommit: (.writeAndCommit(every: 32), .writeAndCommit(every: 32))
        case .writeCPU, .randomWriteCPU, .space: nil
        }
    }

    private var needsScattered: Bool {
        !rows.isDisjoint(with: [.firstRead, .scatteredRead, .randomRead, .deepRead])
    }

    /// Another seed for each row: what is read must not be read in the order in which it was written.
    private func seed(_ number: Int, _ row: BenchRow) -> UInt64 {
        UInt64(number) << 8 | UInt64(BenchRow.allCases.firstIndex(of: row) ?? 0)
    }

    private func measure(_ row: BenchRow, _ works: (plain: Workload, volume: Workload), _ number: Int)
        throws(CommandFailure)
    {
        let side = row == .anchoredCommit ? anchored ?? volume : volume
        let scale = row == .anchoredCommit ? scale.within(Self.anchoredBytes) : scale
        let seed = seed(number, row)
        let plain: Work, sealed: Work
        if number % 2 == 0 {
            plain = try works.plain.run(raw, scale, seed: seed)
            sealed = try works.volume.run(side.target, scale, seed: seed)
        } else {
            sealed = try works.volume.run(side.target, scale, seed: seed)
            plain = try works.plain.run(raw, scale, seed: seed)
        }
        for figure in BenchRow.allCases
        where rows.contains(figure) && (figure == row || figure.processorTimeOf == row) {
            results.add(figure, plain: plain.figure(figure.unit), volume: sealed.figure(figure.unit))
        }
    }

    /// Has a last checkpoint written, counts what the round's writes took, and opens the volume again.
    private func closeWriting(since before: DeviceCounters) throws(CommandFailure) {
        guard rows.contains(.space) || needsScattered else { return }
        try volume.close()
        let after = volume.counters
        if rows.contains(.space), after.clientBlocks > before.clientBlocks {
            let data = Double(after.clientBlocks - before.clientBlocks)
            results.add(.space, plain: nil, volume: (Double(after.logBlocks - before.logBlocks) / data - 1) * 100)
        }
        try volume.reopen()
    }
}

extension BenchRow {
    /// The row whose work this row's processor time is of.
    var processorTimeOf: BenchRow? {
        switch self {
        case .writeCPU: .sequentialWrite
        case .randomWriteCPU: .randomWrite
        default: nil
        }
    }
}
