#if SABOTAGE
    import Glibc
#endif

/// Bugs that can be switched on, one at a time, to see that tests find them. Only a build with the flag `SABOTAGE` (see
/// `scripts/sabotage`) has them; in any other ``isOn(_:)`` is the constant `false` and nothing of them remains.
package enum Sabotage: String, CaseIterable, Sendable {
    // Segments are taken oldest first and some are always held back, which hides a segment that comes free too soon. The
    // bugs that let one go before a flush or commit also have it taken first: see ``takesYoungest``.

    /// Does nothing, and so must not be found: shows that a run can end without a finding.
    case none
    // I1
    case fixedEpoch, keepGeneration, sameRootNumber
    // I2
    case replayForgetsDiscards, replayKeepsOldPlace, discardKeepsMap, commitLeavesDiscards
    case checkpointForgetsPage, forgetLiveBlocks
    // I3, I4
    case ignoreNextSegment, announceOwnSegment, rootListsOldPosition
    // I5
    case claimDurability, skipFlush, ignoreFailedFlush, durableWriteAlone, acknowledgeFirst
    // I6
    case trustTail, keepUncommitted, cutLastCommit, readErrorEndsLog
    // I7
    case reuseHeldSegments, reusePages, reuseBeforeCommit, reuseBeforeRoot
    // I8
    case rootBeforePages, rootWithoutFlush
    // I9, I10
    case closeCommits, noReserve
    // I11
    case skipRecoveryFlush, oneRecoveryRoot
    // I12
    case ignoreAnchor, rootForgetsAnchor, ignoreAnchorConflict, acceptMissingAnchor
    // I13
    case changeBufferUnderWrite
    // I14
    case dropAddress, dropKind, dropHeaderFields
    // I15 and what readers and checks are told
    case keepFailedPlaintext, keepReadBuffer, zerosForErrors, skipTagCheck, checkSkipsData, checkSkipsHeaders
    case leakPlaintext
    // Writes that are answered before they are sealed
    case acceptBeforeSlots
    // Images
    case imageRootUnchecked, imagePageUnchecked, imageLengthUnchecked
    // Anchors and key slots
    case anchorChecksumUnchecked, anchorNotExclusive, anchorBelievesUnwritten, registersNotSealed
    case slotDigestUnchecked
    case ignoreRootFloor
    // Snapshots, rotation, size, space given back to the host
    case checkpointForgetsPins, oldKeyDroppedEarly, epochKeepsOldKey, cutForgetsGenerations, liveSegmentReturned

    #if SABOTAGE
        /// `CASEMATE_BUG` names one for a whole run of tests.
        ///
        /// SAFETY: set once, before any device is opened, by the one program that is built with the flag.
        package nonisolated(unsafe) static var current =
            getenv("CASEMATE_BUG").flatMap { Sabotage(rawValue: String(cString: $0)) } ?? Sabotage.none

        @inline(__always)
        package static func isOn(_ sabotage: Sabotage) -> Bool { current == sabotage }
    #else
        @inlinable
        @inline(__always)
        package static func isOn(_ sabotage: Sabotage) -> Bool { false }
    #endif

    /// Whether segments that came free last are taken first.
    @inline(__always)
    package static var takesYoungest: Bool { isOn(.reuseBeforeCommit) || isOn(.skipRecoveryFlush) }
}
