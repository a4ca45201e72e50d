import FileSimulation
import Glibc
import SimHost
import Simulation

/// Repeats what a test reported, and searches for more.
@main
struct Program {
    static func main() async {
        let arguments: Arguments
        do throws(Arguments.Mistake) {
            arguments = try Arguments(CommandLine.arguments.dropFirst())
        } catch {
            complain("sim: \(error.text)\n\(Arguments.usage)")
            exit(2)
        }
        switch arguments.task {
        case .help: say(Arguments.usage)
        case .one(let seed): exit(repeatSeed(seed, arguments))
        case .search: exit(await search(arguments))
        case .sabotage(let name): exit(SabotageRun.main(name, arguments))
        case .crashes: exit(await searchCrashes(arguments))
        case .files: exit(await searchFiles(arguments))
        }
    }

    /// One seed, with its trace and the shortest way to the same violation.
    private static func repeatSeed(_ seed: UInt64, _ arguments: Arguments) -> Int32 {
        do throws(SealFailure) {
            var plan = SwarmPlan(seed: seed)
            var result = try SealFailure.run(plan, keepsTrace: arguments.showsTrace)
            if let first = result.violations.first, arguments.minimises {
                plan = try SealFailure.minimise(plan, first.oracle)
                result = try SealFailure.run(plan, keepsTrace: arguments.showsTrace)
                say("minimised to \(plan.steps.count) steps:")
                for step in plan.steps { say("  \(step.action)") }
            }
            for line in result.trace { say(line) }
            for violation in result.violations { say("seed \(seed): \(violation)") }
            say("seed \(seed): \(result.violations.isEmpty ? "all held" : "refuted"), trace \(result.traceHash)")
            return result.violations.isEmpty ? 0 : 1
        } catch {
            complain("sim: \(error.text)")
            return 70
        }
    }

    /// Seeds one after the other, on as many threads as asked for, until time or range ends.
    private static func search(_ arguments: Arguments) async -> Int32 {
        let first = arguments.stateFile.flatMap(State.read) ?? arguments.first
        let deadline = arguments.seconds.map { Deadline(seconds: $0) }
        var summary = Summary()
        var next = first
        let end = arguments.count.map { first &+ $0 } ?? .max
        while next < end, deadline?.isPast != true {
            let batch = next..<min(next &+ 64, end)
            let results = await withTaskGroup(of: [SwarmResult].self) { group in
                for job in 0..<UInt64(arguments.jobs) {
                    group.addTask {
                        stride(from: batch.lowerBound + job, to: batch.upperBound, by: arguments.jobs).compactMap {
                            SealFailure.result(SwarmPlan(seed: $0))
                        }
                    }
                }
                return await group.reduce(into: []) { $0 += $1 }
            }
            for result in results.sorted(by: { $0.seed < $1.seed }) {
                summary.add(result)
                for violation in result.violations {
                    say("seed \(result.seed): \(violation)\n  repeat with: sim --seed \(result.seed) --trace")
                }
            }
            next = batch.upperBound
            if let file = arguments.stateFile { State.write(next, file) }
        }
        say(summary.text(first..<next))
        return summary.refuted == 0 ? 0 : 1
    }

    /// Every crash of one workload after the other; seeds with and without an anchor.
    private static func searchCrashes(_ arguments: Arguments) async -> Int32 {
        let first = arguments.stateFile.flatMap(State.read) ?? arguments.first
        let deadline = arguments.seconds.map { Deadline(seconds: $0) }
        var total = CrashSearch.Result()
        var next = first
        let end = arguments.count.map { first &+ $0 } ?? .max
        while next < end, deadline?.isPast != true {
            let batch = next..<min(next &+ UInt64(arguments.jobs), end)
            total += await withTaskGroup(of: CrashSearch.Result.self) { group in
                for seed in batch {
                    group.addTask {
                        CrashSearch.run(seed: seed)
                    }
                }
                return await group.reduce(into: CrashSearch.Result()) { $0 += $1 }
            }
            next = batch.upperBound
            if let file = arguments.stateFile { State.write(next, file) }
        }
        for violation in total.violations { say(violation) }
        say(
            "\(next - first) workloads (\(first) to \(next &- 1)), \(total.images) distinct crash images, "
                + "\(total.insideRecovery) of them inside recovery, \(total.relocatedBlocks) blocks "
                + "moved by the cleaner, \(total.violations.count) refuted")
        return total.violations.isEmpty ? 0 : 1
    }

    /// Every crash of sequences of three operations on the filesystem, in their order, and of a long truncation.
    private static func searchFiles(_ arguments: Arguments) async -> Int32 {
        let operations = FileOperation.allCases, count = UInt64(operations.count)
        let first = arguments.stateFile.flatMap(State.read) ?? arguments.first - min(1, arguments.first)
        let deadline = arguments.seconds.map { Deadline(seconds: $0) }
        let end = min(count * count * count, arguments.count.map { first &+ $0 } ?? .max)
        var next = first, images = 0
        let chain = FileChainSearch.run()
        var violations = chain.violations
        while next < end, deadline?.isPast != true {
            let batch = next..<min(next + UInt64(arguments.jobs), end)
            let results = await withTaskGroup(of: FileCrashSearch.Result.self) { group in
                for number in batch {
                    group.addTask {
                        let places = [number / count / count, number / count % count, number % count]
                        return FileCrashSearch.run(places.map { operations[Int($0)] })
                    }
                }
                return await group.reduce(into: []) { $0.append($1) }
            }
            for result in results {
                images += result.images
                violations += result.violations
            }
            next = batch.upperBound
            if let file = arguments.stateFile { State.write(next, file) }
        }
        for violation in violations { say(violation) }
        say(
            "\(next - first) sequences of three operations (\(first) to \(next &- 1) of \(count * count * count)), "
                + "\(images) distinct crash images; \(chain.commitsInside) commits inside a truncation; "
                + "\(violations.count) refuted")
        return violations.isEmpty ? 0 : 1
    }

    static func say(_ text: String) { write(text, 1) }

    static func complain(_ text: String) { write(text, 2) }

    private static func write(_ text: String, _ descriptor: Int32) {
        var bytes = Array((text + "\n").utf8)[...]
        while !bytes.isEmpty {
            let count = bytes.withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress, $0.count) }
            guard count > 0 else { return }
            bytes = bytes.dropFirst(count)
        }
    }
}
