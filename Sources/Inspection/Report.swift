/// What a check of a volume looked at and found.
public struct Report: Sendable, Hashable {
    /// The parts of a volume, in the order they are checked.
    public enum Part: String, Sendable, Hashable, CaseIterable {
        case image
        case superblocks
        case keySlots = "key slots"
        case anchor
        case roots
        case chain
        case map
        case segments
        case data
        case filesystem
    }

    /// How bad a finding is.
    public enum Severity: String, Sendable, Hashable {
        /// Worth knowing, and no error: no anchor, records cut after a crash.
        case note
        /// Nothing is lost, and something is wrong: one of two copies is damaged.
        case warning
        /// Data or state is lost or cannot be trusted.
        case error

        var mark: String {
            switch self {
            case .note: "note"
            case .warning: "WARNING"
            case .error: "ERROR"
            }
        }
    }

    /// One thing found.
    public struct Finding: Sendable, Hashable {
        public var part: Part
        public var severity: Severity
        /// Where: a block, a slot, a path; empty where the part says it.
        public var place: String
        /// What is wrong there, without a full stop.
        public var what: String

        public init(_ part: Part, _ severity: Severity, at place: String = "", _ what: String) {
            self.part = part
            self.severity = severity
            self.place = place
            self.what = what
        }

        public var text: String { place.isEmpty ? what : "\(place): \(what)" }
    }

    /// One part that was looked at.
    public struct Section: Sendable, Hashable {
        public var part: Part
        /// How much was checked: `2 copies`, `1024 records`.
        public var summary: String
        public init(_ part: Part, _ summary: String) {
            self.part = part
            self.summary = summary
        }
    }

    public private(set) var sections: [Section] = []
    public private(set) var findings: [Finding] = []
    /// Findings beyond ``findingLimit``, which are only counted: a destroyed volume has millions.
    public private(set) var uncountedFindings: UInt64 = 0
    public static let findingLimit = 10_000
    /// Whether there was anything but notes.
    public private(set) var hasErrors = false

    public init() {}

    public mutating func add(_ section: Section) { sections.append(section) }

    public mutating func add(_ finding: Finding) {
        if finding.severity != .note { hasErrors = true }
        if findings.count < Self.findingLimit { findings.append(finding) } else { uncountedFindings += 1 }
    }
}

extension Report {
    /// For people: a line for each part that was looked at, and one for each finding below it.
    public func text(volume: String) -> String {
        var lines = [volume]
        let width = Part.allCases.map(\.rawValue.count).max() ?? 0
        for part in Part.allCases {
            let found = findings.filter { $0.part == part }
            let summaries = sections.filter { $0.part == part }.map(\.summary)
            guard !summaries.isEmpty || !found.isEmpty else { continue }
            let gap = String(repeating: " ", count: width - part.rawValue.count)
            let summary = summaries.isEmpty ? "" : "\(gap)  \(summaries.joined(separator: ", "))"
            lines.append("  \(part.rawValue)\(summary)")
            lines += found.map { "    \($0.severity.mark): \($0.text)" }
        }
        if uncountedFindings > 0 { lines.append("  and \(uncountedFindings) findings more") }
        lines.append(hasErrors ? "ERRORS FOUND" : "no errors")
        return lines.joined(separator: "\n")
    }

    /// For programs: the same.
    public var json: JSON {
        [
            "sound": .bool(!hasErrors),
            "checked": .array(sections.map { ["part": .string($0.part.rawValue), "what": .string($0.summary)] }),
            "findings": .array(
                findings.map {
                    [
                        "part": .string($0.part.rawValue), "severity": .string($0.severity.rawValue),
                        "place": .string($0.place), "what": .string($0.what),
                    ]
                }),
            "uncountedFindings": .number(uncountedFindings),
        ]
    }
}
