import SimHost
import Testing

@testable import SecureBlock

/// Everything ever written to the log, over crashes, rollbacks and clones: what I1 and I5 forbid is looked for in the
/// bytes themselves.
@Suite struct DeviceLedgerTests {
    private struct Place: Hashable {
        var epoch: Tag
        var segment: UInt32
        var block: UInt32
        var generation: Generation
    }
    private struct Number: Hashable {
        var epoch: Tag
        var sequence: SequenceNumber
    }

    /// Branches from one another's crash images, the host winding back as it likes.
    @Test(arguments: [1, 2, 3] as [UInt64])
    func noPlaceAndNoNumberIsSealedTwice(seed: UInt64) throws {
        var generator = SeededGenerator(seed)
        var places: [Place: Tag] = [:], numbers: [Number: Tag] = [:], roots: [Number: Tag] = [:]
        let first = CrashHost()
        try DeviceTesting.create(first, blocks: 40)
        var pool = [first.contents]
        var records = 0
        for _ in 0..<25 {
            // Any earlier state may come back, also the same one twice: a clone.
            let host = CrashHost(contents: pool[Int.random(in: 0..<pool.count, using: &generator)])
            let device = try DeviceTesting.open(host, checkpointInterval: 20 * blockBytes)
            for step: UInt64 in 0..<30 {
                do {
                    try DeviceTesting.write(device, UInt64.random(in: 0..<40, using: &generator), step + 1)
                } catch {
                    guard DeviceTesting.isShortOfSpace(error) else { throw error }
                }
                if step % 4 == 0 { try device.commit().wait() }
            }
            pool.append(host.contents)
            for case .write(let write) in host.events {
                write.bytes.withUnsafeBytes { bytes in
                    let block = UnsafeRawBufferPointer(rebasing: bytes[..<blockBytes])
                    if let header = ClearRecordHeader(block) {
                        let place = Place(
                            epoch: header.epoch, segment: header.position.segment, block: header.position.block,
                            generation: header.generation)
                        let number = Number(epoch: header.epoch, sequence: header.sequence)
                        #expect(places.updateValue(header.tag, forKey: place) ?? header.tag == header.tag)
                        #expect(numbers.updateValue(header.tag, forKey: number) ?? header.tag == header.tag)
                        records += 1
                    } else if let claim = Root.claim(block) {
                        let tag = Tag(loading: UnsafeRawBufferPointer(rebasing: block[64..<80]))
                        let number = Number(epoch: claim.epoch, sequence: SequenceNumber(claim.number))
                        #expect(roots.updateValue(tag, forKey: number) ?? tag == tag)
                    }
                }
            }
        }
        #expect(records > 200 && roots.count > 50)
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
