import EncFS
import Imaging
import LibOSCore
import MemFS
import SecureBlock
import Testing
import UnionFS
import VFS

/// How a library OS ships its files: an image, pinned by its root hash, below an encrypted volume that takes all changes.
@Suite struct ImageUnionTests {
    /// What the host has, and the root hash, which the program has.
    private struct Machine {
        let imageHost = MemoryBlockHost()
        let volumeHost = MemoryBlockHost()
        let anchor = MemoryAnchor()
        let root: TreeHash
        let credential: Credential

        init() throws {
            let shipped = MemFS(maximumBytes: 16 << 20, rootPermissions: 0o755)
            let context = FileContext(Namespace(root: shipped))
            try context.mkdir("/bin", permissions: 0o755)
            try context.mkdir("/etc", permissions: 0o755)
            try context.put("/bin/program", String(repeating: "code ", count: 20_000), permissions: 0o755)
            try context.put("/etc/settings", "as shipped")
            try context.put("/etc/old", "not needed")
            root = try ImageBuild.run(shipped, on: imageHost, scratch: MemoryBlockHost(), ImageBuild.Options())
                .rootHash
            credential = .keyFile(
                try Array(0..<32 as Range<UInt8>).withUnsafeBytes { try SecretBytes(copying: $0) })
            var options = VolumeOptions(logicalBytes: 8 << 20)
            options.segmentBytes = 64 << 10
            try SecureDevice.create(on: volumeHost, options, credential: credential, anchor: anchor)
            let device = try SecureDevice.open(LentHost(volumeHost), credential: credential, anchor: anchor)
            try EncFS.format(device, EncFS.FormatOptions())
            try device.close()
        }

        /// Starts, runs and ends as the library OS would.
        func run(_ body: (FileContext) throws -> Void) throws {
            let image = try ImageDevice.open(imageHost, root: .pinned(root))
            var reading = EncFS.MountOptions()
            reading.readOnly = true
            let below = try EncFS(mounting: image, reading)
            let device = try SecureDevice.open(LentHost(volumeHost), credential: credential, anchor: anchor)
            let above = try EncFS(mounting: device, EncFS.MountOptions())
            try body(FileContext(Namespace(root: try UnionFS(upper: above, lowers: [below])), umask: 0o022))
            try above.close()
            try device.close()
        }

        var imageBytes: [UInt8] {
            get throws {
                let buffer = AlignedBuffer(byteCount: Int(try imageHost.byteCount()))
                try imageHost.read(at: 0, into: buffer.bytes)
                return Array(buffer.bytes)
            }
        }
    }

    @Test func changesGoToTheVolumeAndTheImageStays() throws {
        let machine = try Machine()
        let before = try machine.imageBytes
        try machine.run { context in
            #expect(try context.list("/") == ["bin", "etc"])
            let settings = try context.open("/etc/settings", [.writeOnly, .truncate])
            _ = try context.write(settings, Array("as changed".utf8))
            try context.fsync(settings)
            try context.close(settings)
            try context.unlink("/etc/old")
            try context.put("/etc/new", "mine")
            let program = try context.open("/bin/program", .readWrite)
            _ = try context.pwrite(program, Array("CODE".utf8), at: 50_000)
            try context.close(program)
        }
        #expect(try machine.imageBytes == before)
        try machine.run { context in
            #expect(try context.list("/etc") == ["new", "settings"])
            #expect(try context.text("/etc/settings") == "as changed")
            let program = try context.open("/bin/program")
            #expect(try context.pread(program, count: 15, at: 49_995) == Array("code CODE code ".utf8))
            #expect(try context.stat("/bin/program").size == 100_000)
        }
        // The image by itself is as it was shipped.
        let image = try ImageDevice.open(machine.imageHost, root: .pinned(machine.root))
        #expect(try image.check { Issue.record("\($0)") } == image.logicalBlockCount)
        var reading = EncFS.MountOptions()
        reading.readOnly = true
        let shipped = FileContext(Namespace(root: try EncFS(mounting: image, reading)))
        #expect(try shipped.text("/etc/settings") == "as shipped" && shipped.list("/etc") == ["old", "settings"])
        #expect(throws: VFSError.self) { try shipped.put("/etc/settings", "no") }
    }

    @Test func anotherImageDoesNotStart() throws {
        let machine = try Machine()
        var bytes = try machine.imageBytes
        bytes[40] ^= 1
        try machine.imageHost.write(at: 0, UnsafeRawBufferPointer(aligned(bytes.prefix(blockBytes)).bytes))
        #expect(throws: ImageError.self) { try machine.run { _ in } }
    }

    private func aligned(_ bytes: some Collection<UInt8>) -> AlignedBuffer {
        let buffer = AlignedBuffer(byteCount: bytes.count)
        buffer.bytes.copyBytes(from: bytes)
        return buffer
    }
}
