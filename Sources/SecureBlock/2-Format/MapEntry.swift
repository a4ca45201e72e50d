/// Where a logical block's data is: eight bytes of a map page.
///
///     bits  0…39  physical block; 0 for a block never written or discarded
///     bits 40…47  slot in its record: the header is at physical − 1 − slot
///     bits 48…63  flags: 1 lost, which goes with a physical block of 0; the others are zero
package struct MapEntry: Hashable, Sendable {
    package let bits: UInt64
    package static let none = MapEntry(bits: 0)
    /// The block's contents are known to be lost: it reads as an error until it is written or discarded.
    package static let lost = MapEntry(bits: 1 << 48)
    package static let perPage = blockBytes / 8

    @inline(__always) package init(bits: UInt64) { self.bits = bits }

    @inline(__always)
    package init(block: PhysicalBlock, slot: Int) {
        bits = block.rawValue | UInt64(slot) << 40
    }

    /// Whether the block is stored somewhere.
    @inline(__always) package var isMapped: Bool { bits & 0xFF_FFFF_FFFF != 0 }
    @inline(__always) package var isLost: Bool { self == .lost }
    @inline(__always) package var block: PhysicalBlock { PhysicalBlock(bits & 0xFF_FFFF_FFFF) }
    @inline(__always) package var slot: Int { Int(bits >> 40 & 0xFF) }
    @inline(__always) package var header: PhysicalBlock { PhysicalBlock(block.rawValue &- 1 &- UInt64(slot)) }
    /// Bits that no writer sets: any flag on a block that is stored, and slot or flags other than ``lost`` on one that is not.
    package var hasUnknownFlags: Bool { isMapped ? bits >> 48 != 0 : self != .none && self != .lost }
}
