public import SecureBlock

/// The commits that a volume still holds, oldest first.
public struct History: Sendable {
    public let commits: [CommitRecord]
    public init(_ commits: [CommitRecord]) { self.commits = commits.sorted { $0.sequence < $1.sequence } }

    /// A table: sequence, time, blocks, kind.
    public var text: String {
        guard !commits.isEmpty else { return "no commits" }
        let rows =
            [["SEQUENCE", "TIME (UTC)", "BLOCKS", "KIND"]]
            + commits.map {
                [
                    "\($0.sequence.rawValue)", UTCTime(milliseconds: $0.timeMilliseconds).text, "\($0.blocks)",
                    $0.kind.words,
                ]
            }
        return rows.map { row in
            let sequence = padded(row[0], 10)
            let time = row[1] + String(repeating: " ", count: max(0, 24 - row[1].count))
            return "\(sequence)  \(time)  \(padded(row[2], 8))  \(row[3])"
        }.joined(separator: "\n")
    }

    public var json: JSON {
        .array(
            commits.map {
                [
                    "sequence": .number($0.sequence.rawValue), "timeMilliseconds": .number($0.timeMilliseconds),
                    "time": .string(UTCTime(milliseconds: $0.timeMilliseconds).text), "blocks": .number($0.blocks),
                    "kind": .string($0.kind.words),
                ]
            })
    }

    private func padded(_ text: String, _ width: Int) -> String {
        String(repeating: " ", count: max(0, width - text.count)) + text
    }
}

extension CommitRecord.Kind {
    var words: String {
        switch self {
        case .commit: "commit"
        case .opening: "opened for writing"
        }
    }
}
