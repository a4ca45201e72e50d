import Glibc
import VFS

/// Secrets on their way from the process that asked for them to the one that serves: in memory that is locked where
/// the system allows it and wiped, and through a pipe; never in an argument or a variable of the environment.
public struct SecretParcel: ~Copyable {
    /// All of them together, in bytes: what a pipe takes without a reader.
    public static let capacityBytes = 32 << 10

    // SAFETY: `capacityBytes` bytes owned by this value alone; `used` never exceeds them.
    private let room: UnsafeMutableRawBufferPointer
    private var used = 0

    public init() {
        room = .allocate(byteCount: Self.capacityBytes, alignment: 4096)
        room.initializeMemory(as: UInt8.self, repeating: 0)
        _ = mlock(room.baseAddress, room.count)
    }

    deinit {
        if let base = room.baseAddress {
            explicit_bzero(base, room.count)
            munlock(base, room.count)
        }
        room.deallocate()
    }

    /// - Throws: ``FUSEError/system(call:errno:path:)`` with `E2BIG` when they do not fit.
    public mutating func append(_ secret: UnsafeRawBufferPointer) throws(FUSEError) {
        guard secret.count <= 0xFFFF, used + 2 + secret.count <= room.count else {
            throw FUSEError.system(call: "secret", errno: Errno(rawValue: E2BIG), path: nil)
        }
        room[used] = UInt8(secret.count & 0xFF)
        room[used + 1] = UInt8(secret.count >> 8)
        UnsafeMutableRawBufferPointer(rebasing: room[(used + 2)...]).copyMemory(from: secret)
        used += 2 + secret.count
    }

    /// Hands the secrets out in the order they were appended.
    public borrowing func forEach<Failure: Error>(
        _ body: (UnsafeRawBufferPointer) throws(Failure) -> Void
    ) throws(Failure) {
        var offset = 0
        while offset + 2 <= used {
            let count = Int(room[offset]) | Int(room[offset + 1]) << 8
            guard offset + 2 + count <= used else { return }
            try body(UnsafeRawBufferPointer(rebasing: room[(offset + 2)..<(offset + 2 + count)]))
            offset += 2 + count
        }
    }

    package var byteCount: Int { used }

    /// Lends the parcel as it travels. The bytes must not be copied to memory that is not wiped.
    package borrowing func withBytes<Failure: Error>(
        _ body: (UnsafeRawBufferPointer) throws(Failure) -> Void
    ) throws(Failure) {
        try body(UnsafeRawBufferPointer(rebasing: room[..<used]))
    }

    /// A parcel of `byteCount` bytes, at most ``capacityBytes``, which `fill` writes.
    package init<Failure: Error>(
        byteCount: Int, _ fill: (UnsafeMutableRawBufferPointer) throws(Failure) -> Void
    ) throws(Failure) {
        precondition(byteCount >= 0 && byteCount <= Self.capacityBytes)
        self.init()
        try fill(UnsafeMutableRawBufferPointer(rebasing: room[..<byteCount]))
        used = byteCount
    }

    borrowing func send(to descriptor: Int32) throws(FUSEError) {
        guard used > 0 else { return }
        guard write(descriptor, room.baseAddress, used) == used else {
            throw FUSEError.system(call: "write", errno: .last, path: nil)
        }
    }

    mutating func receive(from descriptor: Int32) throws(FUSEError) {
        while used < room.count {
            let count = read(descriptor, room.baseAddress.map { $0 + used }, room.count - used)
            if count < 0, errno == EINTR { continue }
            guard count >= 0 else { throw FUSEError.system(call: "read", errno: .last, path: nil) }
            if count == 0 { return }
            used += count
        }
    }
}
