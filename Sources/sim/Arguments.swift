/// What was asked for.
struct Arguments {
    enum Task {
        case help
        case one(UInt64)
        case search
        case crashes
        case files
        case sabotage(String)
    }
    struct Mistake: Error {
        var text: String
    }

    static let usage = """
        sim --seed N [--trace] [--minimise]   repeat one seed; exit status 1 when it refutes something
        sim [--first N] [--count N] [--seconds N] [--jobs N] [--state FILE]
            search from seed N (1), so many seeds, so long, on so many threads (2); FILE says how far a search got,
            and the next one goes on from there
        sim --crashes [the same]
            every crash of the workload of each seed instead
        sim --files [the same]
            every crash of each sequence of three operations on EncFS instead; there are 21 to the third of them
        sim --sabotage NAME [--seconds N]     whether a bug switched on is found, in a build that has it; 'list' names them;
            with --first N, by the swarm alone
        """

    var task = Task.search
    var showsTrace = false
    var minimises = false
    var first: UInt64 = 1
    var count: UInt64?
    var seconds: UInt64?
    var jobs = 2
    var stateFile: String?

    init(_ words: some Sequence<String>) throws(Mistake) {
        var words = Array(words)[...]
        while let word = words.popFirst() {
            switch word {
            case "--help", "-h": task = .help
            case "--crashes": task = .crashes
            case "--files": task = .files
            case "--sabotage":
                guard let name = words.popFirst() else { throw Mistake(text: "--sabotage wants a name") }
                task = .sabotage(name)
            case "--trace": showsTrace = true
            case "--minimise": minimises = true
            case "--seed": task = .one(try Self.number(&words, word))
            case "--first": first = try Self.number(&words, word)
            case "--count": count = try Self.number(&words, word)
            case "--seconds": seconds = try Self.number(&words, word)
            case "--jobs": jobs = Int(clamping: max(1, try Self.number(&words, word)))
            case "--state":
                guard let file = words.popFirst() else { throw Mistake(text: "--state wants a file") }
                stateFile = file
            default: throw Mistake(text: "unknown argument '\(word)'")
            }
        }
    }

    private static func number(_ words: inout ArraySlice<String>, _ option: String) throws(Mistake) -> UInt64 {
        guard let word = words.popFirst(), let number = UInt64(word) else {
            throw Mistake(text: "\(option) wants a number")
        }
        return number
    }
}
