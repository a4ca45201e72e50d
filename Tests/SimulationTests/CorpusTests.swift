import Fuzzing
import Glibc
import SimHost
import Testing

/// The inputs that fuzzing kept, every crash it ever found among them, and some thousands of changes to them.
@Suite struct CorpusTests {
    private static let folder =
        #filePath.split(separator: "/").dropLast(3).map { "/\($0)" }.joined() + "/fixtures/corpus"

    @Test(arguments: FuzzTarget.allCases)
    func everythingKeptPasses(target: FuzzTarget) throws {
        let inputs = Self.corpus(target)
        #expect(!inputs.isEmpty, "\(target) has no corpus")
        // A debug build takes a second for each of the large ones.
        let step = isDebugBuild && (target == .volume || target == .files) ? 16 : 1
        for (name, bytes) in stride(from: 0, to: inputs.count, by: step).map({ inputs[$0] }) {
            do { try target.run(bytes) } catch { Issue.record("\(target), \(name): \(error)") }
        }
    }

    /// Without coverage to guide it; `scripts/fuzz` has that.
    @Test(arguments: FuzzTarget.allCases)
    func changedInputsPass(target: FuzzTarget) throws {
        let inputs = Self.corpus(target).map(\.bytes) + target.seeds()
        let isSlow = [.volume, .files, .image, .calls].contains(target)
        var random = SimRandom(seed: 11)
        for _ in 0..<(isDebugBuild ? (isSlow ? 2 : 50) : (isSlow ? 300 : 10_000)) {
            var bytes = inputs[Int(random.next() % UInt64(inputs.count))]
            for _ in 0...random.next() % 4 where !bytes.isEmpty {
                bytes[Int(random.next() % UInt64(bytes.count))] =
                    [0, 1, 0x7F, 0xFF, UInt8(truncatingIfNeeded: random.next())][
                        Int(random.next() % 5)]
            }
            do { try target.run(bytes) } catch { Issue.record("\(target), \(bytes): \(error)") }
        }
    }

    private static func corpus(_ target: FuzzTarget) -> [(name: String, bytes: [UInt8])] {
        let path = "\(folder)/\(target.rawValue)"
        guard let directory = opendir(path) else { return [] }
        defer { closedir(directory) }
        var names: [String] = []
        while let entry = readdir(directory) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) {
                $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            if !name.hasPrefix(".") { names.append(name) }
        }
        return names.sorted().map { ($0, contents("\(path)/\($0)")) }
    }

    private static func contents(_ path: String) -> [UInt8] {
        guard let file = fopen(path, "r") else { return [] }
        defer { fclose(file) }
        var bytes = [UInt8](repeating: 0, count: 1 << 16)
        let count = fread(&bytes, 1, bytes.count, file)
        return Array(bytes.prefix(count))
    }
}
