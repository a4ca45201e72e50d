import CommandSupport

/// What a request came to.
package struct ControlResult: Hashable, Sendable {
    /// What the command prints.
    package var text: String
    /// What the command ends with: 0, or for a check the status of `fsck(8)`.
    package var exitStatus: UInt8

    package init(_ text: String, exitStatus: UInt8 = 0) {
        self.text = text
        self.exitStatus = exitStatus
    }
}

/// How a ``CommandSupport/CommandFailure`` travels: u16 status, what, place and advice as text, empty for none.
enum ControlReply {
    static func payload(_ failure: CommandFailure) -> [UInt8] {
        var fields = FieldWriter()
        fields.u16(UInt16(clamping: failure.status.rawValue))
        fields.text(failure.what)
        fields.text(failure.place ?? "")
        fields.text(failure.advice ?? "")
        return fields.bytes
    }

    static func failure(_ payload: [UInt8]) throws(ControlError) -> CommandFailure {
        var fields = FieldReader(payload)
        let status = try fields.u16()
        let (what, place, advice) = (try fields.text(), try fields.text(), try fields.text())
        try fields.finish()
        return CommandFailure(
            CommandStatus(rawValue: Int32(status)) ?? .internal, what, at: place.isEmpty ? nil : place,
            advice: advice.isEmpty ? nil : advice)
    }
}
