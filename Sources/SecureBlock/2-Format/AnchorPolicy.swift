/// How far the anchor may lag behind what was acknowledged: stored in the root.
///
///      0  milliseconds  u32   0: no time
///      4  commits       u32   0: no number
///
/// A commit that the anchor has not confirmed can be undone by the host unnoticed, also after it was acknowledged. With
/// ``everyCommit`` there is none. Otherwise the window is what both bounds allow: so many commits, none of them
/// acknowledged longer ago than so many milliseconds. A bound of 0 is none, if the other is there.
///
/// Every checkpoint and every close confirms, whatever the policy.
public struct AnchorPolicy: Hashable, Sendable {
    public var milliseconds: UInt32
    public var commits: UInt32

    /// A commit is acknowledged once the anchor confirmed it.
    public static let everyCommit = AnchorPolicy()

    public init(milliseconds: UInt32 = 0, commits: UInt32 = 0) {
        self.milliseconds = milliseconds
        self.commits = commits
    }

    public var isEveryCommit: Bool { milliseconds == 0 && commits == 0 }

    /// Whether `exposed` commits, the oldest acknowledged `age` milliseconds ago, are as far as this lets the anchor lag.
    func isReached(commits exposed: Int, age: UInt64) -> Bool {
        isEveryCommit || commits > 0 && exposed > Int(commits) || milliseconds > 0 && age >= UInt64(milliseconds)
    }

    init(parsing reader: inout ByteReader) throws(ParseError) {
        milliseconds = try reader.u32()
        commits = try reader.u32()
    }

    func write(to writer: inout ByteWriter) {
        writer.u32(milliseconds)
        writer.u32(commits)
    }
}

extension AnchorPolicy: CustomStringConvertible {
    /// For people: `every commit`, `at most 500 ms and 100 commits behind`, `at most 2 s behind`.
    public var description: String {
        guard !isEveryCommit else { return "every commit" }
        var bounds: [String] = []
        if milliseconds > 0 {
            let isWhole = milliseconds % 1000 == 0
            bounds.append(isWhole ? "\(milliseconds / 1000) s" : "\(milliseconds) ms")
        }
        if commits > 0 { bounds.append("\(commits) commit\(commits == 1 ? "" : "s")") }
        return "at most \(bounds.joined(separator: " and ")) behind"
    }

    /// As options give it: `every`, `500ms`, `2s`, `100`, or a time and a number of commits with a comma between.
    public init?(_ text: String) {
        self.init()
        guard text != "every" else { return }
        let parts = text.split(separator: ",", omittingEmptySubsequences: false)
        guard (1...2).contains(parts.count) else { return nil }
        for part in parts {
            let digits = part.prefix { $0.isASCII && $0.isNumber }
            guard let value = UInt32(digits), value > 0 else { return nil }
            switch part.dropFirst(digits.count) {
            case "ms" where milliseconds == 0: milliseconds = value
            case "s" where milliseconds == 0 && value <= 86400: milliseconds = value * 1000
            case "" where commits == 0: commits = value
            default: return nil
            }
        }
    }
}
