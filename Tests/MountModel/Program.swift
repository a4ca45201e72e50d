import Glibc

/// Random file calls below a directory, held against a model in memory after each; and calls on files that several such
/// processes share, whose values are whole or wrong.
@main
struct Program {
    static let usage = """
        mount-model DIRECTORY --seed N --steps N            make calls in DIRECTORY/own-N and DIRECTORY/shared
        mount-model DIRECTORY --seed N --steps N --verify   see that DIRECTORY/own-N is what those calls made
        mount-model DIRECTORY --check-shared                see that every record in DIRECTORY/shared is there once

        The second is for after unmounting and mounting again. Exit status: 0, or 1 with what differs, or 2.
        """

    static func main() {
        let words = Array(CommandLine.arguments.dropFirst())
        guard let root = words.first, !root.hasPrefix("-") else { end(2, usage) }
        do throws(Difference) {
            if words.contains("--check-shared") {
                let found = try SharedFiles.check(root)
                print("increments \(found.increments) appends \(found.appends)")
                return
            }
            guard let seed = number("--seed", words), let steps = number("--steps", words) else { end(2, usage) }
            if words.contains("--verify") {
                try verify(root, seed: seed, steps: steps)
            } else {
                let shared = try run(root, seed: seed, steps: steps)
                print("increments \(shared.increments) appends \(shared.appends)")
            }
        } catch {
            end(1, "mount-model: \(words.joined(separator: " ")): \(error.text)")
        }
    }

    private static func number(_ name: String, _ words: [String]) -> UInt64? {
        guard let place = words.firstIndex(of: name), place + 1 < words.count else { return nil }
        return UInt64(words[place + 1])
    }

    private static func end(_ status: Int32, _ text: String) -> Never {
        let line = Array((text + "\n").utf8)
        // Nobody is left to tell when this fails.
        _ = write(STDERR_FILENO, line, line.count)
        exit(status)
    }

    private static func run(_ root: String, seed: UInt64, steps: UInt64) throws(Difference) -> SharedFiles.Counts {
        var shared = try SharedFiles(root, writer: seed)
        let files = try RealFiles(below: "\(root)/own-\(seed)")
        var plan = CallPlan(seed: seed)
        for step in 0..<steps {
            let call = plan.next()
            do throws(Difference) {
                try files.make(call, plan.model)
                plan.apply(call)
                if step % 1000 == 999 { try files.compareAll(plan.model) }
                if step % 4 == 0 { try shared.step() }
            } catch {
                throw Difference("step \(step), \(call): \(error.text)")
            }
        }
        try files.compareAll(plan.model)
        return shared.counts
    }

    private static func verify(_ root: String, seed: UInt64, steps: UInt64) throws(Difference) {
        var plan = CallPlan(seed: seed)
        for _ in 0..<steps { plan.apply(plan.next()) }
        try RealFiles(below: "\(root)/own-\(seed)").compareAll(plan.model)
    }
}

/// How files differ from what they must be.
struct Difference: Error {
    var text: String
    /// `errno` of the call that failed.
    var number: Int32?

    init(_ text: String, number: Int32? = nil) {
        self.text = text
        self.number = number
    }

    /// A call that had to work did not.
    static func call(_ name: String) -> Difference {
        let number = errno
        return Difference("\(name): \(String(cString: strerror(number)))", number: number)
    }
}
