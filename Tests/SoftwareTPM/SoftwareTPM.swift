import Foundation
import Glibc

/// A TPM 2.0 in software (swtpm), with a state and ports of its own, for one test.
public final class SoftwareTPM {
    /// Whether this machine has one; tests that need it are skipped otherwise, and scripts/test lists them.
    public static let isThere: Bool = {
        // Here, as no test has begun yet: the library would print every error that a test provokes.
        setenv("TSS2_LOG", "all+NONE", 0)
        return access(program, X_OK) == 0
    }()
    public static let missing = "swtpm is not installed"

    public enum Failure: Error { case noPorts, notReady, tool(String) }

    private static let program = "/usr/bin/swtpm"
    private let folder: URL
    private var process: Process?
    private(set) var port: UInt16 = 0

    /// Starts one that was never used.
    public init() throws {
        folder = URL(fileURLWithPath: "/var/tmp/casemate-tpm-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        try start()
    }

    deinit {
        stop()
        try? FileManager.default.removeItem(at: folder)
    }

    /// As tpm2-tss takes it. It changes when the TPM is started again.
    public var address: String { "swtpm:host=localhost,port=\(port)" }

    /// Cuts its power.
    public func stop() {
        guard let process else { return }
        kill(process.processIdentifier, SIGKILL)
        process.waitUntilExit()
        self.process = nil
    }

    /// Switches it on, as it was when it was stopped.
    public func start() throws {
        for _ in 0..<20 {
            guard let port = Self.freePair() else { throw Failure.noPorts }
            let process = Process()
            process.executableURL = URL(fileURLWithPath: Self.program)
            process.arguments = [
                "socket", "--tpm2", "--tpmstate", "dir=\(folder.path)", "--server", "type=tcp,port=\(port)",
                "--ctrl",
                "type=tcp,port=\(port + 1)", "--flags", "not-need-init,startup-clear",
            ]
            process.standardOutput = FileHandle.nullDevice
            process.standardError = FileHandle.nullDevice
            try process.run()
            self.process = process
            self.port = port
            for _ in 0..<500 {
                // Another program may have taken the ports meanwhile.
                guard process.isRunning else { break }
                if Self.answers(port + 1) { return }
                usleep(10_000)
            }
            stop()
        }
        throw Failure.notReady
    }

    /// Does what the TPM's owner may, with one of tpm2-tools.
    @discardableResult
    public func tool(_ name: String, _ arguments: String...) throws -> String {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/\(name)")
        process.arguments = arguments
        process.environment = ProcessInfo.processInfo.environment.merging(["TPM2TOOLS_TCTI": address]) { $1 }
        let output = Pipe()
        process.standardOutput = output
        process.standardError = output
        try process.run()
        let text = String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        process.waitUntilExit()
        guard process.terminationStatus == 0 else { throw Failure.tool(text) }
        return text
    }

    /// The path of a file of zeros, for a tool.
    public func file(bytes: Int) throws -> String {
        let file = folder.appendingPathComponent("zeros-\(bytes)")
        try Data(count: bytes).write(to: file)
        return file.path
    }

    /// Two ports side by side, as the transport wants them.
    static func freePair() -> UInt16? {
        for _ in 0..<100 {
            // Below those that the kernel gives to whoever connects, one of which could come in between.
            let port = UInt16.random(in: 20_000..<32_000)
            if isFree(port), isFree(port + 1) { return port }
        }
        return nil
    }

    private static func isFree(_ port: UInt16) -> Bool {
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        guard descriptor >= 0 else { return false }
        defer { close(descriptor) }
        return onLoopback(port) { bind(descriptor, $0, $1) } == 0
    }

    private static func answers(_ port: UInt16) -> Bool {
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        guard descriptor >= 0 else { return false }
        defer { close(descriptor) }
        return onLoopback(port) { connect(descriptor, $0, $1) } == 0
    }

    static func onLoopback(_ port: UInt16, _ body: (UnsafePointer<sockaddr>, socklen_t) -> Int32) -> Int32 {
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = port.bigEndian
        address.sin_addr.s_addr = INADDR_LOOPBACK.bigEndian
        return withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                body($0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
    }
}
