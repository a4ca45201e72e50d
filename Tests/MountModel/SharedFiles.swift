import Glibc
import SimHost

/// Files that several processes use at once. Nobody knows what another wrote last, but every value is whole: of one writer,
/// and of one write.
struct SharedFiles {
    struct Counts {
        /// Of the counter in a mapped page.
        var increments: UInt64 = 0
        /// Records in the log.
        var appends: UInt64 = 0
    }

    private static let slots = 64
    private static let slotBytes = 1536
    static let recordBytes = 64

    private let root: String
    private let writer: UInt64
    private var random: SimRandom
    private let slots: OpenFile
    private let log: OpenFile
    private let page: UnsafeMutablePointer<UInt64>
    private(set) var counts = Counts()

    init(_ directory: String, writer: UInt64) throws(Difference) {
        root = directory + "/shared"
        self.writer = writer
        random = SimRandom(seed: ~writer)
        guard mkdir(root, 0o755) == 0 || errno == EEXIST else { throw .call("mkdir \(root)") }
        slots = try OpenFile(root + "/slots", O_RDWR | O_CREAT)
        log = try OpenFile(root + "/log", O_WRONLY | O_CREAT | O_APPEND)
        let counter = try OpenFile(root + "/counter", O_RDWR | O_CREAT)
        defer { counter.close() }
        // Idempotent: the file has one size, whoever comes first.
        guard ftruncate(counter.descriptor, 4096) == 0 else { throw .call("ftruncate") }
        guard let mapped = mmap(nil, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, counter.descriptor, 0),
            mapped != MAP_FAILED
        else { throw .call("mmap") }
        page = mapped.assumingMemoryBound(to: UInt64.self)
    }

    mutating func step() throws(Difference) {
        switch Int.random(in: 0..<8, using: &random) {
        case 0, 1: try putSlot()
        case 2, 3: try readSlot()
        case 4: try append()
        case 5: try publish()
        case 6: try readPublished()
        default: try increment()
        }
    }

    private func locked(_ kind: Int32, _ body: () throws(Difference) -> Void) throws(Difference) {
        guard flock(slots.descriptor, kind) == 0 else { throw .call("flock") }
        defer { flock(slots.descriptor, LOCK_UN) }
        try body()
    }

    private mutating func putSlot() throws(Difference) {
        let slot = Int.random(in: 0..<Self.slots, using: &random)
        let bytes = Self.value(random.next(), Self.slotBytes)
        let slots = slots
        try locked(LOCK_EX) { () throws(Difference) in try slots.write(bytes, at: slot * Self.slotBytes) }
    }

    private mutating func readSlot() throws(Difference) {
        let slot = Int.random(in: 0..<Self.slots, using: &random)
        let slots = slots
        try locked(LOCK_SH) { () throws(Difference) in
            let found = try slots.read(Self.slotBytes, at: slot * Self.slotBytes)
            // Not written yet, or a part of the file that only later slots made: all zeros.
            guard found.allSatisfy({ $0 == 0 }) || Self.isWhole(found) else {
                throw Difference("slot \(slot) holds parts of several writes")
            }
        }
    }

    private mutating func append() throws(Difference) {
        var record = Self.words([writer, counts.appends])
        record += Self.value(writer &+ counts.appends, Self.recordBytes - record.count)
        guard write(log.descriptor, record, record.count) == record.count else { throw .call("append to the log") }
        counts.appends += 1
    }

    /// A new file takes the name of the old one; who reads has one of them.
    private mutating func publish() throws(Difference) {
        let name = "\(root)/new-\(writer)"
        let file = try OpenFile(name, O_WRONLY | O_CREAT | O_TRUNC)
        defer { file.close() }
        try file.write(Self.value(random.next(), Int.random(in: 16..<30_000, using: &random)), at: 0)
        guard rename(name, root + "/published") == 0 else { throw .call("rename") }
    }

    private func readPublished() throws(Difference) {
        let file: OpenFile
        do throws(Difference) { file = try OpenFile(root + "/published", O_RDONLY) } catch {
            if error.number == ENOENT { return }
            throw error
        }
        defer { file.close() }
        guard Self.isWhole(try file.read(40_000, at: 0)) else {
            throw Difference("what was published is not whole")
        }
    }

    /// In a page that all have mapped, under a lock.
    private mutating func increment() throws(Difference) {
        let page = page
        try locked(LOCK_EX) { () throws(Difference) in page[0] += 1 }
        counts.increments += 1
    }

    // MARK: values

    /// The seed and the length in front, then a pattern of the seed.
    private static func value(_ seed: UInt64, _ count: Int) -> [UInt8] {
        words([seed, UInt64(count)]) + Pattern(seed: seed, count: count - 16).bytes
    }

    private static func isWhole(_ bytes: ArraySlice<UInt8>) -> Bool {
        guard bytes.count >= 16 else { return false }
        return bytes.elementsEqual(value(word(bytes, 0), bytes.count))
    }

    private static func words(_ words: [UInt64]) -> [UInt8] {
        words.flatMap { word in (0..<8).map { UInt8(truncatingIfNeeded: word >> ($0 * 8)) } }
    }

    private static func word(_ bytes: ArraySlice<UInt8>, _ index: Int) -> UInt64 {
        (0..<8).reduce(0) { $0 | UInt64(bytes[bytes.startIndex + index * 8 + $1]) << ($1 * 8) }
    }

    // MARK: afterwards

    /// What is there in the end: every record of the log whole, and each writer's all there once and in order.
    static func check(_ directory: String) throws(Difference) -> Counts {
        let counter = try OpenFile(directory + "/shared/counter", O_RDONLY)
        let log = try OpenFile(directory + "/shared/log", O_RDONLY)
        defer {
            counter.close()
            log.close()
        }
        let bytes = try log.read(try log.size(), at: 0)
        guard bytes.count % recordBytes == 0 else { throw Difference("the log ends inside a record") }
        var next: [UInt64: UInt64] = [:]
        for start in stride(from: 0, to: bytes.count, by: recordBytes) {
            let record = bytes[start..<start + recordBytes]
            let (writer, sequence) = (word(record, 0), word(record, 1))
            guard isWhole(record.dropFirst(16)), word(record, 2) == writer &+ sequence else {
                throw Difference("record \(start / recordBytes) of the log is not whole")
            }
            guard sequence == next[writer, default: 0] else {
                throw Difference("record \(start / recordBytes): \(sequence) of writer \(writer)")
            }
            next[writer, default: 0] += 1
        }
        let value = word(try counter.read(8, at: 0), 0)
        return Counts(increments: value, appends: UInt64(bytes.count / recordBytes))
    }
}
