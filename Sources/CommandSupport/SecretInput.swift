import CLinux
import Glibc
import SystemPackage

/// Bytes of a secret while they are read: fixed room that is kept out of swap where the system allows it, and wiped.
struct SecretInput: ~Copyable {
    /// The longest passphrase taken, in bytes.
    static let capacity = 4096

    // SAFETY: `capacity` bytes, owned by this value alone and freed by its `deinit`; every index below is under `count`
    // or `capacity`.
    private let room: UnsafeMutablePointer<UInt8>
    private(set) var count = 0

    init() {
        room = .allocate(capacity: Self.capacity)
        room.initialize(repeating: 0, count: Self.capacity)
        // Refused where the limit for locked memory is 0; the secret is then as safe as the machine's swap.
        _ = mlock(room, Self.capacity)
    }

    deinit {
        explicit_bzero(room, Self.capacity)
        _ = munlock(room, Self.capacity)
        room.deallocate()
    }

    var isEmpty: Bool { count == 0 }
    var isFull: Bool { count == Self.capacity }
    var last: UInt8? { count == 0 ? nil : room[count - 1] }

    mutating func append(_ byte: UInt8) {
        precondition(!isFull)
        room[count] = byte
        count += 1
    }

    mutating func removeLast() {
        precondition(!isEmpty)
        count -= 1
        room[count] = 0
    }

    mutating func removeAll() { while !isEmpty { removeLast() } }

    func withBytes<Result, Failure: Error>(
        _ body: (UnsafeRawBufferPointer) throws(Failure) -> Result
    ) throws(Failure) -> Result {
        try body(UnsafeRawBufferPointer(start: room, count: count))
    }

    func equals(_ other: borrowing SecretInput) -> Bool {
        guard count == other.count else { return false }
        var difference: UInt8 = 0
        for index in 0..<count { difference |= room[index] ^ other.room[index] }
        return difference == 0
    }

    /// Reads `descriptor` to its end.
    /// - Returns: `false` if there is more than fits.
    mutating func fill(from descriptor: Int32) throws(Errno) -> Bool {
        while true {
            if isFull {
                var extra: UInt8 = 0
                return try Self.readOnce(descriptor, &extra, 1) == 0
            }
            let received = try Self.readOnce(descriptor, room + count, Self.capacity - count)
            if received == 0 { return true }
            count += received
        }
    }

    /// Reads one byte, or `nil` at the end.
    static func readByte(_ descriptor: Int32) throws(Errno) -> UInt8? {
        var byte: UInt8 = 0
        defer { byte = 0 }
        return try readOnce(descriptor, &byte, 1) == 0 ? nil : byte
    }

    private static func readOnce(
        _ descriptor: Int32, _ target: UnsafeMutableRawPointer, _ count: Int
    ) throws(Errno) -> Int {
        while true {
            let received = read(descriptor, target, count)
            if received >= 0 { return received }
            let error = lastError()
            guard error == .interrupted else { throw error }
        }
    }
}
