import SecureBlock
import SoftwareTPM
import Testing

@testable import TPM

@Suite(.serialized, .enabled(if: SoftwareTPM.isThere, "swtpm is not installed")) struct TPMAnchorTests {
    private let tpm: SoftwareTPM
    private let volume: VolumeIdentifier

    init() throws {
        tpm = try SoftwareTPM()
        volume = try .random()
    }

    private func value(_ sequence: UInt64) -> AnchorValue {
        AnchorValue(volume: volume, sequence: SequenceNumber(sequence), tag: Tag(low: sequence, high: ~sequence))
    }

    private func anchor(_ keys: UInt8..., index: UInt32 = TPMTesting.index) throws -> TPMAnchor {
        let anchor = TPMAnchor(index: index, at: TPMAddress(tpm.address))
        anchor.use(try keys.map { try TPMTesting.secret($0) })
        return anchor
    }

    @Test func remembersTheLastValue() throws {
        #expect(try anchor().load() == nil, "without a key it tells whether it is unused")
        let anchor = try anchor(1)
        #expect(try anchor.load() == nil)
        for sequence: UInt64 in 1...5 {
            try anchor.compareAndSwap(expected: sequence == 1 ? nil : value(sequence - 1), new: value(sequence))
            #expect(try anchor.load() == value(sequence))
            #expect(try self.anchor(1).load() == value(sequence))
        }
        // Without power, too.
        tpm.stop()
        try tpm.start()
        #expect(try self.anchor(1).load() == value(5))
    }

    @Test func refusesWhatItDoesNotExpect() throws {
        let anchor = try anchor(1)
        #expect(throws: AnchorError.conflict(found: nil)) {
            try anchor.compareAndSwap(expected: value(1), new: value(2))
        }
        try anchor.compareAndSwap(expected: nil, new: value(1))
        #expect(throws: AnchorError.conflict(found: value(1))) {
            try anchor.compareAndSwap(expected: nil, new: value(2))
        }
        #expect(throws: AnchorError.conflict(found: value(1))) {
            try anchor.compareAndSwap(expected: value(3), new: value(2))
        }
        #expect(try anchor.load() == value(1))
    }

    /// Who has another key, or none, neither reads it nor writes it, as often as may be tried.
    @Test func answersToOneKey() throws {
        try anchor(1).compareAndSwap(expected: nil, new: value(1))
        for other in [try anchor(2), try anchor(2, 3), try anchor()] {
            for _ in 0..<20 {
                #expect(throws: AnchorError.self) { try other.load() }
                #expect(throws: AnchorError.self) { try other.compareAndSwap(expected: value(1), new: value(2)) }
            }
        }
        #expect(try anchor(1).load() == value(1), "wrong keys lock nothing")
        // The owner may use the TPM as he likes, and not this.
        #expect(throws: SoftwareTPM.Failure.self) {
            try tpm.tool("tpm2_nvread", "-C", "o", "0x1800100")
        }
        #expect(throws: SoftwareTPM.Failure.self) {
            try tpm.tool("tpm2_nvread", "-C", "0x1800100", "0x1800100")
        }
    }

    /// Two that read the same value and both want to replace it: one is told.
    @Test func nobodyComesBetweenReadingAndWriting() throws {
        try anchor(1).compareAndSwap(expected: nil, new: value(1))
        let connection = try TPMConnection(TPMAddress(tpm.address))
        func open() throws -> NVIndex {
            guard case .index(let index) = try NVIndex.find(TPMTesting.index, connection) else {
                throw TPMError.failed("no index")
            }
            try index.use(TPMTesting.secret(1))
            return index
        }
        let (first, second) = (try open(), try open())
        #expect(try first.read() == second.read())
        _ = try first.read()
        #expect(try second.write(DiskTPMAnchor.bytes(value(2))) == false, "the first one read after it")
        #expect(try first.write(DiskTPMAnchor.bytes(value(3))))
        #expect(try first.write(DiskTPMAnchor.bytes(value(4))), "still nobody came between")
        _ = try second.read()
        #expect(try first.write(DiskTPMAnchor.bytes(value(5))) == false)
        #expect(try second.write(DiskTPMAnchor.bytes(value(6))))
        #expect(try second.read() == DiskTPMAnchor.bytes(value(6)))
    }

    /// A crash between the two commands that make an index leaves one without a value.
    @Test func anIndexWithoutValueIsTakenUp() throws {
        let address = TPMAddress(tpm.address)
        do {
            let connection = try TPMConnection(address)
            _ = try NVIndex.define(TPMTesting.index, connection, secret: TPMTesting.secret(1))
        }
        #expect(throws: AnchorError.self) { try self.anchor(2).load() }
        let anchor = try self.anchor(1)
        #expect(try anchor.load() == nil)
        try anchor.compareAndSwap(expected: nil, new: value(1))
        #expect(try anchor.load() == value(1))
    }

    /// The key that comes after a change of the volume's key is asked for once the change is settled, not before.
    @Test func followsTheVolumeKey() throws {
        try anchor(1).compareAndSwap(expected: nil, new: value(1))
        let anchor = try anchor(2, 1)
        #expect(try anchor.load() == value(1))
        try anchor.compareAndSwap(expected: value(1), new: value(2))
        #expect(try self.anchor(1).load() == value(2))
        try anchor.settle()
        #expect(try self.anchor(2).load() == value(2))
        #expect(throws: AnchorError.self) { try self.anchor(1).load() }
        try anchor.compareAndSwap(expected: value(2), new: value(3))
        #expect(try self.anchor(3, 2, 1).load() == value(3))
    }

    @Test func somebodyElsesIndexIsLeftAlone() throws {
        try tpm.tool(
            "tpm2_nvdefine", "-C", "o", "-s", "56", "-a", "ownerread|ownerwrite|authread|authwrite", "0x1800100")
        #expect(throws: AnchorError.self) { try anchor(1).load() }
        #expect(throws: AnchorError.self) { try anchor(1).compareAndSwap(expected: nil, new: value(1)) }
        try tpm.tool("tpm2_nvdefine", "-C", "o", "-s", "8", "-a", "authread|authwrite|no_da", "0x1800101")
        #expect(throws: AnchorError.self) { try anchor(1, index: 0x0180_0101).load() }
    }

    @Test func aTPMThatIsGoneIsSaid() throws {
        let anchor = try anchor(1)
        try anchor.compareAndSwap(expected: nil, new: value(1))
        tpm.stop()
        for call in [{ _ = try anchor.load() }, { try anchor.compareAndSwap(expected: value(1), new: value(2)) }] {
            do {
                try call()
                Issue.record("no error")
            } catch let error as AnchorError {
                guard case .unavailable(let reason) = error else {
                    Issue.record("\(error)")
                    continue
                }
                #expect(reason.contains(tpm.address), "\(reason)")
            }
        }
        #expect(throws: AnchorError.self) {
            try TPMAnchor(index: TPMTesting.index, at: TPMAddress("no-such-transport:")).load()
        }
    }

    /// The number of indexes that fit is the TPM's; the next one is refused as such.
    @Test func aFullTPMIsSaid() throws {
        var next = 0x0190_0000
        for bytes in ["2048", "256", "8"] {
            for _ in 0..<2000 {
                next += 1
                do {
                    let index = "0x" + String(next, radix: 16)
                    try tpm.tool("tpm2_nvdefine", "-C", "o", "-s", bytes, "-a", "authread|authwrite", index)
                } catch { break }
            }
        }
        do {
            try anchor(1).compareAndSwap(expected: nil, new: value(1))
            Issue.record("never full")
        } catch AnchorError.unavailable(let reason) {
            #expect(reason.contains("full"), "\(reason)")
        }
    }

    @Test func anOwnersPasswordIsSaid() throws {
        try tpm.tool("tpm2_changeauth", "-c", "owner", "secret")
        do {
            try anchor(1).compareAndSwap(expected: nil, new: value(1))
            Issue.record("no error")
        } catch AnchorError.unavailable(let reason) {
            #expect(reason.contains("password"), "\(reason)")
        }
    }
}
