import Glibc

/// Figures of one kind, one a round, all above 0.
struct Sample: Hashable {
    var values: [Double] = []

    /// The middle figure; of an even number the mean of the two. 0 of none.
    var median: Double {
        let sorted = values.sorted()
        guard !sorted.isEmpty else { return 0 }
        let middle = sorted.count / 2
        return sorted.count % 2 == 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2
    }

    var least: Double { values.min() ?? 0 }
    var most: Double { values.max() ?? 0 }

    /// The 95 % bounds of Student's t over the logarithms: ratios multiply, so that half and double are equally far from 1.
    /// `nil` of fewer than two figures, and where one is not above 0.
    var interval: ClosedRange<Double>? {
        guard values.count > 1, values.allSatisfy({ $0 > 0 && $0.isFinite }) else { return nil }
        let logarithms = values.map { log($0) }
        let count = Double(values.count)
        let mean = logarithms.reduce(0, +) / count
        let variance = logarithms.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / (count - 1)
        let reach = Self.quantile(freedom: values.count - 1) * (variance / count).squareRoot()
        return exp(mean - reach)...exp(mean + reach)
    }

    /// The 97.5 % quantile of Student's t. Beyond the table the last one, which makes intervals a little too wide.
    private static func quantile(freedom: Int) -> Double { quantiles[min(freedom, quantiles.count) - 1] }

    private static let quantiles = [
        12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131,
        2.120, 2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042,
    ]
}

/// What a figure has to reach.
enum Goal: Hashable {
    case atLeast(Double)
    case atMost(Double)

    enum Verdict: String {
        case passed, missed
        /// The goal lies within the interval: more rounds, or a quieter machine, would tell.
        case open
    }

    /// Passed only when the whole interval is on the right side of the goal.
    func verdict(_ sample: Sample) -> Verdict {
        guard let interval = sample.interval else { return .open }
        switch self {
        case .atLeast(let bound):
            return interval.lowerBound >= bound ? .passed : interval.upperBound < bound ? .missed : .open
        case .atMost(let bound):
            return interval.upperBound <= bound ? .passed : interval.lowerBound > bound ? .missed : .open
        }
    }

    var text: String {
        switch self {
        case .atLeast(let bound): "≥ \(Decimal.text(bound))"
        case .atMost(let bound): "≤ \(Decimal.text(bound))"
        }
    }
}

/// Numbers as a table shows them.
enum Decimal {
    /// Three figures at least: `1234`, `12.3`, `0.45`, `0.008`.
    static func text(_ value: Double) -> String {
        guard value.isFinite, abs(value) < 1e15 else { return "-" }
        let decimals = abs(value) >= 100 ? 0 : abs(value) >= 10 ? 1 : abs(value) >= 0.1 ? 2 : 3
        let scale = (0..<decimals).reduce(1) { scale, _ in scale * 10 }
        let scaled = Int((abs(value) * Double(scale)).rounded())
        let digits = String(scaled % scale)
        let fraction = decimals == 0 ? "" : "." + String(repeating: "0", count: decimals - digits.count) + digits
        return (value < 0 && scaled > 0 ? "-" : "") + String(scaled / scale) + fraction
    }
}
