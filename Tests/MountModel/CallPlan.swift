import SimHost

/// Which calls come, and what they do to the model. Both depend on the seed alone, so that a later process knows what an
/// earlier one must have left.
struct CallPlan {
    private var random: SimRandom
    private(set) var model = FileModel()

    init(seed: UInt64) { random = SimRandom(seed: seed) }

    private mutating func number(_ range: Range<Int>) -> Int { Int.random(in: range, using: &random) }
    private mutating func anyName() -> String {
        "\(FileModel.directories[number(0..<FileModel.directories.count)])/f\(number(0..<8))"
    }
    private mutating func existing() -> String? {
        let names = model.names
        return names.isEmpty ? nil : names[number(0..<names.count)]
    }
    /// Near the beginning mostly, at the boundary of a page sometimes.
    private mutating func offset() -> Int {
        switch number(0..<6) {
        case 0: number(0..<FileModel.limit - 40_000)
        case 1: number(0..<12) * 4096
        default: number(0..<24_000)
        }
    }
    private mutating func pattern() -> Pattern {
        Pattern(seed: random.next(), count: number(0..<12) == 0 ? number(1..<40_000) : number(1..<5_000))
    }
    private mutating func range() -> Range<Int> {
        let start = offset()
        return start..<start + number(1..<20_000)
    }

    mutating func next() -> FileCall {
        guard let name = existing(), number(0..<40) > 0 else {
            return .write(name: anyName(), offset: offset(), pattern())
        }
        switch number(0..<32) {
        case 0...3: return .write(name: anyName(), offset: offset(), pattern())
        case 4, 5: return .write(name: name, offset: offset(), pattern())
        case 6: return .append(name: name, pattern())
        case 7: return .truncate(name: name, size: offset())
        case 8: return .punch(name: name, range())
        case 9: return .zero(name: name, range())
        case 10: return .reserve(name: name, size: offset() + 1)
        case 11...13: return copy(to: name)
        case 14...17: return .mapAndWrite(name: name, offset: offset(), pattern(), syncs: number(0..<2) == 0)
        case 18: return .mapPrivately(name: name, offset: offset(), pattern())
        case 19: return .mapAndRead(name: name, offset: offset(), count: number(1..<20_000))
        case 20...24: return .read(name: name, offset: offset(), count: number(1..<20_000))
        case 25: return .cool(name: name)
        case 26: return .seekHoles(name: name)
        case 27: return .rename(from: name, to: anyName())
        case 28: return .link(from: name, to: anyName())
        case 29: return .unlink(name: name)
        case 30: return .unlinkWhileOpen(name: name, pattern())
        default: return .list(directory: FileModel.directories[number(0..<FileModel.directories.count)])
        }
    }

    /// Whole blocks sometimes, which a filesystem may share; never ranges of one file that overlap.
    private mutating func copy(to target: String) -> FileCall {
        let source = existing() ?? target
        let unit = number(0..<2) == 0 ? 4096 : 1
        let offset = offset() / unit * unit
        let place = self.offset() / unit * unit
        var count = max(number(1..<40_000) / unit * unit, 1)
        if model.files[source] === model.files[target] {
            if place == offset { return .read(name: target, offset: offset, count: count) }
            count = min(count, abs(place - offset))
        }
        return .copy(from: source, offset: offset, to: target, at: place, count: count)
    }

    mutating func apply(_ call: FileCall) {
        switch call {
        case .write(let name, let offset, let pattern): made(name).put(pattern.bytes, at: offset)
        case .append(let name, let pattern):
            if let file = model.files[name] { file.put(pattern.bytes, at: file.bytes.count) }
            shorten(name)
        case .truncate(let name, let size): resize(name, to: size)
        case .punch(let name, let range): clear(name, range)
        case .zero(let name, let range):
            model.files[name]?.cover(range.upperBound)
            clear(name, range)
        case .reserve(let name, let size): model.files[name]?.cover(size)
        case .copy(let source, let offset, let target, let place, let count):
            guard let from = model.files[source] else { return }
            model.files[target]?.put(Array(from.part(offset, count)), at: place)
        case .mapAndWrite(let name, let offset, let pattern, _):
            guard let file = model.files[name] else { return }
            file.put(Array(pattern.bytes.prefix(max(0, file.bytes.count - offset))), at: offset)
        case .rename(let source, let target):
            // Two names of one file both stay: rename(2).
            guard model.files[source] !== model.files[target] else { return }
            model.files[target] = model.files.removeValue(forKey: source)
        case .link(let source, let target):
            if model.files[target] == nil { model.files[target] = model.files[source] }
        case .unlinkWhileOpen(let name, let pattern):
            model.files.removeValue(forKey: name)?.put(pattern.bytes, at: 0)
        case .unlink(let name): model.files[name] = nil
        case .mapPrivately, .mapAndRead, .read, .cool, .seekHoles, .list: return
        }
    }

    private mutating func made(_ name: String) -> FileModel.Contents {
        let file = model.files[name] ?? FileModel.Contents()
        model.files[name] = file
        return file
    }

    private func resize(_ name: String, to size: Int) {
        guard let file = model.files[name] else { return }
        file.cover(size)
        file.bytes.removeSubrange(size...)
    }

    /// An append that would let a file grow for ever ends with a truncation.
    private func shorten(_ name: String) {
        if let file = model.files[name], file.bytes.count > FileModel.limit { resize(name, to: FileModel.limit) }
    }

    private func clear(_ name: String, _ range: Range<Int>) {
        guard let file = model.files[name] else { return }
        for index in range.clamped(to: 0..<file.bytes.count) { file.bytes[index] = 0 }
    }
}
