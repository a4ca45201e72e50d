import Glibc
import SecureBlock
import SimHost
import Testing
import VFS

@testable import EncFS

/// Threads that meet at one small file: whoever gets it behind a write that put its end into the tree takes that into account.
@Suite struct TailRaceTests {
    private let device: SimBlockDevice
    private let files: EncFS

    init() throws {
        device = try freshDevice()
        files = try EncFS(mounting: device, .quiet)
    }

    /// One write holds the file; one that adds an end, and a call that deals in whole blocks, wait for it.
    @Test(arguments: [AllocationMode.allocateKeepingSize, .collapse, .insert])
    func reservingAndShiftingMeetAnEnd(mode: AllocationMode) throws {
        for round in 0..<30 {
            let file = try files.make("file \(round)")
            try files.write(pattern(8192, seed: 1), to: file, at: 0)
            var threads: [HostThread] = []
            let waiting: [@Sendable (EncFS) throws -> Void] = [
                { files in try files.write(pattern(904, seed: 2), to: file, at: 8192) },
                { files in try files.allocate(file, .none, 0..<4096, mode) },
                { files in try files.allocate(file, .none, 4096..<40960, .allocateKeepingSize) },
            ]
            try pattern(4096, seed: 3).withUnsafeBytes { bytes in
                var promised = 0
                _ = try files.write(file, .none, at: .offset(0), bytes, []) { [files] _ in
                    promised += 1
                    threads = waiting.compactMap { call in
                        let thread = HostThread {
                            do { try call(files) } catch { Issue.record("\(mode): \(error)") }
                        }
                        usleep(300)
                        return thread
                    }
                }
                try #require(promised == 1)
            }
            try #require(threads.count == waiting.count)
            for thread in threads { thread.join() }
        }
        try files.sync()
        #expect(try findings(device.crash()) == [])
    }
}
