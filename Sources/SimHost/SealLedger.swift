import CLinux
import SecureBlock

/// Everything that was ever sealed, over all crashes, rollbacks, forks and clones of all volumes it is told of: finds a
/// (key, nonce) pair used twice (I1), and secrets that reach the host in clear.
///
/// Give its ``record(_:_:)`` to a ``HostileHost`` as observer. It reads what anybody can: the clear part of headers and
/// roots. A block's key is known by its epoch, its nonce by its place and generation.
public final class SealLedger: Sendable {
    private struct Place: Hashable {
        var epoch: Tag
        var block: UInt64
        var generation: Generation
    }
    private struct Number: Hashable {
        var epoch: Tag
        var number: UInt64
    }
    private struct State {
        var places: [Place: UInt64] = [:]
        var sequences: [Number: Tag] = [:]
        var roots: [Number: Tag] = [:]
        var findings: [String] = []
        var writes = 0
    }
    private let state = Monitor(State())
    private let canaries: [[UInt8]]

    /// - Parameter canaries: byte strings of 8 bytes or more that must never be seen.
    public init(canaries: [[UInt8]] = []) {
        self.canaries = canaries
    }

    /// What was found so far; empty when all is well.
    public var findings: [String] { state.withLock { $0.findings } }
    /// How many blocks and roots are on record.
    public var sealedCount: Int { state.withLock { $0.places.count + $0.roots.count } }

    /// Takes note of a write at `offset`.
    public func record(_ offset: UInt64, _ bytes: UnsafeRawBufferPointer) {
        let leaks = canaries.filter { contains(bytes, $0) }
        state.withLock { state in
            state.writes += 1
            if !leaks.isEmpty { state.findings.append("a secret reached the host in clear at \(offset)") }
            if bytes.count >= blockBytes, offset % UInt64(blockBytes) == 0 { Self.note(offset, bytes, &state) }
        }
    }

    /// Whether `bytes` holds a canary, for other places where secrets might come out.
    public func findsSecret(in bytes: [UInt8]) -> Bool {
        bytes.withRawBytes { bytes in canaries.contains { contains(bytes, $0) } }
    }

    private static func note(_ offset: UInt64, _ bytes: UnsafeRawBufferPointer, _ state: inout State) {
        let first = UnsafeRawBufferPointer(rebasing: bytes[..<blockBytes])
        if let header = ClearRecordHeader(first) {
            let number = Number(epoch: header.epoch, number: header.sequence.rawValue)
            if let known = state.sequences.updateValue(header.tag, forKey: number), known != header.tag {
                state.findings.append("sequence \(header.sequence.rawValue) was sealed twice in one epoch")
            }
            for index in 0..<bytes.count / blockBytes {
                let part = UnsafeRawBufferPointer(rebasing: bytes[index * blockBytes..<(index + 1) * blockBytes])
                // SAFETY: `part` is eight sectors.
                let print = casemate_fingerprint(part.baseAddress, blockBytes / SimWrite.sectorBytes, 0)
                let block = offset / UInt64(blockBytes) + UInt64(index)
                let place = Place(epoch: header.epoch, block: block, generation: header.generation)
                if let known = state.places.updateValue(print, forKey: place), known != print {
                    state.findings.append(
                        "block \(block) was sealed twice in generation \(header.generation.rawValue) of one epoch")
                }
            }
        } else if let claim = Root.claim(first) {
            let tag = Tag(loading: UnsafeRawBufferPointer(rebasing: first[64..<80]))
            let number = Number(epoch: claim.epoch, number: claim.number)
            if let known = state.roots.updateValue(tag, forKey: number), known != tag {
                state.findings.append("root number \(claim.number) was sealed twice in one epoch")
            }
        }
    }

    private func contains(_ bytes: UnsafeRawBufferPointer, _ needle: [UInt8]) -> Bool {
        needle.withRawBytes { casemate_contains(bytes.baseAddress, bytes.count, $0.baseAddress, $0.count) }
    }
}
