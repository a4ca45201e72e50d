/// What a lock lets others do: share it, or nothing.
public enum LockKind: Sendable, Hashable {
    case shared
    case exclusive
}

/// Who holds a lock, by the identity of an object that lives as long as its locks.
typealias LockOwner = ObjectIdentifier

/// Advisory locks on the bytes of one file. Locks of one owner never overlap, and touching ones of one kind are one.
struct RangeLocks {
    struct Held: Equatable {
        var owner: LockOwner
        var kind: LockKind
        var range: Range<UInt64>
    }

    private(set) var held: [Held] = []

    var isEmpty: Bool { held.isEmpty }

    /// The first lock, from the lowest byte on, that keeps `owner` from locking `range`.
    func conflict(_ kind: LockKind, _ range: Range<UInt64>, by owner: LockOwner) -> Held? {
        conflicts(kind, range, by: owner).min { $0.range.lowerBound < $1.range.lowerBound }
    }

    func conflicts(_ kind: LockKind, _ range: Range<UInt64>, by owner: LockOwner) -> [Held] {
        held.filter { other in
            other.owner != owner && other.range.overlaps(range) && (kind == .exclusive || other.kind == .exclusive)
        }
    }

    /// Gives `owner` a lock of `kind` on `range` in place of what it has there; none for `nil`. There must be no conflict.
    mutating func set(_ kind: LockKind?, _ range: Range<UInt64>, by owner: LockOwner) {
        var kept: [Held] = []
        var merged = range
        for lock in held {
            guard lock.owner == owner else {
                kept.append(lock)
                continue
            }
            let touches = lock.range.lowerBound <= range.upperBound && range.lowerBound <= lock.range.upperBound
            if touches, lock.kind == kind {
                merged =
                    min(merged.lowerBound, lock.range.lowerBound)..<max(merged.upperBound, lock.range.upperBound)
                continue
            }
            let before = lock.range.clamped(to: 0..<range.lowerBound)
            let behind = lock.range.clamped(to: range.upperBound..<UInt64.max)
            for piece in [before, behind] where !piece.isEmpty {
                kept.append(Held(owner: owner, kind: lock.kind, range: piece))
            }
        }
        if let kind { kept.append(Held(owner: owner, kind: kind, range: merged)) }
        held = kept
    }

    mutating func release(_ owner: LockOwner) { held.removeAll { $0.owner == owner } }
}
