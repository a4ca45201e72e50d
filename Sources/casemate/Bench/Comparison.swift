import CommandSupport
import Inspection

/// What was measured, side by side.
struct Comparison {
    private var raw: [Workload: [Double]] = [:]
    private var volume: [Workload: [Double]] = [:]

    mutating func add(_ workload: Workload, raw rawRate: Double, volume volumeRate: Double) {
        raw[workload, default: []].append(rawRate)
        volume[workload, default: []].append(volumeRate)
    }

    /// The middle rate; of an even number the lower of the two.
    static func median(_ rates: [Double]) -> Double {
        rates.isEmpty ? 0 : rates.sorted()[(rates.count - 1) / 2]
    }

    func text(_ size: ByteCount, _ rounds: Int, _ transport: String, isDirect: Bool) -> String {
        var lines = [
            "\(size), \(rounds) rounds, queue depth 1; plain file: pwrite\(isDirect ? ", O_DIRECT" : " without O_DIRECT"); "
                + "volume: \(transport)", "",
            Self.row("", "plain file", "volume", "ratio", "plain range", "volume range"),
        ]
        for workload in Workload.allCases {
            let (plain, sealed) = (raw[workload] ?? [], volume[workload] ?? [])
            lines.append(
                Self.row(
                    "\(workload.title) (\(workload.unit))", Self.number(Self.median(plain)),
                    Self.number(Self.median(sealed)), Self.ratio(plain, sealed), Self.range(plain),
                    Self.range(sealed)))
        }
        return lines.joined(separator: "\n")
    }

    func json(_ size: ByteCount, _ rounds: Int, _ transport: String, isDirect: Bool) -> JSON {
        [
            "workBytes": .number(size.bytes), "rounds": .number(UInt64(rounds)), "transport": .string(transport),
            "plainFileIsDirect": .bool(isDirect),
            "workloads": .array(
                Workload.allCases.map { workload in
                    [
                        "name": .string(workload.title), "unit": .string(workload.unit),
                        "plainFile": .array((raw[workload] ?? []).map { .number(UInt64($0.rounded())) }),
                        "volume": .array((volume[workload] ?? []).map { .number(UInt64($0.rounded())) }),
                        "ratioPercent": .number(
                            UInt64((Self.medianRatio(raw[workload] ?? [], volume[workload] ?? []) * 100).rounded())),
                    ]
                }),
        ]
    }

    private static func medianRatio(_ plain: [Double], _ sealed: [Double]) -> Double {
        let base = median(plain)
        return base > 0 ? median(sealed) / base : 0
    }

    private static func ratio(_ plain: [Double], _ sealed: [Double]) -> String {
        let hundredths = Int((medianRatio(plain, sealed) * 100).rounded())
        let digits = String(hundredths % 100)
        return "\(hundredths / 100)." + String(repeating: "0", count: 2 - digits.count) + digits
    }

    private static func number(_ rate: Double) -> String { String(Int(rate.rounded())) }

    private static func range(_ rates: [Double]) -> String {
        "\(number(rates.min() ?? 0))–\(number(rates.max() ?? 0))"
    }

    private static func row(_ cells: String...) -> String {
        let widths = [34, 11, 11, 7, 16, 16]
        return zip(cells, widths).enumerated().map { index, cell in
            let gap = String(repeating: " ", count: max(0, cell.1 - cell.0.count))
            return index == 0 ? cell.0 + gap : gap + cell.0
        }.joined(separator: " ")
    }
}
