import ArgumentParser
import CommandSupport
import Glibc
import Inspection
import SecureBlock

struct BenchCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "bench", abstract: "Compare a volume's device with a plain file on the same disk.",
        discussion: """
            Makes a plain file and a volume in a new folder inside DIR and gives each the same work in turn: a round on the one, a \
            round on the other, so that both see the same disk. Queue depth 1, O_DIRECT, no page cache. Everything a round \
            wrote is durable before its clock stops. Prints medians, ranges, and the ratio of volume to plain file.

            The plain file was written in full beforehand; the volume is new, so its log also makes the host allocate. There is \
            no anchor. The folder is removed afterwards.
            """)

    @Argument(help: "A directory on the disk to measure; needs about 16 times SIZE of room.")
    var directory: String

    @Option(help: "How much data each round covers.")
    var size = ByteCount(bytes: 128 << 20)

    @Option(help: "How many rounds on each side.")
    var rounds = 5

    @Flag(help: "Print the result as JSON.")
    var json = false

    func validate() throws {
        guard (1...100).contains(rounds) else { throw ValidationError("--rounds is between 1 and 100.") }
        guard size.bytes >= 8 << 20, size.bytes <= 1 << 40, size.bytes % (1 << 20) == 0 else {
            throw ValidationError("--size is a whole number of MiB, at least 8M.")
        }
    }

    func run() throws {
        let folder = try ScratchFolder(in: directory, prefix: "casemate-bench")
        var random = SystemRandomNumberGenerator()
        let buffer = AlignedBuffer(byteCount: 1 << 20)
        // Data that no disk below can compress away.
        for index in 0..<(buffer.bytes.count / 8) {
            buffer.bytes.storeBytes(of: random.next(), toByteOffset: index * 8, as: UInt64.self)
        }
        let raw = try RawFile(
            path: "\(folder.path)/plain", byteCount: size.bytes, filler: UnsafeRawBufferPointer(buffer.bytes))
        let volume = try BenchVolume(path: "\(folder.path)/volume", workBytes: size.bytes, rounds: rounds)
        let comparison = try compare(raw, volume.target, buffer.bytes)
        let transport = volume.transport
        try volume.close()
        try Terminal.require(
            json
                ? comparison.json(size, rounds, transport, isDirect: raw.isDirect).text
                : comparison.text(size, rounds, transport, isDirect: raw.isDirect))
    }

    private func compare(
        _ raw: RawFile, _ volume: VolumeTarget, _ buffer: UnsafeMutableRawBufferPointer
    ) throws(CommandFailure) -> Comparison {
        let progress = ProgressLine("measuring")
        defer { progress.finish() }
        let blocks = size.bytes / UInt64(blockBytes)
        var comparison = Comparison()
        let total = UInt64(rounds * Workload.allCases.count)
        var done: UInt64 = 0
        for round in 0..<rounds {
            for workload in Workload.allCases {
                progress.update(done, of: total)
                var places = SeededGenerator(seed: UInt64(round))
                var samePlaces = places
                // Whoever comes second finds the disk as the other left it: take turns.
                if round % 2 == 0 {
                    let first = try workload.rate(raw, blocks: blocks, buffer: buffer, &places)
                    let second = try workload.rate(volume, blocks: blocks, buffer: buffer, &samePlaces)
                    comparison.add(workload, raw: first, volume: second)
                } else {
                    let first = try workload.rate(volume, blocks: blocks, buffer: buffer, &places)
                    let second = try workload.rate(raw, blocks: blocks, buffer: buffer, &samePlaces)
                    comparison.add(workload, raw: second, volume: first)
                }
                done += 1
            }
        }
        return comparison
    }
}
