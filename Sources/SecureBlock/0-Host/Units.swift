/// The unit of reading, writing and sealing: 4096 bytes, on every volume.
public let blockBytes = 4096

/// A block of the virtual device, as its users number them.
public struct LogicalBlock: Hashable, Comparable, Sendable, RawRepresentable, CustomStringConvertible {
    public let rawValue: UInt64
    @inlinable public init(rawValue: UInt64) { self.rawValue = rawValue }
    @inlinable public init(_ rawValue: UInt64) { self.rawValue = rawValue }
    @inlinable public static func < (left: Self, right: Self) -> Bool { left.rawValue < right.rawValue }
    public var description: String { "logical block \(rawValue)" }
}

/// A block of the backing store, counted from the volume's first byte.
public struct PhysicalBlock: Hashable, Comparable, Sendable, RawRepresentable, CustomStringConvertible {
    public let rawValue: UInt64
    @inlinable public init(rawValue: UInt64) { self.rawValue = rawValue }
    @inlinable public init(_ rawValue: UInt64) { self.rawValue = rawValue }
    @inlinable public static func < (left: Self, right: Self) -> Bool { left.rawValue < right.rawValue }
    public var description: String { "physical block \(rawValue)" }
}

/// The place of a record in the chain of all records; never 0 for a record.
public struct SequenceNumber: Hashable, Comparable, Sendable, RawRepresentable, CustomStringConvertible {
    public let rawValue: UInt64
    @inlinable public init(rawValue: UInt64) { self.rawValue = rawValue }
    @inlinable public init(_ rawValue: UInt64) { self.rawValue = rawValue }
    @inlinable public static func < (left: Self, right: Self) -> Bool { left.rawValue < right.rawValue }
    public var description: String { "commit \(rawValue)" }
}

/// How often a segment has been taken into use.
public struct Generation: Hashable, Comparable, Sendable, RawRepresentable {
    public let rawValue: UInt32
    @inlinable public init(rawValue: UInt32) { self.rawValue = rawValue }
    @inlinable public init(_ rawValue: UInt32) { self.rawValue = rawValue }
    @inlinable public static func < (left: Self, right: Self) -> Bool { left.rawValue < right.rawValue }
}
