import Glibc
import SecureBlock
import SimHost
import Simulation

/// What a search came to.
struct Summary {
    var seeds = 0
    var refuted = 0
    var openings = 0
    var sealed = 0
    var hostCalls = 0
    var faults: [DiskFault: Int] = [:]
    var moves: [AdversaryMove: Int] = [:]
    var changes: [SwarmChange: Int] = [:]

    mutating func add(_ result: SwarmResult) {
        seeds += 1
        if !result.violations.isEmpty { refuted += 1 }
        openings += result.openings
        sealed += result.sealedCount
        hostCalls += result.hostCalls
        faults.merge(result.faults, uniquingKeysWith: +)
        moves.merge(result.moves, uniquingKeysWith: +)
        changes.merge(result.changes, uniquingKeysWith: +)
    }

    func text(_ range: Range<UInt64>) -> String {
        let faults = DiskFault.allCases.map { "\($0.rawValue) \(self.faults[$0] ?? 0)" }.joined(separator: ", ")
        let moves = AdversaryMove.allCases.map { "\($0.rawValue) \(self.moves[$0] ?? 0)" }.joined(separator: ", ")
        let changes = SwarmChange.allCases.map { "\($0.rawValue) \(self.changes[$0] ?? 0)" }.joined(separator: ", ")
        return """
            faults: \(faults)
            moves: \(moves)
            changes: \(changes)
            \(seeds) seeds (\(range.lowerBound) to \(range.upperBound &- 1)), \(openings) openings, \
            \(sealed) sealed blocks in the ledgers, \(refuted) refuted
            """
    }
}

/// The first seed of the next search, in a file.
enum State {
    static func read(_ file: String) -> UInt64? {
        guard let stream = fopen(file, "r") else { return nil }
        defer { fclose(stream) }
        var buffer = [CChar](repeating: 0, count: 32)
        guard fgets(&buffer, Int32(buffer.count), stream) != nil else { return nil }
        let text = buffer.prefix { $0 != 0 && $0 != 10 }.map { UInt8(bitPattern: $0) }
        return UInt64(String(decoding: text, as: UTF8.self))
    }

    static func write(_ next: UInt64, _ file: String) {
        guard let stream = fopen(file, "w") else { return }
        fputs("\(next)\n", stream)
        fclose(stream)
    }
}

struct Deadline {
    private let end: Int

    init(seconds: UInt64) { end = time(nil) + Int(clamping: seconds) }

    var isPast: Bool { time(nil) >= end }
}

/// The crypto library gives no key: nothing was simulated.
struct SealFailure: Error {
    var text: String

    static func run(_ plan: SwarmPlan, keepsTrace: Bool) throws(SealFailure) -> SwarmResult {
        do throws(SealError) { return try Swarm.run(plan, keepsTrace: keepsTrace) } catch {
            throw SealFailure(text: "\(error)")
        }
    }

    static func minimise(_ plan: SwarmPlan, _ oracle: SwarmOracle) throws(SealFailure) -> SwarmPlan {
        do throws(SealError) { return try Swarm.minimised(plan, oracle) } catch {
            throw SealFailure(text: "\(error)")
        }
    }

    static func result(_ plan: SwarmPlan) -> SwarmResult? {
        do throws(SealFailure) { return try run(plan, keepsTrace: false) } catch {
            Program.complain("sim: seed \(plan.seed): \(error.text)")
            return nil
        }
    }
}
