/// What a disk, or whoever owns it, can do to single calls of a ``HostileHost``.
///
/// **Failures** are what an honest disk does: it says so, or the power goes. After any number of them a volume opens at
/// a commit that is not older than the last acknowledged one. **Lies** are what a broken or hostile disk does: it
/// claims success and stores or returns something else. After a lie a volume opens as one of its commits, or is refused,
/// and a read gives the right bytes or an error.
public enum DiskFault: String, CaseIterable, Sendable, Hashable {
    // Failures.
    /// At a crash, any subset of an unflushed write's sectors survives; the others keep their old bytes or hold garbage.
    case tornAtCrash
    /// At a crash, unflushed writes survive in any order, also the later of two to one place before the earlier.
    case reorderedAtCrash
    /// A read fails once (`EIO`).
    case transientReadError
    /// A write fails once (`EIO`); some of it may be stored.
    case transientWriteError
    /// A write ends early and the rest fails: its head is stored.
    case shortWrite
    /// A call is interrupted (`EINTR`) and nobody below tried again.
    case interruptedCall
    /// From some call on, one range can be neither read nor written (`EIO`).
    case permanentError
    /// No space to allocate for a while (`ENOSPC`).
    case noSpace
    /// A flush fails, and what it was to make durable is lost in part or whole.
    case failedFlush

    // Lies.
    /// A write is acknowledged and stored nowhere.
    case lostWrite
    /// Some sectors of an acknowledged write are not stored, or hold garbage.
    case tornWrite
    /// A write goes to another place of the store.
    case misdirectedWrite
    /// A write goes to its place and to another one too.
    case duplicatedWrite
    /// An earlier write is carried out once more, over whatever came after it.
    case replayedWrite
    /// A read returns what the place held earlier.
    case staleRead
    /// A read returns another place's bytes.
    case misdirectedRead
    /// A read returns one wrong bit, and perhaps not the next time: two reads, two answers.
    case flippedRead
    /// A stored bit changes.
    case bitRot
    /// A stored sector turns to zeros.
    case zeroedSector
    /// A flush claims success and does nothing.
    case lyingFlush

    /// Whether the disk claims something that is not so.
    public var isLie: Bool {
        switch self {
        case .tornAtCrash, .reorderedAtCrash, .transientReadError, .transientWriteError, .shortWrite,
            .interruptedCall, .permanentError, .noSpace, .failedFlush:
            false
        default: true
        }
    }

    public static var failures: [DiskFault] { allCases.filter { !$0.isLie } }
    public static var lies: [DiskFault] { allCases.filter(\.isLie) }
}

/// Which faults a ``HostileHost`` commits, and how often.
public struct FaultPlan: Sendable, Hashable {
    public var faults: Set<DiskFault>
    /// How many calls of a thousand go wrong in each way that applies to them.
    public var perMille: Int

    public init(_ faults: Set<DiskFault> = [], perMille: Int = 10) {
        self.faults = faults
        self.perMille = perMille
    }

    /// An honest disk with atomic, ordered writes that never fails.
    public static let none = FaultPlan()

    public var hasLies: Bool { faults.contains(where: \.isLie) }
}
