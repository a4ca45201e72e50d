import CTSS
import SecureBlock

/// An anchor in a TPM 2.0: an NV index that only who holds the volume's key can read or write.
///
/// The index answers to a secret derived from the volume key. That the host's programs may use the TPM, and that its owner
/// may delete any index, does not help them: without the secret they can neither write the index nor make another that
/// answers as it would. What was deleted is missed, not taken for fresh.
///
/// Any number of processes may have it: an update is one unbroken sequence in the TPM (an exclusive audit session), or is
/// tried again. Each call is a conversation of its own; nothing stays in the TPM but the index.
///
/// The memory of a TPM wears out, after something like a hundred thousand writes. So by its ``preferredPolicy`` not every
/// commit writes it; a checkpoint does all the same, so that many writes are some 6 TB of log.
public final class TPMAnchor: Anchor {
    /// Numbers an index may have. Those from `0x01800000` to `0x01BFFFFF` are meant for the TPM's owner to give out (TCG,
    /// Registry of Reserved TPM 2.0 Handles).
    public static let indexes = UInt32(casemate_tss_nv_first)...UInt32(casemate_tss_nv_last)

    private static let attempts = 100

    public let index: UInt32
    public let address: TPMAddress
    private let state = Monitor(State())

    private struct State {
        var keys: [SecretBytes] = []
        /// Which of them the index last answered to.
        var used = 0
    }

    /// Names the index; nothing is opened yet.
    /// - Parameter index: the whole handle, for example `0x01800100`.
    public init(index: UInt32, at address: TPMAddress = .standard) {
        self.index = index
        self.address = address
    }

    public var description: String { "TPM \(place)" }

    private var place: String { NVIndex.name(index) + " at \(address)" }

    /// Ten minutes: two years of changes day and night, eight years of them in working hours.
    public var preferredPolicy: AnchorPolicy { AnchorPolicy(milliseconds: 600_000) }

    public var asksForKey: Bool { true }

    public func use(_ keys: [SecretBytes]) {
        state.withLock { state in state = State(keys: keys) }
    }

    public func load() throws(AnchorError) -> AnchorValue? {
        try state.withLock { state throws(AnchorError) in
            let connection = try connect()
            guard let (_, value) = try open(connection, &state) else { return nil }
            return value
        }
    }

    public func compareAndSwap(expected: AnchorValue?, new: AnchorValue) throws(AnchorError) {
        try state.withLock { state throws(AnchorError) in
            let connection = try connect()
            let bytes = DiskTPMAnchor.bytes(new)
            var index: NVIndex
            var found: AnchorValue?
            if let opened = try open(connection, &state) {
                (index, found) = opened
            } else {
                guard expected == nil else { throw .conflict(found: nil) }
                index = try define(connection, &state)
                found = try read(index)
            }
            for _ in 0..<Self.attempts {
                guard found == expected else { throw .conflict(found: found) }
                let isWritten: Bool
                do throws(TPMError) { isWritten = try index.write(bytes) } catch { throw failure(error) }
                if isWritten { return }
                // Somebody else had the TPM do something: look again.
                found = try read(index)
            }
            throw .unavailable("\(place): others use the TPM without a pause")
        }
    }

    public func settle() throws(AnchorError) {
        try state.withLock { state throws(AnchorError) in
            guard let present = state.keys.first else { return }
            if state.used > 0 {
                let connection = try connect()
                if let (index, _) = try open(connection, &state), state.used > 0 {
                    do throws(TPMError) { try index.change(to: present) } catch { throw failure(error) }
                }
            }
            state = State(keys: [present])
        }
    }

    private func connect() throws(AnchorError) -> TPMConnection {
        do throws(TPMError) { return try TPMConnection(address) } catch { throw failure(error) }
    }

    /// The index and what it holds, with the key that it answers to; `nil` where there is none.
    private func open(
        _ connection: TPMConnection, _ state: inout State
    ) throws(AnchorError) -> (NVIndex, AnchorValue?)? {
        let found: NVIndex.Found
        do throws(TPMError) { found = try NVIndex.find(index, connection) } catch { throw failure(error) }
        let index: NVIndex
        switch found {
        case .nothing: return nil
        case .foreign(let what): throw .refused("\(place) is some other program's: \(what)")
        case .index(let found): index = found
        }
        guard !state.keys.isEmpty else { throw .refused("\(place) is in use") }
        for key in [state.used] + state.keys.indices.filter({ $0 != state.used }) {
            let bytes: [UInt8]?
            do throws(TPMError) {
                try index.use(state.keys[key])
                bytes = try index.read()
            } catch {
                if error == .wrongSecret { continue }
                throw failure(error)
            }
            state.used = key
            return (index, try parse(bytes))
        }
        throw .refused("\(place) answers to another key")
    }

    private func define(_ connection: TPMConnection, _ state: inout State) throws(AnchorError) -> NVIndex {
        guard let key = state.keys.first else { throw .refused("\(place) needs a volume's key") }
        let made: NVIndex?
        do throws(TPMError) { made = try NVIndex.define(index, connection, secret: key) } catch {
            throw failure(error)
        }
        guard let made else { throw .unavailable("\(place) was just made by somebody else") }
        state.used = 0
        return made
    }

    private func read(_ index: NVIndex) throws(AnchorError) -> AnchorValue? {
        let bytes: [UInt8]?
        do throws(TPMError) { bytes = try index.read() } catch { throw failure(error) }
        return try parse(bytes)
    }

    private func parse(_ bytes: [UInt8]?) throws(AnchorError) -> AnchorValue? {
        guard let bytes else { return nil }
        do throws(ParseError) { return try DiskTPMAnchor.parse(bytes) } catch {
            throw .damaged("\(place): \(error)")
        }
    }

    private func failure(_ error: TPMError) -> AnchorError {
        switch error {
        case .unreachable: .unavailable("\(error)")
        case .wrongSecret: .refused("\(place) answers to another key")
        default: .unavailable("\(place): \(error)")
        }
    }
}
