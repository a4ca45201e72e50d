import SimHost
import Testing

@testable import SecureBlock

/// Everything ever written to the log, over crashes, rollbacks and clones: what I1 and I5 forbid is looked for in the
/// bytes themselves.
@Suite struct DeviceLedgerTests {
    /// Branches from one another's crash images, the host winding back as it likes.
    @Test(arguments: [1, 2, 3] as [UInt64])
    func noPlaceAndNoNumberIsSealedTwice(seed: UInt64) throws {
        var generator = SimRandom(seed: seed)
        let ledger = SealLedger()
        let first = CrashHost()
        try DeviceTesting.create(first, blocks: 40)
        var pool = [first.contents]
        for round in 0..<25 {
            // Any earlier state may come back, also the same one twice: a clone.
            let host = CrashHost(contents: pool[Int.random(in: 0..<pool.count, using: &generator)])
            let device = try DeviceTesting.open(host, checkpointInterval: 20 * blockBytes)
            for step: UInt64 in 0..<30 {
                if step % 10 == 9 { try resize(device, UInt64.random(in: 20...90, using: &generator)) }
                let block = UInt64.random(in: 0..<device.logicalBlockCount, using: &generator)
                do {
                    try DeviceTesting.write(device, block, step + 1)
                } catch {
                    guard DeviceTesting.isShortOfSpace(error) else { throw error }
                }
                if step % 4 == 0 { try device.commit().wait() }
                // Ends the epoch, and now and then the key.
                if step == 13, round % 3 == 0, device.status.reseal.olderKeys.count < 4 {
                    try device.commit().wait()
                    _ = try device.rotateVolumeKey(for: [DeviceTesting.keyFile()])
                }
                if step == 25, round % 4 == 0 {
                    try device.commit().wait()
                    _ = try device.reseal()
                }
            }
            pool.append(host.contents)
            for case .write(let write) in host.events {
                write.bytes.withUnsafeBytes { ledger.record(write.offset, $0) }
            }
        }
        #expect(ledger.findings == [])
        #expect(ledger.sealedCount > 1000)
    }

    /// Segments that are cut off and come again, in one epoch and over several.
    private func resize(_ device: SecureDevice, _ blocks: UInt64) throws {
        let old = device.logicalBlockCount
        if blocks < old { try device.discard(LogicalBlock(blocks), count: old - blocks) }
        try device.commit().wait()
        try device.resize(toBlocks: blocks)
    }

    /// No block of plaintext and no key ever reaches the host.
    @Test(arguments: CipherSuite.allCases) func nothingPlainReachesTheHost(cipher: CipherSuite) throws {
        let host = CrashHost()
        let canary = Array("canary in a coal mine, thirty-two".utf8.prefix(32))
        let key = Credential.keyFile(try canary.withUnsafeBytes { try SecretBytes(copying: $0) })
        try SecureDevice.create(
            on: host, DeviceTesting.options(blocks: 40, cipher: cipher), credential: key)
        var options = DeviceOptions()
        options.maintenance = .inline
        let device = try SecureDevice.open(host, credential: key, options: options)
        let block = AlignedBuffer(byteCount: blockBytes)
        // Without confidentiality the data is there to be read, and the key still is not.
        let data = cipher.isConfidential ? canary : Array("data that everybody may look at ".utf8)
        for offset in stride(from: 0, to: blockBytes, by: 32) { block.slice(offset, 32).copyBytes(from: data) }
        for logical: UInt64 in 0..<20 {
            try device.write(LogicalBlock(logical), UnsafeRawBufferPointer(block.bytes))
        }
        try device.commit().wait()
        try device.close()
        let needle = Array(canary[..<16])
        var showsData = false
        for case .write(let write) in host.events {
            let bytes = Array(write.bytes)
            showsData = showsData || bytes.count > 2 * blockBytes && bytes[blockBytes...].starts(with: data)
            var index = bytes.startIndex
            while let found = bytes[index...].firstIndex(of: needle[0]) {
                #expect(!bytes[found...].starts(with: needle), "plaintext at offset \(write.offset)")
                index = found + 1
            }
        }
        #expect(showsData == !cipher.isConfidential)
    }
}
