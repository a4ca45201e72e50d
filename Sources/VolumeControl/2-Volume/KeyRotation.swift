import CommandSupport
import SecureBlock

/// A new volume key, and everything sealed again under it: the same on a volume that a command opened and on one that is
/// mounted.
package struct KeyRotation {
    /// Slots whose secrets are not given are emptied.
    package var dropsOthers = false
    /// How long one guess at a passphrase is to take, about.
    package var unlockMilliseconds: UInt64 = 500
    /// Has the device's client commit and stand still.
    package var quiesce: Quiesce = { $0() }
    package var progress: (_ done: UInt64, _ total: UInt64) -> Void = { _, _ in }
    package var isCancelled: () -> Bool = { false }

    package init() {}

    /// Changes the key, which is durable at once, and seals again until nothing is left that can be, or until cancelled:
    /// the rest is then sealed by whoever has the volume open for writing.
    /// - Parameter credentials: what opens the volume afterwards.
    /// - Returns: what was done, for people.
    package func run(
        _ device: SecureDevice, volume: String, for credentials: [Credential]
    ) throws(CommandFailure) -> String {
        let cost = try ScryptCost.calibrated(for: credentials, milliseconds: unlockMilliseconds)
        let slots = try settled(volume) { () throws(KeySlotChangeError) in
            try device.rotateVolumeKey(for: credentials, droppingOtherSlots: dropsOthers, scrypt: cost)
        }
        let left = try reseal(device, volume)
        let named = slots.map(String.init).joined(separator: ", ")
        let opened = "\(volume): a new key, opened by key slot \(named)\n"
        guard !left.isDone else { return opened + "\(volume): everything is sealed under the new key" }
        var text = opened + "\(volume): \(left.segments) segments are still sealed under an older key"
        if left.pinnedSegments > 0 { text += ", \(left.pinnedSegments) of them for snapshots" }
        return text
    }

    private func reseal(_ device: SecureDevice, _ volume: String) throws(CommandFailure) -> ResealProgress {
        let total = UInt64(device.resealProgress.segments)
        return try device.reseal(while: { !isCancelled() }) {
            progress(total - min(total, UInt64($0.segments)), total)
        } pass: { () throws(CommandFailure) in
            do throws(DeviceError) { try device.resealSome() } catch { throw CommandFailure(error, volume: volume) }
            try settled(volume) { () throws(KeySlotChangeError) in try device.settleReseal() }
        }
    }

    private func settled<Outcome>(
        _ volume: String, _ body: () throws(KeySlotChangeError) -> Outcome
    ) throws(CommandFailure) -> Outcome {
        try quiesced(by: quiesce, body).mapError { CommandFailure($0, volume: volume) }.get()
    }
}
