/// What adding or removing a key slot, or changing the volume key, failed with. Nothing was changed, unless the device
/// says otherwise.
public enum KeySlotChangeError: Error, Hashable, Sendable {
    /// All slots are taken.
    case noFreeSlot
    /// There is no such slot, or nothing is in it.
    case noSuchSlot(Int)
    /// Nothing could open the volume afterwards.
    case lastSlot(Int)
    /// Something waits for a commit: a root can only describe one.
    case uncommittedChanges
    /// These slots would not open the volume any more, as their secrets were not given.
    case otherSlots([Int])
    /// Parts of the volume are still sealed under too many older keys.
    case tooManyKeys
    /// The volume has its new key, and the anchor still asks for the old one, which is kept until it does not.
    case anchor(AnchorError)
    /// The device that was to seal a slot's secret does not.
    case sealer(KeySealerError)
    case device(DeviceError)
    case host(HostError)
    case crypto(String)
}
