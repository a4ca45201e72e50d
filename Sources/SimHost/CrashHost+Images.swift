import SecureBlock

extension CrashHost {
    /// The images of a crash during event `event`: what went before has happened, the event itself may have happened,
    /// in part or not at all. `eventCount` stands for after the last event.
    ///
    /// Images that are equal in store, anchor and mark come once. In the order of the log, so the same run gives the
    /// same images.
    public func crashImages(at event: Int, _ policy: CrashPolicy) -> [CrashImage] {
        var images: [CrashImage] = []
        var enumerator = CrashEnumerator(self, policy)
        enumerator.images(at: event) { images.append($0) }
        return images
    }

    /// Calls `body` with the images of every moment of the log so far, each once.
    /// - Parameter moments: event indices, ascending; by default all of them and the end.
    /// - Returns: how many images there were.
    @discardableResult
    public func forEachCrashImage<Failure: Error>(
        _ policy: CrashPolicy, during moments: Range<Int>? = nil, _ body: (CrashImage) throws(Failure) -> Void
    ) throws(Failure) -> Int {
        var count = 0
        var enumerator = CrashEnumerator(self, policy)
        for moment in moments ?? 0..<enumerator.events.count + 1 {
            var images: [CrashImage] = []
            enumerator.images(at: moment) { images.append($0) }
            count += images.count
            for image in images { try body(image) }
        }
        return count
    }
}

/// The crash images of one log, moment by moment, each image once.
///
///     var images = CrashImages(host, .exhaustive(seed: 1))
///     for moment in 0...host.eventCount {
///         for image in images.next(at: moment) { … }
///     }
public struct CrashImages {
    private var enumerator: CrashEnumerator

    /// - Parameter host: its log as it is now.
    public init(_ host: CrashHost, _ policy: CrashPolicy) {
        enumerator = CrashEnumerator(host, policy)
    }

    /// The images of a crash during event `moment` that no earlier moment had; moments come in ascending order.
    public mutating func next(at moment: Int) -> [CrashImage] {
        var images: [CrashImage] = []
        enumerator.images(at: moment) { images.append($0) }
        return images
    }
}

/// Walks the log once, keeping what is certain at each moment.
private struct CrashEnumerator {
    let events: [SimEvent]
    private let policy: CrashPolicy
    private let initialAnchor: AnchorValue?
    /// Everything before `certainCount`, all of it beyond loss.
    private var certain: SimDisk
    private var certainCount = 0
    /// Equal keys mean equal images; only ever asked for membership.
    private var seen: Set<Key> = []

    private struct Key: Hashable {
        let fingerprint: UInt64
        let byteCount: Int
        let anchor: AnchorValue?
        let mark: UInt64?
    }

    init(_ host: CrashHost, _ policy: CrashPolicy) {
        events = host.events
        self.policy = policy
        initialAnchor = host.initialAnchor
        certain = SimDisk(host.initial)
    }

    mutating func images(at moment: Int, _ body: (CrashImage) -> Void) {
        precondition((0...events.count).contains(moment), "a moment of the log")
        while certainCount < moment, isCertain(certainCount, at: moment) {
            apply(certainCount, .whole, to: &certain)
            certainCount += 1
        }
        // What follows may be a mixture of certain and uncertain events: it is applied in order every time.
        let end = min(moment + 1, events.count)
        let rest = certainCount < end ? certainCount..<end : end..<end
        let atRisk = rest.filter { !isCertain($0, at: moment) }
        let (anchors, mark) = circumstances(at: moment)
        for choice in policy.choices(atRisk.map(sectorCount), moment: moment) {
            var disk = certain
            var next = 0
            for index in rest {
                if next < atRisk.count, atRisk[next] == index {
                    apply(index, choice[next], to: &disk)
                    next += 1
                } else {
                    apply(index, .whole, to: &disk)
                }
            }
            for anchor in anchors {
                let key = Key(
                    fingerprint: disk.fingerprint, byteCount: disk.contents.byteCount, anchor: anchor, mark: mark)
                guard seen.insert(key).inserted else { continue }
                body(
                    CrashImage(
                        event: moment, anchor: anchor, lastMark: mark,
                        description: describe(moment, atRisk, choice), contents: disk.contents))
            }
        }
    }

    /// Whether event `index` is beyond loss when the machine stops during event `moment`.
    private func isCertain(_ index: Int, at moment: Int) -> Bool {
        switch events[index] {
        case .flush, .anchor, .mark: return true
        case .allocate(_, _, grewTo: nil): return true
        case .write(let write):
            guard !write.failed, let completedAt = write.completedAt, completedAt <= moment, index < moment else {
                return false
            }
            return write.durable || isFlushed(completedAt, before: moment)
        case .allocate, .punch, .cut: return index < moment && isFlushed(index, before: moment)
        }
    }

    /// Whether the first flush from event `completedAt` on ended well before `moment`. After a failed one, later ones
    /// say nothing about what it was to cover.
    private func isFlushed(_ completedAt: Int, before moment: Int) -> Bool {
        var index = completedAt
        while index < moment {
            if case .flush(let failed) = events[index] { return !failed }
            index += 1
        }
        return false
    }

    private func sectorCount(_ index: Int) -> Int {
        if case .write(let write) = events[index] { return write.sectorCount }
        return 1
    }

    private func apply(_ index: Int, _ fate: CrashPolicy.Fate, to disk: inout SimDisk) {
        let sectors: Range<Int>
        switch fate {
        case .lost: return
        case .whole: sectors = 0..<sectorCount(index)
        case .sectors(let part): sectors = part
        }
        switch events[index] {
        case .write(let write): disk.write(Int(clamping: write.offset), write.bytes, sectors: sectors)
        case .allocate(_, _, let grewTo): if let grewTo { disk.grow(to: Int(clamping: grewTo)) }
        case .punch(let offset, let byteCount):
            disk.erase(Int(clamping: offset)..<Int(clamping: offset + byteCount))
        case .cut(let byteCount): disk.cut(to: Int(clamping: byteCount))
        case .flush, .anchor, .mark: return
        }
    }

    /// What the anchor may hold, and the last mark. An anchor update under way has happened or not.
    private func circumstances(at moment: Int) -> (anchors: [AnchorValue?], mark: UInt64?) {
        var anchor = initialAnchor
        var mark: UInt64?
        for event in events[..<moment] {
            switch event {
            case .anchor(let value): anchor = value
            case .mark(let value): mark = value
            default: continue
            }
        }
        if moment < events.count, case .anchor(let value) = events[moment] { return ([anchor, value], mark) }
        return ([anchor], mark)
    }

    private func describe(_ moment: Int, _ atRisk: [Int], _ choice: [CrashPolicy.Fate]) -> String {
        let fates = zip(atRisk, choice).map { index, fate in
            switch fate {
            case .lost: "-\(index)"
            case .whole: "+\(index)"
            case .sectors(let part): "+\(index)[\(part.lowerBound)..<\(part.upperBound)]"
            }
        }
        return "crash during event \(moment), unflushed: \(fates.joined(separator: " "))"
    }
}
