import Foundation
import Testing

@testable import SecureBlock

/// How long large volumes take to open, and in how much memory; run where `CASEMATE_OPEN_FOLDER` names a folder for sparse
/// files. Nothing is asserted on time.
@Suite(.enabled(if: ProcessInfo.processInfo.environment["CASEMATE_OPEN_FOLDER"] != nil))
struct DeviceOpenTimeTests {
    /// Gibibytes of the device, and how many blocks are written, each in a leaf of its own.
    @Test(arguments: [(16, 8192), (1024, 30_000), (12 * 1024, 30_000)] as [(UInt64, UInt64)])
    func opens(gibibytes: UInt64, count: UInt64) throws {
        let folder = ProcessInfo.processInfo.environment["CASEMATE_OPEN_FOLDER"] ?? "."
        let path = "\(folder)/open-\(gibibytes)"
        defer { unlink(path) }
        let blocks = gibibytes << 18
        let made = try FileBlockHost.create(path: path)
        try SecureDevice.create(
            on: made, VolumeOptions(logicalBytes: gibibytes << 30), credential: DeviceTesting.keyFile())
        let device = try SecureDevice.open(made, credential: DeviceTesting.keyFile())
        for index in 0..<count { try DeviceTesting.writeWithCommits(device, index * (blocks / count), index + 1) }
        try device.commit().wait()
        try device.close()
        let clean = try timed(path) { device in
            // Up to a checkpoint's worth of changes that only the log has.
            for index in 0..<4000 as Range<UInt64> {
                try DeviceTesting.writeWithCommits(device, index * (blocks / count), index + 2)
            }
            try device.commit().wait()
        }
        let killed = try timed(path) { try $0.close() }
        print(
            "open: \(gibibytes) GiB, \(count) blocks spread: clean "
                + String(format: "%.3f s, after a kill %.3f s", clean.seconds, killed.seconds)
                + ", \(clean.kibibytes / 1024) and \(killed.kibibytes / 1024) MiB resident")
    }

    /// Opens the volume, and after `work` drops it as a kill does, unless `work` closed it.
    private func timed(_ path: String, _ work: (SecureDevice) throws -> Void) throws
        -> (seconds: Double, kibibytes: Int)
    {
        let host = try FileBlockHost.open(path: path)
        let start = ContinuousClock.now
        var options = DeviceOptions()
        options.maintenance = .inline
        let device = try SecureDevice.open(host, credential: DeviceTesting.keyFile(), options: options)
        let duration = (ContinuousClock.now - start).components
        try work(device)
        let resident = try resident()
        host.close()
        return (Double(duration.seconds) + Double(duration.attoseconds) / 1e18, resident)
    }

    /// Of this process, in KiB.
    private func resident() throws -> Int {
        let text = try String(contentsOfFile: "/proc/self/status", encoding: .utf8)
        let line = text.split(separator: "\n").first { $0.hasPrefix("VmRSS:") }
        return line.flatMap { Int($0.filter(\.isNumber)) } ?? 0
    }
}
