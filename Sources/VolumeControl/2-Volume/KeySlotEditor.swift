import CommandSupport
import SecureBlock

/// Changes to a volume's key slots, the same on a volume that a command opened and on one that is mounted.
package struct KeySlotEditor {
    private let device: SecureDevice
    private let volume: String
    private let quiesce: Quiesce

    /// - Parameters:
    ///   - volume: how messages name it.
    ///   - quiesce: has the device's client commit and stand still: a root can only describe a commit.
    package init(_ device: SecureDevice, volume: String, quiesce: @escaping Quiesce = { $0() }) {
        self.device = device
        self.volume = volume
        self.quiesce = quiesce
    }

    /// The slot that `credential` opens.
    package func slot(openedBy credential: Credential) throws(CommandFailure) -> Int {
        do throws(VolumeError) { return try device.keySlot(openedBy: credential) } catch {
            throw CommandFailure(error, volume: volume)
        }
    }

    /// Lets `new` open the volume too; durable on return.
    /// - Returns: what was done, for people.
    package func add(_ new: Credential) throws(CommandFailure) -> String {
        "\(volume): key slot \(try change { device throws(KeySlotChangeError) in try device.addKeySlot(new) }) "
            + "opens the volume too"
    }

    package func remove(_ slot: Int) throws(CommandFailure) -> String {
        try change { device throws(KeySlotChangeError) in try device.removeKeySlot(slot) }
        return "\(volume): key slot \(slot) is empty"
    }

    /// Puts `new` in the place of what is in slot `old`. The new one is durable before the old one goes: a crash in
    /// between leaves both.
    package func replace(_ old: Int, by new: Credential) throws(CommandFailure) -> String {
        let slot = try change { device throws(KeySlotChangeError) in try device.addKeySlot(new) }
        try change { device throws(KeySlotChangeError) in try device.removeKeySlot(old) }
        return "\(volume): key slot \(slot) opens the volume in place of slot \(old)"
    }

    @discardableResult
    private func change<Result>(
        _ body: (SecureDevice) throws(KeySlotChangeError) -> Result
    ) throws(CommandFailure) -> Result {
        try quiesced(by: quiesce) { () throws(KeySlotChangeError) in try body(device) }
            .mapError { CommandFailure($0, volume: volume) }.get()
    }
}
