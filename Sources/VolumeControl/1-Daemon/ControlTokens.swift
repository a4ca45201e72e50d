/// The tokens that were handed out and not used yet.
///
/// A connection alone proves only who asks; the token proves that the mount's root was opened and answered, and lets a
/// conversation begin once.
struct ControlTokens {
    private struct Token {
        var bytes: [UInt8]
        var user: UInt32
        var end: ContinuousClock.Instant
    }

    static let limit = 32
    static let lifetime = Duration.seconds(30)
    private var tokens: [Token] = []
    private var generator = SystemRandomNumberGenerator()

    /// A new one for `user`. When too many wait, the oldest is worth nothing any more.
    mutating func make(for user: UInt32, at now: ContinuousClock.Instant = .now) -> [UInt8] {
        expire(now)
        if tokens.count == Self.limit { tokens.removeFirst() }
        let bytes = (0..<ControlRequest.tokenBytes).map { _ in generator.next() as UInt8 }
        tokens.append(Token(bytes: bytes, user: user, end: now + Self.lifetime))
        return bytes
    }

    /// Whether `user` was given this token; it is used up.
    mutating func take(_ bytes: [UInt8], from user: UInt32, at now: ContinuousClock.Instant = .now) -> Bool {
        expire(now)
        // Every token is compared to its end: how long it takes tells nothing.
        var found: Int?
        for (index, token) in tokens.enumerated() where token.user == user && Self.equal(token.bytes, bytes) {
            found = index
        }
        guard let found else { return false }
        tokens.remove(at: found)
        return true
    }

    private mutating func expire(_ now: ContinuousClock.Instant) { tokens.removeAll { $0.end < now } }

    private static func equal(_ left: [UInt8], _ right: [UInt8]) -> Bool {
        guard left.count == right.count else { return false }
        return zip(left, right).reduce(UInt8(0)) { $0 | ($1.0 ^ $1.1) } == 0
    }
}
