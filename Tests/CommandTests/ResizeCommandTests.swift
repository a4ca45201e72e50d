import CommandSupport
import Foundation
import Glibc
import Testing

/// `casemate resize`, through the built program.
@Suite struct ResizeCommandTests {
    private func bytes(of volume: VolumeFile) throws -> Int {
        try FileManager.default.attributesOfItem(atPath: volume.path)[.size] as? Int ?? 0
    }

    @Test func aVolumeGrowsAndShrinks() throws {
        try inTemporaryFolder { folder in
            let volume = try VolumeFile(in: folder)
            let small = try bytes(of: volume)
            let grown = try volume.run("resize", "32M")
            #expect(grown.status == 0 && grown.output.contains("32 MiB"), "\(grown.text)")
            #expect(try bytes(of: volume) > 32 << 20)
            #expect(try volume.run("info").output.contains("32 MiB"))
            #expect(try volume.run("fsck", "--read-data").status == 0)
            let shrunk = try volume.run("resize", "8M")
            #expect(shrunk.status == 0, "\(shrunk.text)")
            #expect(try bytes(of: volume) == small)
            let check = try volume.run("fsck", "--read-data")
            #expect(check.status == 0 && !check.text.contains("[grown]"), "\(check.text)")
            for size in ["1M", "5000", "many"] {
                #expect(try volume.run("resize", size).status == CommandStatus.usage.rawValue, "\(size)")
            }
        }
    }

    @Test(.enabled(if: canMount, "no /dev/fuse")) func aMountedVolumeGrowsAndShrinksUnderLoad() throws {
        try inTemporaryFolder { folder in
            let volume = try VolumeFile(in: folder, size: "16M")
            let data = Data((0..<8 << 20).map { UInt8(truncatingIfNeeded: $0 &* 31 &+ $0 >> 12) })
            try Mounted.with(volume) { mounted throws in
                let place = mounted.point.path
                try mounted.withWriter { writer throws in
                    let grown = try casemate("resize", place, "48M")
                    #expect(grown.status == 0, "\(grown.text)")
                    // More than was there before; what stays is written last.
                    for name in ["a", "b", "c", "kept"] { try writeDurably(data, to: mounted.file(name)) }
                    let refused = try casemate("resize", place, "16M")
                    #expect(refused.status == CommandStatus.resizeRefused.rawValue, "\(refused.text)")
                    for name in ["a", "b", "c"] { try FileManager.default.removeItem(at: mounted.file(name)) }
                    let shrunk = try casemate("resize", volume.path, "16M")
                    #expect(shrunk.status == 0, "\(shrunk.text)")
                    #expect(try Data(contentsOf: mounted.file("kept")) == data)
                    #expect(try bytes(of: volume) < 32 << 20)
                    #expect(writer.isRunning)
                    try writeDurably(data.prefix(2 << 20), to: mounted.file("again"))
                    try mounted.kill()
                }
            }
            let check = try volume.run("fsck", "--read-data")
            #expect(check.status == 0, "\(check.text)")
        }
    }

    /// Killed at some moment, the same command finishes, and nothing is lost either way.
    @Test func killedItIsFinishedByTheNext() throws {
        try inTemporaryFolder { folder in
            let volume = try VolumeFile(in: folder, size: "32M")
            for (round, size) in ["16M", "40M", "12M", "32M", "8M", "24M"].enumerated() {
                let process = Process()
                process.executableURL = URL(fileURLWithPath: ProgramRun.casemate)
                process.arguments = ["resize", volume.path, size] + volume.credential()
                (process.standardOutput, process.standardError) = (FileHandle.nullDevice, FileHandle.nullDevice)
                try process.run()
                usleep(UInt32(round) * 15_000 + 20_000)
                kill(process.processIdentifier, SIGKILL)
                process.waitUntilExit()
                let check = try volume.run("fsck", "--read-data")
                #expect(check.status == 0, "\(check.text)")
                let again = try volume.run("resize", size)
                #expect(again.status == 0, "\(again.text)")
                #expect(try volume.run("info").output.contains(size.replacingOccurrences(of: "M", with: " MiB")))
            }
        }
    }
}
