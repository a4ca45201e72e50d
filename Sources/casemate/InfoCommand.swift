import ArgumentParser
import CommandSupport
import EncFS
import Inspection
import SecureBlock
import VolumeControl

struct InfoCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "info", abstract: "Tell what a volume is and how it stands.",
        discussion: """
            Shows identity and format, sizes and use, the last commit, the anchor, and the key slots; and says what is damaged or missing. \
            Changes nothing. VOLUME may also be the directory where the volume is mounted: then the process that serves it tells.

            With --where PATH (a path inside the volume, from its root) it lists the byte offsets in VOLUME where that file's data \
            lies now. VOLUME may also be an image, which needs no key; with --root-hash it has to be that one.
            """)

    @Argument(help: "The volume's file or block device, or where it is mounted.", completion: .file())
    var volume: String

    @OptionGroup var secrets: SecretArguments
    @OptionGroup var images: ImageArguments

    @Option(
        name: .customLong("where"), help: ArgumentHelp("List where a file's live blocks are.", valueName: "path"))
    var location: String?

    @Flag(help: "Print as JSON.")
    var json = false

    func run() throws {
        let access = VolumeAccess(path: volume, secrets)
        let host: FileBlockHost
        switch try access.find(.readOnly) {
        case .file(let found): host = found
        case .mounted(let client):
            try images.refuseMounted(volume)
            return try access.ask(
                client, location.map { .whereabouts(path: $0, json: json) } ?? .info(json: json))
        }
        let whereGiven = [(name: "--where", isGiven: location != nil)]
        if let image = try ImageAccess.find(host, access, secrets, images, others: whereGiven) {
            defer { host.close() }
            let device = try image.open(host)
            image.warn(device)
            let summary = try image.summary(device, host)
            return try Terminal.require(json ? summary.json.text : summary.text(image: volume))
        }
        let device = try access.openDevice(.readOnly, on: host)
        let text: String
        if let location {
            let found = try access.whereabouts(of: location, on: device)
            text = json ? found.json.text : found.text
        } else {
            let storeBytes: UInt64
            do throws(HostError) { storeBytes = try host.byteCount() } catch {
                throw CommandFailure(error, volume: volume)
            }
            let summary = VolumeSummary(device.status, storeBytes: storeBytes)
            text = json ? summary.json.text : summary.text(volume: volume)
            for warning in summary.warnings { Terminal.note("casemate: warning: \(warning)") }
        }
        try access.close(device)
        try Terminal.require(text)
    }
}
