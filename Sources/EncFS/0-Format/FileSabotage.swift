/// Bugs of the filesystem that can be switched on, one at a time, to see that tests find them; as `Sabotage` of the
/// device. Only a build with the flag `SABOTAGE` has them.
package enum FileSabotage: String, CaseIterable, Sendable {
    /// Does nothing, and so must not be found.
    case none
    /// A write commits between its allocation and its new size.
    case commitInsideWrite
    /// A commit orders the device's first and writes the rest behind it.
    case commitBeforeNodes
    /// A commit leaves the bitmaps as they were.
    case commitLeavesBitmaps
    /// A commit leaves the superblock's counters as they were.
    case commitLeavesCounters
    /// A truncation in several steps does not say that it is under way.
    case dropTrimIntent
    /// A file that loses its last name is not listed for deletion.
    case dropOrphan
    /// Freed blocks can be taken before the commit that frees, and discards, them.
    case freeAtOnce
    /// Freed blocks are not discarded: the next file that gets them reads what was there.
    case keepFreedBlocks
    /// A shared block counts one extent too few.
    case dropReference
    /// A write to shared blocks goes to all who have them.
    case writeThroughSharing
    /// What a truncation leaves behind the end of file stays there.
    case keepBytesPastEnd
    /// An entry gets no backlink.
    case dropBacklink
    /// An entry is removed, its hash stays.
    case keepNameHash
    /// A second name does not count.
    case dropLinkCount
    /// The file that a rename replaces keeps its link.
    case renameLeavesTarget
    /// Bytes that outgrew the tree stay there, too.
    case keepInlineBytes
    /// An item changed in place does not make its node dirty.
    case forgetDirtyNode

    #if SABOTAGE
        /// SAFETY: set once, before any filesystem is mounted, by the one program that is built with the flag.
        package nonisolated(unsafe) static var current = FileSabotage.none

        @inline(__always)
        package static func isOn(_ sabotage: FileSabotage) -> Bool { current == sabotage }
    #else
        @inline(__always)
        package static func isOn(_ sabotage: FileSabotage) -> Bool { false }
    #endif
}
