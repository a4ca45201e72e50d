import EncFS
import SecureBlock
import SimHost
import VFS

/// A crash in the middle of what takes several operations: the device wants commits all the time, and EncFS gives it one
/// whenever a mebibyte waits. Ever more is written before a long truncation begins, so that the commit falls on each
/// of its steps in turn. What is committed then must be sound, and a mount must finish what was begun.
public enum FileChainSearch {
    /// Extents of the file that is cut.
    private static let extents = 1500

    /// - Returns: what must not happen; empty when all is well.
    public static func run() -> (commitsInside: Int, violations: [String]) {
        var inside = 0
        var violations: [String] = []
        do {
            let device = try fragmented()
            guard let base = device.commits.last else { return (0, ["nothing was committed"]) }
            for blocks in stride(from: 140, through: 256, by: 2) where violations.isEmpty {
                guard let copy = device.crash(at: base) else { return (0, ["a commit is gone"]) }
                let before = copy.commits.count
                let files = try EncFS(mounting: copy, FileCrashSearch.options)
                try files.write([UInt8](repeating: 3, count: blocks * blockBytes), to: try files.find("w"), at: 0)
                try files.setSize(0, of: try files.find("cut"))
                for commit in copy.commits.dropFirst(before) {
                    guard let crashed = copy.crash(at: commit) else { continue }
                    let isCut = try attributes(crashed).size == 0
                    if isCut { inside += 1 }
                    violations += try findings(crashed, "\(blocks) blocks before, commit \(commit)")
                    try EncFS(mounting: crashed, FileCrashSearch.options).close()
                    violations += try findings(crashed, "\(blocks) blocks before, commit \(commit), mounted")
                    let kept = try attributes(crashed).blocks512
                    if isCut, kept > 0 {
                        violations.append(
                            "\(blocks) blocks before, \(commit): a file of no bytes keeps \(kept / 8) blocks")
                    }
                }
            }
        } catch { violations.append("\(error)") }
        return (inside, violations)
    }

    /// A device with a file `cut` whose blocks all lie apart.
    private static func fragmented() throws -> SimBlockDevice {
        var options = SimBlockDevice.Options()
        options.commitWantedAt = 0
        let device = SimBlockDevice(blocks: 8192, options)
        var format = EncFS.FormatOptions()
        format.nodeBytes = 4096
        try EncFS.format(device, format)
        let files = try EncFS(mounting: device, FileCrashSearch.options)
        let cut = try files.make("cut"), other = try files.make("other")
        try files.make("w")
        let block = [UInt8](repeating: 1, count: blockBytes)
        for index in 0..<UInt64(extents) {
            try files.write(block, to: cut, at: index * 2 * UInt64(blockBytes))
            try files.write(block, to: other, at: index * 2 * UInt64(blockBytes))
        }
        try files.close()
        return device
    }

    private static func attributes(_ device: SimBlockDevice) throws -> Attributes {
        var options = FileCrashSearch.options
        options.readOnly = true
        let files = try EncFS(mounting: device, options)
        return try files.attributes(try files.find("cut"))
    }

    private static func findings(_ device: SimBlockDevice, _ label: String) throws -> [String] {
        var found: [String] = []
        _ = try EncFS.check(device, readData: false, progress: { _, _ in }) { found.append("\($0)") }
        return found.filter { !$0.hasPrefix("note") }.map { "\(label): \($0)" }
    }
}
