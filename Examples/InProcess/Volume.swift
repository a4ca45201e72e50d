import EncFS
import HostFS
import LibOSCore
import MemFS
import SecureBlock
import VFS

/// An open volume with its filesystem.
struct Volume {
    private let place: Place
    private let device: SecureDevice
    private let files: EncFS

    /// Opens the volume, making it first where there is none.
    init(at place: Place) throws {
        self.place = place
        let credential = Credential.keyFile(try place.key())
        // On real machines the anchor lies on other storage than the volume: whoever can put both back undetected can
        // put back an old state.
        let anchor = FileAnchor(path: place.anchor)
        if !place.volumeExists {
            let host = try FileBlockHost.create(path: place.volume)
            defer { host.close() }
            try SecureDevice.create(
                on: host, VolumeOptions(logicalBytes: 64 << 20), credential: credential, anchor: anchor)
        }
        let host = try FileBlockHost.open(path: place.volume)
        do {
            device = try SecureDevice.open(host, credential: credential, anchor: anchor)
        } catch {
            host.close()
            throw error
        }
        do {
            files = try Self.mount(device)
        } catch {
            try device.close()
            throw error
        }
    }

    private static func mount(_ device: SecureDevice) throws(EncFSError) -> EncFS {
        do throws(EncFSError) {
            return try EncFS(mounting: device, EncFS.MountOptions())
        } catch .notFormatted {
            try EncFS.format(device, EncFS.FormatOptions())
            return try EncFS(mounting: device, EncFS.MountOptions())
        }
    }

    /// A fresh namespace with the volume at `/`, memory at `/tmp` and the shared directory at `/host`.
    func context() throws -> FileContext {
        let namespace = Namespace(root: files)
        let context = FileContext(namespace)
        let present = try context.names(in: "/")
        for name in ["tmp", "host"] where !present.contains(Array(name.utf8)) {
            try context.mkdir("/\(name)", permissions: 0o755)
        }
        try namespace.mount(MemFS(maximumBytes: 8 << 20), at: "/tmp")
        try namespace.mount(HostFS(root: place.shared, readOnly: true), at: "/host")
        return context
    }

    /// Commits, durable on return, and lets go of the file.
    func close() throws {
        try files.close()
        try device.close()
    }
}
