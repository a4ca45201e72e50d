import ArgumentParser
import CLinux
import CommandSupport
import Glibc
import Inspection
import SecureBlock

/// `fsck --salvage`: fills a file beside OUT, which becomes OUT once it is whole.
struct SalvageRun {
    private let access: VolumeAccess
    private let output: String
    private let segmentSize: ByteCount?
    private let json: Bool
    private var partial: String { output + ".partial" }

    init(_ access: VolumeAccess, to output: String, _ segmentSize: ByteCount?, json: Bool) {
        self.access = access
        self.output = output
        self.segmentSize = segmentSize
        self.json = json
    }

    func run() throws {
        let host = try access.openHost(.readOnly)
        defer { host.close() }
        guard Glibc.access(output, F_OK) != 0, Glibc.access(partial, F_OK) != 0 else {
            throw CommandFailure(.notEmpty, "\(output) or \(partial) is there already, and nothing is overwritten")
        }
        _ = casemate_exit_on_interrupt(FsckStatus.cancelled.rawValue, nil)
        let credential = try access.credential()
        let outcome: SalvageOutcome
        do {
            outcome = try salvage(host, credential)
        } catch {
            unlink(partial)
            throw error
        }
        guard link(partial, output) == 0 else {
            throw CommandFailure(
                .notEmpty, "the result cannot be named \(output): \(lastErrorText())", at: partial,
                advice: "It is whole: rename it.")
        }
        unlink(partial)
        try Terminal.require(
            json ? outcome.json.text : outcome.text(volume: access.path, output: output))
        throw ExitCode((outcome.isWhole ? FsckStatus.corrected : [.corrected, .errorsLeft]).rawValue)
    }

    private func salvage(_ host: FileBlockHost, _ credential: Credential) throws -> SalvageOutcome {
        let progress = ProgressLine("salvaging")
        defer { progress.finish() }
        _ = casemate_exit_on_interrupt(FsckStatus.cancelled.rawValue, partial)
        var options = Salvage.Options()
        options.segmentBytes = segmentSize.map { Int(clamping: $0.bytes) }
        let target: FileBlockHost
        do throws(HostError) { target = try FileBlockHost.create(path: partial) } catch {
            throw CommandFailure(error, volume: partial)
        }
        let report: SalvageReport
        do throws(VolumeError) {
            report = try Salvage.run(
                host, credential: credential, anchor: access.anchor(), to: target, newCredential: credential,
                options: options
            ) { _, done, total in progress.update(done, of: total) }
        } catch {
            target.close()
            throw CommandFailure(error, volume: access.path)
        }
        do {
            let made = try FileBlockHost.open(path: partial, FileHostOptions(readOnly: true))
            return try SalvageOutcome(report, in: made, credential: credential) { progress.update($0, of: $1) }
        } catch let error as HostError {
            throw CommandFailure(error, volume: partial)
        } catch let error as VolumeError {
            throw CommandFailure(error, volume: partial)
        }
    }

    private func lastErrorText() -> String { String(cString: strerror(errno)) }
}
