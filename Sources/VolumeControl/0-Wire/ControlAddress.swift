import FUSEFront

/// What the `ioctl(2)` on a mount's root answers: where to connect, and the right to one request.
///
///     0   64  name of an abstract socket, NUL-padded, without the NUL in front
///     64  16  token: taken once, from the user who was given it, within half a minute
///     80   2  the daemon's ``ControlRequest/version``
///     82  14  zero
package struct ControlAddress: Hashable, Sendable {
    package static let byteCount = 96
    /// `_IOR(0xCA, 2, char[96])` of `ioctl(2)`.
    package static let command: UInt32 = 2 << 30 | UInt32(byteCount) << 16 | 0xCA << 8 | 2

    package var name: [UInt8]
    package var token: [UInt8]
    package var version = ControlRequest.version

    var bytes: [UInt8] {
        var fields = FieldWriter()
        fields.bytes(name)
        fields.bytes(token)
        fields.u16(version)
        return fields.bytes + [UInt8](repeating: 0, count: Self.byteCount - fields.bytes.count)
    }

    init(name: [UInt8], token: [UInt8]) {
        precondition(name.count == LocalSocket.nameBytes && token.count == ControlRequest.tokenBytes)
        self.name = name
        self.token = token
    }

    init(_ bytes: [UInt8]) throws(ControlError) {
        var fields = FieldReader(bytes)
        name = try fields.bytes(LocalSocket.nameBytes)
        token = try fields.bytes(ControlRequest.tokenBytes)
        version = try fields.u16()
    }
}
