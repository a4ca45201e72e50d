import ArgumentParser
import CommandSupport
import EncFS
import Inspection
import SecureBlock
import VFS
import VolumeControl

struct ResizeCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "resize", abstract: "Make a volume larger or smaller.",
        discussion: """
            Changes the volume and the filesystem in it. VOLUME may also be the directory where the volume is mounted: programs go on \
            meanwhile. Shrinking moves what is stored behind the new end, and is refused where the files, a snapshot or history that \
            is kept strictly need more. A crash leaves the old size or the new one, or the filesystem smaller than its volume: \
            the same command then finishes.

              casemate resize secrets.volume 4G
              casemate resize ~/secrets 1G
            """)

    @Argument(help: "The volume's file or block device, or where it is mounted.", completion: .file())
    var volume: String
    @Argument(help: "How much the volume is to hold: a number with K, M, G or T (powers of 1024).")
    var size: ByteCount
    @OptionGroup var secrets: SecretArguments

    func validate() throws {
        guard size.bytes >= 2 << 20, size.bytes % UInt64(blockBytes) == 0 else {
            throw ValidationError("SIZE is a multiple of 4096 bytes, and at least 2M.")
        }
    }

    func run() throws {
        let access = VolumeAccess(path: volume, secrets)
        let progress = ProgressLine("moving")
        switch try access.find(.readWrite) {
        case .mounted(let client): try access.ask(client, .resize(bytes: size.bytes), progress: progress)
        case .file(let host):
            try access.withDevice(on: host) { device throws(CommandFailure) in
                defer { progress.finish() }
                return try resize(device, progress)
            }
        }
    }

    private func resize(_ device: SecureDevice, _ progress: ProgressLine) throws(CommandFailure) -> String {
        let files: EncFS?
        do throws(EncFSError) { files = try EncFS(mounting: device, EncFS.MountOptions()) } catch {
            guard error == .notFormatted else { throw CommandFailure(error, volume: volume) }
            files = nil
        }
        let resizer = VolumeResizer(device, files, volume: volume) { body throws(CommandFailure) in
            guard let files else { return body() }
            do throws(VFSError) { try files.quiesced(body) } catch {
                throw CommandFailure(.hostFailed, "the volume could not be committed: \(error)", at: volume)
            }
        }
        let outcome: Result<String, CommandFailure>
        do throws(CommandFailure) {
            outcome = .success(try resizer.resize(toBytes: size.bytes) { progress.update($0, of: $1) })
        } catch { outcome = .failure(error) }
        if let files {
            do throws(EncFSError) { try files.close() } catch { throw CommandFailure(error, volume: volume) }
        }
        return try outcome.get()
    }
}
