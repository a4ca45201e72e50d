/// The newest commit of a volume, as remembered outside it.
public struct AnchorValue: Hashable, Sendable {
    public var volume: VolumeIdentifier
    /// The last commit that was acknowledged.
    public var sequence: SequenceNumber
    /// That commit's tag.
    public var tag: Tag

    public init(volume: VolumeIdentifier, sequence: SequenceNumber, tag: Tag) {
        self.volume = volume
        self.sequence = sequence
        self.tag = tag
    }
}

/// A small memory that the host of the volume cannot turn back: what makes an acknowledged commit irreversible.
///
/// Calls may come from any thread; the device makes one at a time.
public protocol Anchor: AnyObject, Sendable, CustomStringConvertible {
    /// What kind of anchor and where, for `info`: for example `file /mnt/usb/vault.anchor`.
    var description: String { get }

    /// How far a volume lets this kind of anchor lag where nobody says otherwise.
    var preferredPolicy: AnchorPolicy { get }

    /// Whether it asks for a key: for those of ``use(_:)``.
    var asksForKey: Bool { get }

    /// Takes the keys by which an anchor that asks for one knows who holds the volume: 32 bytes each, derived from the
    /// volume key for this alone. The present one's comes first, then those of older volume keys that the volume still
    /// holds, newest first. Called before ``load()``, and again whenever the volume key changes; without any, an anchor that
    /// asks only tells whether it is unused.
    func use(_ keys: [SecretBytes])

    /// Gives up all keys but the first: every root of the volume is under that one, durably.
    /// - Throws: when the anchor still asks for an older one; the call is then made again, and the older key kept.
    func settle() throws(AnchorError)

    /// The value last stored; `nil` when there never was one.
    func load() throws(AnchorError) -> AnchorValue?

    /// Replaces `expected` by `new`; durable on return.
    /// - Throws: ``AnchorError/conflict(found:)`` when something else is stored; nothing is then changed. After
    ///   ``AnchorError/unavailable(_:)`` either value may be stored.
    func compareAndSwap(expected: AnchorValue?, new: AnchorValue) throws(AnchorError)
}

/// What an anchor fails with.
public enum AnchorError: Error, Hashable, Sendable {
    /// It cannot be reached or written; the text names the call and why.
    case unavailable(String)
    /// It holds something that is not a value.
    case damaged(String)
    /// Somebody else stored another value.
    case conflict(found: AnchorValue?)
    /// It does not answer to this volume's key; the text says where.
    case refused(String)
}

extension AnchorError: CustomStringConvertible {
    public var description: String {
        switch self {
        case .unavailable(let reason), .refused(let reason): reason
        case .damaged(let reason): "damaged: \(reason)"
        case .conflict(let found):
            "it holds \(found.map { "commit \($0.sequence.rawValue)" } ?? "nothing"), as nobody expected"
        }
    }
}

extension Anchor {
    /// What is stored for the volume whose keys these are; the anchor has them from here on.
    /// - Throws: ``VolumeError/anchorOfAnotherVolume``, ``VolumeError/anchorUnavailable(_:)``,
    ///   ``VolumeError/anchorRefused(_:)``.
    func load(with keys: VolumeKeys) throws(VolumeError) -> AnchorValue? {
        do throws(SealError) { use(try keys.anchorKeys()) } catch { throw .crypto("\(error)") }
        let value: AnchorValue?
        do throws(AnchorError) { value = try load() } catch { throw VolumeError(error) }
        if let value, value.volume != keys.volume { throw .anchorOfAnotherVolume }
        return value
    }
}

/// Of an anchor that anybody who reaches it may read and write, as often as may be.
extension Anchor {
    public var preferredPolicy: AnchorPolicy { .everyCommit }
    public var asksForKey: Bool { false }
    public func use(_ keys: [SecretBytes]) {}
    public func settle() throws(AnchorError) {}
}
