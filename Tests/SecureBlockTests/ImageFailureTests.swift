import SimHost
import Testing

@testable import SecureBlock

/// Calls that fail under an image, from its making to its check: a typed error, and no block that is not the one put in.
@Suite struct ImageFailureTests {
    static let ways = [
        FailureWay(kind: .crypto, times: 1), FailureWay(kind: .crypto),
        FailureWay(kind: .host(.read, FailureWay.ioError), times: 1),
        FailureWay(kind: .host(.read, FailureWay.ioError)),
        FailureWay(kind: .host(.write, FailureWay.ioError)), FailureWay(kind: .host(.write, .noSpace), times: 1),
        FailureWay(kind: .host(.flush, FailureWay.ioError), times: 1),
        FailureWay(kind: .host(.allocate, .noSpace)),
    ]
    private static let blocks = (0..<300).map { ImageSubject.block($0, isZero: $0 % 7 == 0) }

    /// - Returns: what was thrown by making, by opening, and by reading.
    private func everyFailure(_ way: FailureWay, on contents: SparseBytes, _ body: (CrashHost) throws -> Void)
        -> [any Error]
    {
        var errors: [any Error] = []
        var number = 0
        while true {
            let host = CrashHost(contents: contents)
            let (isReached, error) = way.run(from: number, host, nil) { try body(host) }
            if let error { errors.append(error) }
            #expect(isReached || error == nil, "\(way), call \(number): \(error.map { "\($0)" } ?? "")")
            if !isReached { break }
            number += 1 + number / 30
        }
        return errors
    }

    @Test(arguments: ways) func making(_ way: FailureWay) throws {
        let expected = try ImageSubject(blockCount: 300) { $0 % 7 == 0 }.root
        let errors = everyFailure(way, on: SparseBytes()) { host in
            let root = try ImageSubject.write(Self.blocks, on: host)
            #expect(root == expected)
        }
        #expect(errors.allSatisfy { $0 is ImageError })
        if case .crypto = way.kind {
            #expect(errors.contains { if case ImageError.crypto = $0 { true } else { false } })
        }
    }

    @Test(arguments: ways.prefix(4)) func reading(_ way: FailureWay) throws {
        let subject = try ImageSubject(blockCount: 300) { $0 % 7 == 0 }
        let errors = everyFailure(way, on: subject.host.contents) { host in
            let isImage = try ImageDevice.isImage(host)
            let device = try ImageDevice.open(host, root: .pinned(subject.root))
            #expect(isImage && device.imageBytes == UInt64(subject.host.contents.byteCount))
            for block in stride(from: 0, to: 300, by: 17) {
                let contents = try device.contents(block)
                #expect(contents == Self.blocks[block], "block \(block)")
            }
        }
        #expect(!errors.isEmpty && errors.allSatisfy { $0 is ImageError || $0 is DeviceError || $0 is HostError })
        let reasons = errors.compactMap { error -> UnreadableReason? in
            if case DeviceError.unreadable(_, let reason) = error { reason } else { nil }
        }
        #expect(!reasons.isEmpty && reasons.allSatisfy { isOfTheWay($0, way) }, "\(reasons)")
    }

    /// A block that could not be hashed or read does not pass for one that was changed.
    private func isOfTheWay(_ reason: UnreadableReason, _ way: FailureWay) -> Bool {
        switch reason {
        case .crypto: if case .crypto = way.kind { true } else { false }
        case .host: way.isOfReading
        default: false
        }
    }

    /// A check that cannot read or hash says so of each block, or fails; it never says that all is well.
    @Test(arguments: ways.prefix(4)) func checking(_ way: FailureWay) throws {
        let subject = try ImageSubject(blockCount: 300) { $0 % 7 == 0 }
        var failures = 0
        let errors = everyFailure(way, on: subject.host.contents) { host in
            let device = try ImageDevice.open(host, root: .pinned(subject.root))
            var found = 0
            let verified = try device.check { finding in
                found += 1
                #expect(isOfTheWay(finding.reason, way), "\(finding)")
            }
            #expect((verified == 300) == (found == 0))
            failures += found
        }
        #expect(errors.count + failures > 1)
    }
}
