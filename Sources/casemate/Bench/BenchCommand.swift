import ArgumentParser
import CommandSupport
import Glibc
import Inspection
import SecureBlock

struct BenchCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "bench", abstract: "Compare a volume's device with a plain file on the same disk.",
        discussion: """
            Makes a plain file and a volume in a new folder inside DIR and gives each the same work in turn, so that both see the \
            same disk. O_DIRECT, no page cache, one thread but where it says otherwise. Everything a round wrote is durable before \
            its clock stops. Prints a table in Markdown: medians, ranges, the median of the rounds' ratios with a 95 % interval, \
            and whether all of the interval reaches what is wanted.

            Both files were written in full beforehand. The volume is three times as large as the data, so that the cleaner has \
            little to do, and has no anchor but where it says so; that anchor is a file on the same disk. The folder is removed \
            afterwards. The full run takes 5 to 10 minutes on a fast disk, --quick about two.
            """)

    @Argument(help: "A directory on the disk to measure; needs about five times SIZE of room.")
    var directory: String

    @Option(help: "How much data each round covers; 4G, or 256M with --quick.")
    var size: ByteCount?

    @Option(help: "How many rounds on each side; an interval needs two.")
    var rounds = 5

    @Flag(help: "A sixteenth of the data and a quarter of the time.")
    var quick = false

    @Option(
        help:
            "Measure only these, separated by commas: \(BenchRow.allCases.map(\.rawValue).joined(separator: ", "))."
    )
    var only = BenchRows(BenchRow.allCases)

    @Flag(help: "Print the result as JSON; rates and ratios in thousandths.")
    var json = false

    @Option(help: "Also write the result as JSON to this file.")
    var save: String?

    private var workSize: ByteCount { size ?? ByteCount(bytes: quick ? 256 << 20 : 4 << 30) }

    func validate() throws {
        guard (1...100).contains(rounds) else { throw ValidationError("--rounds is between 1 and 100.") }
        let bytes = workSize.bytes
        guard bytes >= 8 << 20, bytes <= 1 << 40, bytes % (1 << 20) == 0 else {
            throw ValidationError("--size is a whole number of MiB, at least 8M.")
        }
    }

    func run() throws {
        let machine = Machine()
        let load = machine.load
        let folder = try ScratchFolder(in: directory, prefix: "casemate-bench")
        let scale = BenchScale(bytes: workSize.bytes, limitSeconds: quick ? 1.5 : 6)
        let run = try measure(folder, scale)
        let report = BenchReport(
            results: run.results, rows: only.rows, size: workSize, rounds: rounds, transport: run.transport,
            isRawDirect: run.isRawDirect, machine: machine, load: (load, machine.load))
        try run.close()
        if let save { try Self.write(report.json.text + "\n", to: save) }
        try Terminal.require(json ? report.json.text : report.markdown)
    }

    private func measure(_ folder: ScratchFolder, _ scale: BenchScale) throws(CommandFailure) -> BenchRun {
        let progress = ProgressLine("measuring")
        defer { progress.finish() }
        progress.update(0, of: 1)
        let run = try BenchRun(in: folder, scale, Set(only.rows))
        let steps = BenchRow.allCases.count
        for round in 0..<rounds {
            try run.round(round) { progress.update(UInt64(round * steps + $0), of: UInt64(rounds * steps)) }
        }
        return run
    }

    private static func write(_ text: String, to path: String) throws(CommandFailure) {
        guard let file = fopen(path, "we") else {
            throw CommandFailure(.hostFailed, "cannot be made: \(lastError())", at: path)
        }
        let isWritten = fputs(text, file) >= 0
        guard fclose(file) == 0, isWritten else {
            throw CommandFailure(.hostFailed, "could not be written: \(lastError())", at: path)
        }
    }
}

/// Rows by their names, as an argument has them.
struct BenchRows: ExpressibleByArgument, Equatable {
    /// In the table's order.
    let rows: [BenchRow]

    init(_ rows: [BenchRow]) { self.rows = rows }

    init?(argument: String) {
        let names = argument.split(separator: ",", omittingEmptySubsequences: false).map { String($0) }
        let chosen = names.compactMap { BenchRow(rawValue: $0) }
        guard chosen.count == names.count else { return nil }
        rows = BenchRow.allCases.filter { chosen.contains($0) }
    }

    var defaultValueDescription: String { "all" }
}
