import Inspection
import SecureBlock

/// The results as people and programs read them.
struct BenchReport {
    let results: BenchResults
    let rows: [BenchRow]
    let size: ByteCount
    let rounds: Int
    let transport: String
    let isRawDirect: Bool
    let machine: Machine
    /// Before and after.
    let load: (Double, Double)

    /// The rows that something was measured of.
    private var measured: [BenchRow] { rows.filter { results.pairs[$0] != nil } }

    var markdown: String {
        var lines = [
            "\(size) of data, \(rounds) rounds; plain file: pread, pwrite, \(isRawDirect ? "O_DIRECT" : "page cache"); "
                + "volume: \(transport), AES-256-GCM. \(machine.processors) × \(machine.processor), \(machine.kernel), "
                + "load \(Decimal.text(load.0)) before, \(Decimal.text(load.1)) after. \(Version.text).", "",
            "| work | unit | plain file: median (least to most) | volume: median (least to most) "
                + "| volume to file: median (95%) | wanted | |", "|---|---|---|---|---|---|---|",
        ]
        lines += measured.map { row in
            let pair = results.pairs[row] ?? BenchResults.Pair()
            let cells = [
                row.title, row.unit.rawValue, pair.plain.values.isEmpty ? "" : Self.spread(pair.plain),
                Self.spread(pair.volume), Self.judgement(results.judged(row), isRatio: row.isRatio),
                row.goal?.text ?? "", row.goal?.verdict(results.judged(row)).rawValue ?? "",
            ]
            return "| \(cells.joined(separator: " | ")) |"
        }
        if let file = results.freshFile, let volume = results.freshVolume {
            lines += [
                "",
                "Before the first round, into space never used, once: plain file \(Decimal.text(file.figure(.mebibytesASecond))) "
                    + "MiB/s, volume \(Decimal.text(volume.figure(.mebibytesASecond))) MiB/s.",
            ]
        }
        return lines.joined(separator: "\n")
    }

    private static func spread(_ sample: Sample) -> String {
        "\(Decimal.text(sample.median)) (\(Decimal.text(sample.least)) to \(Decimal.text(sample.most)))"
    }

    private static func judgement(_ sample: Sample, isRatio: Bool) -> String {
        let bounds = sample.interval.map {
            "(\(Decimal.text($0.lowerBound)) to \(Decimal.text($0.upperBound)))"
        }
        return [isRatio ? Decimal.text(sample.median) : nil, bounds].compactMap { $0 }.joined(separator: " ")
    }

    var json: JSON {
        [
            "workBytes": .number(size.bytes), "rounds": .number(UInt64(rounds)), "transport": .string(transport),
            "plainFileIsDirect": .bool(isRawDirect), "processor": .string(machine.processor),
            "processors": .number(UInt64(machine.processors)), "kernel": .string(machine.kernel),
            "version": .string(Version.text),
            "loadBeforeThousandths": Self.thousandths(load.0), "loadAfterThousandths": Self.thousandths(load.1),
            "rows": .array(measured.map(rowJSON)),
        ]
    }

    private func rowJSON(_ row: BenchRow) -> JSON {
        let pair = results.pairs[row] ?? BenchResults.Pair(), judged = results.judged(row)
        return [
            "name": .string(row.rawValue), "title": .string(row.title), "unit": .string(row.unit.rawValue),
            "plainFileThousandths": .array(pair.plain.values.map(Self.thousandths)),
            "volumeThousandths": .array(pair.volume.values.map(Self.thousandths)),
            "judged": row.isRatio ? "ratio" : "volume",
            "medianThousandths": Self.thousandths(judged.median),
            "lowerThousandths": judged.interval.map { Self.thousandths($0.lowerBound) } ?? .null,
            "upperThousandths": judged.interval.map { Self.thousandths($0.upperBound) } ?? .null,
            "wanted": row.goal.map { .string($0.text) } ?? .null,
            "verdict": row.goal.map { .string($0.verdict(judged).rawValue) } ?? .null,
        ]
    }

    private static func thousandths(_ value: Double) -> JSON {
        .number(UInt64(exactly: (max(0, value) * 1000).rounded()) ?? 0)
    }
}
