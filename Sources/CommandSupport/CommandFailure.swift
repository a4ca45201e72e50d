/// Why a command failed, as a person reads it: what is wrong, where, and what to do about it.
public struct CommandFailure: Error, Sendable, Hashable, CustomStringConvertible {
    public var status: CommandStatus
    /// What is wrong, without a full stop.
    public var what: String
    /// The volume, directory or file concerned.
    public var place: String?
    /// What to do, as a sentence.
    public var advice: String?

    public init(_ status: CommandStatus, _ what: String, at place: String? = nil, advice: String? = nil) {
        self.status = status
        self.what = what
        self.place = place
        self.advice = advice
    }

    /// `PLACE: what (status-name, 20)`, and the advice on a line of its own.
    public var description: String { text("\(sentence) [\(status.name), exit status \(status.rawValue)]") }

    /// The description without the status, for another program that will end with one of its own.
    public var report: String { text(sentence) }

    private var sentence: String { "\(place.map { "\($0): " } ?? "")\(what)" }

    private func text(_ head: String) -> String { advice.map { "\(head)\n  \($0)" } ?? head }
}
