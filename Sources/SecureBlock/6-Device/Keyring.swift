/// What a key slot is, for `info`.
public struct KeySlotStatus: Sendable, Hashable {
    public enum State: Sendable, Hashable {
        case empty
        case passphrase
        case keyFile
        case damaged
    }
    public var slot: Int
    public var state: State
}

/// The key slots as stored, and the volume key that a credential got out of them.
struct Keyring {
    let volumeKey: SecretBytes
    let used: Int
    let status: [KeySlotStatus]
    let digests: [Tag]
    let damaged: [Int]

    /// Tries the credential on every sound slot of its kind.
    /// - Throws: ``VolumeError/wrongCredential`` when there are such slots and none opens,
    ///   ``VolumeError/keySlotsDamaged(_:)`` when there are none but damaged slots, ``VolumeError/noKeySlot`` otherwise.
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
                    }
                status.append(KeySlotStatus(slot: slot, state: state))
            } catch is KeySlotError {
                damaged.append(slot)
                status.append(KeySlotStatus(slot: slot, state: .damaged))
            } catch HostError.beyondEnd(let offset) {
                throw .truncated(expectedBytes: offset + UInt64(blockBytes), foundBytes: offset)
            } catch let error as HostError {
                throw .host(error)
            } catch { throw .crypto("\(error)") }
        }
        var opened: (SecretBytes, Int)?
        for slot in candidates where opened == nil {
            do throws(KeySlotError) {
                if let key = try slot.unwrap(credential, volume: volume) { opened = (key, slot.number) }
            } catch {
                if case .seal(let cause) = error { throw .crypto("\(cause)") }
                damaged.append(slot.number)
            }
        }
        guard let opened else {
            let isTried = candidates.contains { !damaged.contains($0.number) }
            throw isTried ? .wrongCredential : damaged.isEmpty ? .noKeySlot : .keySlotsDamaged(damaged.sorted())
        }
        volumeKey = opened.0
        used = opened.1
        self.status = status
        self.digests = digests
        self.damaged = damaged.sorted()
    }
}
