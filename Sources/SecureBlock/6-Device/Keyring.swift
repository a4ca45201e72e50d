/// What a key slot is, for `info`.
public struct KeySlotStatus: Sendable, Hashable {
    public enum State: Sendable, Hashable {
        case empty
        case passphrase
        case keyFile
        /// Sealed by a device.
        case sealed
        /// Not one that the volume was last written with: an interrupted change left it, or the host put it there.
        case unbound
        case damaged

        /// Whether the slot opens the volume.
        public var isUsable: Bool { self == .passphrase || self == .keyFile || self == .sealed }
    }
    public var slot: Int
    public var state: State
}

/// The key slots as stored, and the volume keys that a credential gets out of them, one after the other.
struct Keyring {
    let status: [KeySlotStatus]
    let digests: [Tag]
    private(set) var damaged: [Int]
    private let volume: VolumeIdentifier
    private let credential: Credential
    private let candidates: [KeySlot]
    private var position = 0
    private var hasFound = false
    /// Of the slots that a device did not open, the one that came nearest.
    private var refusal: (slot: Int, error: KeySealerError)?

    /// Reads all slots.
    init(_ host: any BlockHost, credential: Credential, volume: VolumeIdentifier) throws(VolumeError) {
        var status: [KeySlotStatus] = []
        var digests: [Tag] = []
        var damaged: [Int] = []
        var candidates: [KeySlot] = []
        for slot in 0..<Layout.keySlotCount {
            let buffer = AlignedBuffer(byteCount: blockBytes)
            do {
                try host.read(at: Layout.keySlot(slot) * UInt64(blockBytes), into: buffer.bytes)
                digests.append(try SecureDevice.keySlotDigest(Array(buffer.bytes)))
                let parsed = try KeySlot.parse(UnsafeRawBufferPointer(buffer.bytes), slot: slot)
                if parsed.takes(credential) { candidates.append(parsed) }
                let state: KeySlotStatus.State =
                    switch parsed.kind {
                    case .empty: .empty
                    case .passphrase: .passphrase
                    case .keyFile: .keyFile
                    case .sealed: .sealed
                    }
                status.append(KeySlotStatus(slot: slot, state: state))
            } catch KeySlotError.seal(let cause) {
                throw .crypto("\(cause)")
            } catch is KeySlotError {
                damaged.append(slot)
                status.append(KeySlotStatus(slot: slot, state: .damaged))
            } catch HostError.beyondEnd(let offset) {
                throw .truncated(expectedBytes: offset + UInt64(blockBytes), foundBytes: offset)
            } catch let error as HostError {
                throw .host(error)
            } catch { throw .crypto("\(error)") }
        }
        self.status = status
        self.digests = digests
        self.damaged = damaged
        self.volume = volume
        self.credential = credential
        self.candidates = candidates
    }

    /// The next slot that the credential opens, and the volume key in it. Every slot tried costs its scrypt.
    mutating func next() throws(VolumeError) -> (slot: Int, volumeKey: SecretBytes)? {
        while position < candidates.count {
            let slot = candidates[position]
            position += 1
            do throws(KeySlotError) {
                guard let key = try slot.unwrap(credential, volume: volume) else { continue }
                hasFound = true
                return (slot.number, key)
            } catch {
                if case .seal(let cause) = error { throw .crypto("\(cause)") }
                if case .sealer(let slot, let cause) = error {
                    if cause.weight > refusal?.error.weight ?? -1 { refusal = (slot, cause) }
                    continue
                }
                damaged.append(slot.number)
            }
        }
        return nil
    }

    /// - Throws: ``VolumeError/sealer(slot:_:)`` when a device was asked, ``VolumeError/wrongCredential`` when there are sound slots of the credential's kind and none opens,
    ///   ``VolumeError/keySlotsDamaged(_:)`` when there are none but damaged slots, ``VolumeError/noKeySlot`` otherwise.
    func requireFound() throws(VolumeError) {
        guard !hasFound else { return }
        if let refusal { throw .sealer(slot: refusal.slot, refusal.error) }
        let isTried = candidates.contains { !damaged.contains($0.number) }
        throw isTried ? .wrongCredential : damaged.isEmpty ? .noKeySlot : .keySlotsDamaged(damaged.sorted())
    }

    /// The slots as they stand to what `root` binds.
    func status(boundBy root: Root) -> [KeySlotStatus] {
        status.map { found in
            var status = found
            if found.state.isUsable, root.keySlotDigests[found.slot] != digests[found.slot] {
                status.state = .unbound
            }
            return status
        }
    }
}
