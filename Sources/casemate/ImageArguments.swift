import ArgumentParser
import CommandSupport
import EncFS
import Inspection
import SecureBlock

/// Which image it has to be.
struct ImageArguments: ParsableArguments {
    @Option(
        name: .customLong("root-hash"),
        help: ArgumentHelp("For an image: the root hash that casemate image build printed.", valueName: "hex"))
    var rootHash: TreeHash?

    /// A mount's own process has opened its image by then.
    func refuseMounted(_ path: String) throws(CommandFailure) {
        guard isGiven else { return }
        throw CommandFailure(.usage, "--root-hash is for an image's file, and this is a mount", at: path)
    }

    var isGiven: Bool { rootHash != nil }
    var root: ImageDevice.Root { rootHash.map { .pinned($0) } ?? .asFound }
}

extension TreeHash: ExpressibleByArgument {
    public init?(argument: String) { self.init(argument) }
    public var defaultValueDescription: String { description }
}

/// An image as a command names it, with every failure turned into one for people.
struct ImageAccess {
    let path: String
    let root: ImageDevice.Root

    /// Whether the file at `access` holds an image; options that are for the other kind are refused either way.
    /// - Parameter others: further options that only volumes have, by name, and whether they were given.
    static func find(
        _ host: FileBlockHost, _ access: VolumeAccess, _ secrets: SecretArguments, _ arguments: ImageArguments,
        others: [(name: String, isGiven: Bool)] = []
    ) throws(CommandFailure) -> ImageAccess? {
        let isImage: Bool
        do throws(HostError) { isImage = try ImageDevice.isImage(host) } catch {
            throw CommandFailure(error, volume: access.path)
        }
        guard isImage else {
            if arguments.isGiven { throw CommandFailure(ImageError.notAnImage, image: access.path) }
            return nil
        }
        let given = (secrets.given + others).filter(\.isGiven).map(\.name)
        guard given.isEmpty else {
            throw CommandFailure(
                .usage,
                "an image, and \(given.joined(separator: ", ")) \(given.count == 1 ? "is" : "are") for volumes",
                at: access.path, advice: "An image has no keys, no anchor and no history: it has a root hash.")
        }
        return ImageAccess(path: access.path, root: arguments.root)
    }

    func open(_ host: FileBlockHost) throws(CommandFailure) -> ImageDevice {
        var options = ImageDevice.Options()
        options.allowsSurplus = host.isDevice
        do throws(ImageError) {
            return try ImageDevice.open(host, root: root, options)
        } catch { throw CommandFailure(error, image: path) }
    }

    func summary(_ image: ImageDevice, _ host: FileBlockHost) throws(CommandFailure) -> ImageSummary {
        do throws(HostError) {
            return ImageSummary(image, storeBytes: try host.byteCount())
        } catch { throw CommandFailure(error, volume: path) }
    }

    func warn(_ image: ImageDevice) {
        for warning in ImageSummary.exposure(of: image) { Terminal.note("casemate: warning: \(warning)") }
    }
}

extension SecretArguments {
    /// What may have been given, by name.
    fileprivate var given: [(name: String, isGiven: Bool)] {
        [
            ("--passphrase-file", passphraseFile != nil), ("--key-file", keyFile != nil),
            ("--tpm", tpm), ("--tpm-pin", pin.asks), ("--tpm-pin-file", pin.file != nil),
            ("--anchor", anchor != nil), ("--adopt-anchor", adoptsAnchor), ("--anchor-window", anchorWindow != nil),
        ]
    }
}
