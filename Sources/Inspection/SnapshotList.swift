public import SecureBlock

/// The snapshots of a volume, in the order of their making.
public struct SnapshotList: Sendable {
    public let snapshots: [Snapshot]
    public init(_ snapshots: [Snapshot]) { self.snapshots = snapshots }

    /// A table: commit, time, name.
    public var text: String {
        guard !snapshots.isEmpty else { return "no snapshots" }
        let rows =
            [["COMMIT", "TIME (UTC)", "NAME"]]
            + snapshots.map {
                ["\($0.commit.rawValue)", UTCTime(milliseconds: $0.timeMilliseconds).text, $0.name.text]
            }
        return rows.map { row in
            let commit = String(repeating: " ", count: max(0, 10 - row[0].count)) + row[0]
            let time = row[1] + String(repeating: " ", count: max(0, 24 - row[1].count))
            return "\(commit)  \(time)  \(row[2])"
        }.joined(separator: "\n")
    }

    public var json: JSON {
        .array(
            snapshots.map {
                [
                    "name": .string($0.name.text), "commit": .number($0.commit.rawValue),
                    "timeMilliseconds": .number($0.timeMilliseconds),
                    "time": .string(UTCTime(milliseconds: $0.timeMilliseconds).text),
                ]
            })
    }
}
