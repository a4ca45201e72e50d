/// Why a stored key slot cannot be used. A credential that does not fit is no error: see ``KeySlot/unwrap(_:volume:)``.
public enum KeySlotError: Error, Hashable, Sendable {
    /// The slot's checksum fails, it is cut short, or it is no key slot at all.
    case damaged(slot: Int)
    /// A sound slot of a newer format.
    case unsupportedVersion(slot: Int, found: UInt16)
    /// A sound slot that belongs elsewhere in the volume.
    case misplaced(slot: Int, found: Int)
    /// A sound slot of another volume.
    case anotherVolume(slot: Int, found: VolumeIdentifier)
    /// A checksum that holds over a field that no writer produces: somebody made this slot up.
    case unexpected(slot: Int, field: String)
    /// Opening the slot would take more memory or work than allowed.
    case tooCostly(slot: Int, ScryptCost)
    /// The device that keeps the slot's secret does not give it.
    case sealer(slot: Int, KeySealerError)
    /// The machine failed.
    case seal(SealError)
}
