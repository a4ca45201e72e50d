import BlockFS
import CommandSupport
import EncFS
import FUSEFront
import Glibc
import HostFS
import LibOSCore
import Logging
import MemFS
import SecureBlock
import UnionFS
import VFS
import VolumeControl

/// What one run serves, opened and closed again: filesystems mounted into one namespace, or one block device.
final class Assembly {
    struct Settings {
        var readOnly = false
        var noAccessTime = false
        var commitSeconds: Int?
        var returnsFreeSpace = false
        var anchor: AnchorSource?
        /// The secret for a volume; asked for once its file is known to be there and free.
        var credential: (_ volume: String) throws(CommandFailure) -> Credential
        var faults: FaultLog
    }

    /// An open volume.
    private struct Volume {
        var path: String
        var device: SecureDevice
        var host: FileBlockHost
        /// What stands on the device, and alone commits it.
        var files: any FileSystem
        /// Commits and ends that.
        var close: () throws(CommandFailure) -> Void
    }

    private var volumes: [Volume] = []
    private var namespace: Namespace
    private var block: BlockFS?

    /// What is to be mounted.
    var filesystem: any FileSystem { block ?? namespace }

    /// Opens everything, in the given order; closes what was opened when something fails.
    init(_ mounts: [MountArgument], block: String?, _ settings: Settings) throws(CommandFailure) {
        // Until the root is known; replaced below before anybody sees it.
        namespace = Namespace(root: MemFS())
        do throws(CommandFailure) {
            let rootMount = mounts.first { $0.isRoot }
            if let rootMount {
                namespace = Namespace(root: try open(rootMount, settings), readOnly: settings.readOnly)
            }
            for mount in mounts where !mount.isRoot { try attach(mount, settings) }
            if let block { self.block = try openBlock(block, settings) }
        } catch {
            for failure in close() { Terminal.note("fuse-debug: \(failure)") }
            throw error
        }
    }

    private func open(_ mount: MountArgument, _ settings: Settings) throws(CommandFailure) -> any FileSystem {
        guard mount.kind == .union else { return try open(mount.layers[0], settings) }
        var layers: [any FileSystem] = []
        for layer in mount.layers { layers.append(try open(layer, settings)) }
        do throws(VFSError) {
            return try UnionFS(upper: layers[0], lowers: Array(layers[1...]))
        } catch {
            throw CommandFailure(.hostFailed, "\(error)", at: mount.source)
        }
    }

    private func open(_ mount: MountArgument.Layer, _ settings: Settings) throws(CommandFailure) -> any FileSystem {
        switch mount.kind {
        case .union: throw CommandFailure(.internal, "a union in a union", at: mount.source)
        case .mem: return MemFS(rootOwner: Caller(user: geteuid(), group: getegid()))
        case .host:
            do throws(VFSError) {
                return try HostFS(root: mount.source, readOnly: settings.readOnly)
            } catch {
                throw CommandFailure(.hostFailed, "\(error)", at: mount.source)
            }
        case .enc: return try openVolume(mount.source, settings)
        case .image:
            guard let image = mount.image else {
                throw CommandFailure(.usage, "no image and root hash", at: mount.source)
            }
            return try openImage(image.path, image.root, settings)
        }
    }

    private func openImage(_ path: String, _ root: TreeHash, _ settings: Settings) throws(CommandFailure) -> EncFS {
        let host: FileBlockHost
        do throws(HostError) {
            host = try FileBlockHost.open(path: path, FileHostOptions(readOnly: true))
        } catch { throw CommandFailure(error, volume: path) }
        var opening = ImageDevice.Options()
        opening.allowsSurplus = host.isDevice
        var mounting = EncFS.MountOptions()
        mounting.readOnly = true
        let faults = settings.faults
        mounting.reportFault = { faults.report("\(path): \($0)") }
        do {
            // The device keeps its host, and the host closes with it.
            return try EncFS(mounting: ImageDevice.open(host, root: .pinned(root), opening), mounting)
        } catch let error as ImageError {
            throw CommandFailure(error, image: path)
        } catch let error as EncFSError {
            throw CommandFailure(error, volume: path)
        } catch { throw CommandFailure(.internal, "\(error)", at: path) }
    }

    private func openVolume(_ path: String, _ settings: Settings) throws(CommandFailure) -> EncFS {
        let (device, host) = try openDevice(path, settings)
        var options = EncFS.MountOptions()
        options.readOnly = settings.readOnly
        options.noAccessTime = settings.noAccessTime
        if let seconds = settings.commitSeconds { options.commitIntervalMilliseconds = seconds * 1000 }
        let faults = settings.faults
        options.reportFault = { faults.report("\(path): \($0)") }
        do throws(EncFSError) {
            let files = try EncFS(mounting: device, options)
            volumes.append(
                Volume(path: path, device: device, host: host, files: files) { () throws(CommandFailure) in
                    do throws(EncFSError) { try files.close() } catch { throw CommandFailure(error, volume: path) }
                })
            return files
        } catch {
            abandon(device, path)
            throw CommandFailure(error, volume: path)
        }
    }

    private func openBlock(_ path: String, _ settings: Settings) throws(CommandFailure) -> BlockFS {
        let (device, host) = try openDevice(path, settings)
        var options = BlockFS.Options()
        (options.owner, options.group) = (geteuid(), getegid())
        if let seconds = settings.commitSeconds { options.commitIntervalMilliseconds = seconds * 1000 }
        let faults = settings.faults
        options.reportFault = { faults.report("\(path): \($0)") }
        do throws(CommandFailure) {
            try refuseFileSystem(on: device, path, settings)
            let files: BlockFS
            do throws(VFSError) { files = try BlockFS(device, options) } catch {
                throw CommandFailure(.internal, "\(error)", at: path)
            }
            volumes.append(
                Volume(path: path, device: device, host: host, files: files) { () throws(CommandFailure) in
                    do throws(VFSError) { try files.close() } catch {
                        throw CommandFailure(
                            .hostFailed, "the last changes are lost: \(error)", at: path,
                            advice: "What was synced is safe. Mend the cause and mount again.")
                    }
                })
            return files
        } catch {
            abandon(device, path)
            throw error
        }
    }

    /// Whoever writes to the blocks below files destroys them; looking is free.
    private func refuseFileSystem(
        on device: SecureDevice, _ path: String, _ settings: Settings
    ) throws(CommandFailure) {
        guard !settings.readOnly else { return }
        let isThere: Bool
        do throws(EncFSError) { isThere = try EncFS.isPresent(on: device) } catch {
            throw CommandFailure(error, volume: path)
        }
        if isThere {
            throw CommandFailure(
                .notEmpty, "a filesystem of Casemate's own is on it, which other writers would destroy", at: path,
                advice:
                    "Mount that: casemate mount. Or make a volume without one: casemate create --no-filesystem. "
                    + "To look at its blocks: --read-only.")
        }
    }

    private func abandon(_ device: SecureDevice, _ path: String) {
        do throws(DeviceError) { try device.close() } catch {
            Terminal.note("fuse-debug: \(CommandFailure(error, volume: path))")
        }
    }

    /// Answers for the volume, where there is exactly one.
    func controlService(_ logger: Logger) -> MountedVolume? {
        guard volumes.count == 1, let volume = volumes.first else { return nil }
        return MountedVolume(
            path: volume.path, device: volume.device, host: volume.host, files: volume.files, logger: logger)
    }

    private func openDevice(_ path: String, _ settings: Settings) throws(CommandFailure) -> (
        SecureDevice, FileBlockHost
    ) {
        let host: FileBlockHost
        do throws(HostError) {
            host = try FileBlockHost.open(path: path, FileHostOptions(readOnly: settings.readOnly))
        } catch { throw CommandFailure(error, volume: path) }
        do {
            let credential = try settings.credential(path)
            var options = DeviceOptions()
            options.acceptsMissingAnchor = settings.anchor == AnchorSource.none
            options.returnsFreeSpace = settings.returnsFreeSpace
            let device = try SecureDevice.open(
                host, credential: credential, anchor: settings.anchor?.anchor,
                mode: settings.readOnly ? .readOnly : .readWrite,
                options: options)
            return (device, host)
        } catch {
            host.close()
            if let error = error as? VolumeError { throw CommandFailure(error, volume: path) }
            if let error = error as? CommandFailure { throw error }
            throw CommandFailure(.internal, "\(error)", at: path)
        }
    }

    private func attach(_ mount: MountArgument, _ settings: Settings) throws(CommandFailure) {
        do throws(VFSError) {
            try makeDirectories(mount.components)
        } catch {
            throw CommandFailure(
                .mountpointUnsuitable, "no directory to mount onto: \(error)", at: mount.path,
                advice: "Make it in the filesystem above.")
        }
        let files = try open(mount, settings)
        do throws(VFSError) {
            try namespace.mount(files, at: mount.path, readOnly: settings.readOnly)
        } catch {
            throw CommandFailure(.mountpointUnsuitable, "cannot be mounted onto: \(error)", at: mount.path)
        }
    }

    /// What is missing of the way to a mount, for the user who runs this.
    private func makeDirectories(_ components: [Substring]) throws(VFSError) {
        var directory = namespace.root
        for component in components {
            let name = try Name(String(component))
            let entry: Entry
            do throws(VFSError) {
                entry = try namespace.lookup(name, in: directory)
            } catch {
                guard error.errno == .noSuchFileOrDirectory else { throw error }
                entry = try namespace.make(
                    NewNode(kind: .directory, permissions: 0o755), named: name, in: directory,
                    by: Caller(user: geteuid(), group: getegid()))
            }
            // The directory stays, if only by its name: nobody else uses the namespace yet.
            if entry.node != namespace.root { namespace.forget(entry.node, count: 1) }
            directory = entry.node
        }
    }

    /// Commits and closes all volumes, the others with them.
    /// - Returns: what could not be closed, and is durable only up to an earlier commit.
    func close() -> [CommandFailure] {
        var failures: [CommandFailure] = []
        for volume in volumes.reversed() {
            do throws(CommandFailure) { try volume.close() } catch { failures.append(error) }
            do throws(DeviceError) { try volume.device.close() } catch {
                failures.append(CommandFailure(error, volume: volume.path))
            }
        }
        volumes = []
        return failures
    }
}
