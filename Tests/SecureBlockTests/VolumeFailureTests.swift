import FailingCalls
import SimHost
import Testing

@testable import SecureBlock

/// Every call that a piece of work makes fails, once and for good: a typed error or success, never a trap and never a
/// wrong byte, and the volume opens afterwards at a commit, none older than the last that was promised.
@Suite struct VolumeFailureTests {
    private static let plain = Result { try VolumeWork.Subject(isAnchored: false) }
    private static let anchored = Result { try VolumeWork.Subject(isAnchored: true) }
    private static let damaged = Result { try plain.get().damaged() }

    /// - Returns: the errors that were thrown.
    @discardableResult
    private func everyFailure(_ work: VolumeWork, _ way: FailureWay) throws -> [any Error] {
        var errors: [any Error] = []
        var number = 0
        while true {
            let run = VolumeRun(try subject(work, way))
            let (isReached, error) = way.run(from: number, run.host, run.anchor) { try run.perform(work) }
            let message = "\(work), \(way), call \(number): \(error.map { "\($0)" } ?? "no error")"
            #expect(error.map { isReached && Self.isTyped($0) } ?? true, "\(message)")
            if let error { errors.append(error) }
            // What was damaged before a repair still is when that fails.
            if work != .repairing || error == nil {
                try run.expectSound(message, leavesSegments: way.isOfReading)
            }
            if !isReached { break }
            // All of the first calls, then fewer and fewer: what comes later is more of the same.
            number += 1 + number / 40
        }
        return errors
    }

    private func subject(_ work: VolumeWork, _ way: FailureWay) throws -> VolumeWork.Subject {
        if work == .repairing { return try Self.damaged.get() }
        return try isAnchor(way) ? Self.anchored.get() : Self.plain.get()
    }

    private func isAnchor(_ way: FailureWay) -> Bool {
        if case .anchor = way.kind { true } else { false }
    }

    private static func isTyped(_ error: any Error) -> Bool {
        error is VolumeError || error is DeviceError || error is KeySlotChangeError || error is ResizeError
            || error is SnapshotError || error is ReshapeError
    }

    @Test(arguments: VolumeWork.allCases, [1, Int.max])
    func everyCallOfTheCryptoLibrary(_ work: VolumeWork, times: Int) throws {
        let errors = try everyFailure(work, FailureWay(kind: .crypto, times: times))
        #expect(work == .checking || !errors.isEmpty)
        if work == .keys || work == .rotation {
            #expect(errors.contains { if case KeySlotChangeError.crypto = $0 { true } else { false } })
        }
        if work == .reading {
            #expect(errors.contains { if case VolumeError.crypto = $0 { true } else { false } })
        }
    }

    static let hostWays = [
        FailureWay(kind: .host(.read, FailureWay.ioError), times: 1),
        FailureWay(kind: .host(.read, FailureWay.ioError)),
        FailureWay(kind: .host(.write, FailureWay.ioError), times: 3),
        FailureWay(kind: .host(.write, .noSpace)),
        FailureWay(kind: .host(.flush, FailureWay.ioError), times: 1),
        FailureWay(kind: .host(.allocate, FailureWay.ioError)),
        FailureWay(kind: .host(.allocate, .noSpace)),
    ]

    @Test(arguments: VolumeWork.allCases, hostWays)
    func everyCallOfTheHost(_ work: VolumeWork, _ way: FailureWay) throws {
        try everyFailure(work, way)
    }

    @Test(
        arguments: [VolumeWork.writing, .keys, .rotation, .snapshots, .growing, .shrinking, .history],
        [false, true])
    func everyUpdateOfTheAnchor(_ work: VolumeWork, applied: Bool) throws {
        let way = FailureWay(kind: .anchor(.unavailable("test"), applied: applied), times: 1)
        #expect(try !everyFailure(work, way).isEmpty)
    }

    // MARK: new volumes

    static let creationWays =
        [
            FailureWay(kind: .crypto, times: 1),
            FailureWay(kind: .anchor(.unavailable("test"), applied: false), times: 1),
            FailureWay(kind: .anchor(.unavailable("test"), applied: true), times: 1),
            FailureWay(kind: .anchor(.refused("test"), applied: false)),
        ] + hostWays

    /// A volume whose making fails is none yet, or one that is empty; the place can be used again.
    @Test(arguments: creationWays) func creating(_ way: FailureWay) throws {
        var errors: [any Error] = []
        var number = 0, isReached = true
        while isReached {
            // Zeros, as a new block device has them: they are looked at.
            let host = CrashHost(), anchor = FailingAnchor(nil)
            try host.allocate(offset: 0, byteCount: UInt64(300 * blockBytes))
            let outcome = way.run(from: number, host, anchor) {
                try DeviceTesting.create(host, blocks: 60, anchor: anchor)
            }
            isReached = outcome.isReached
            let message = "creating, \(way), call \(number): \(outcome.error.map { "\($0)" } ?? "no error")"
            #expect(outcome.error.map { isReached && $0 is VolumeError } ?? true, "\(message)")
            if let error = outcome.error { errors.append(error) }
            do {
                let device = try DeviceTesting.open(
                    MemoryBlockHost(contents: host.contents), anchor: anchor, mode: .readOnly)
                #expect(try DeviceTesting.contents(device).allSatisfy { $0 == 0 }, "\(message)")
            } catch let error as VolumeError {
                #expect(outcome.error != nil, "\(message); then \(error)")
            }
            number += 1 + number / 40
        }
        if case .crypto = way.kind {
            #expect(errors.contains { if case VolumeError.crypto = $0 { true } else { false } })
        }
    }

    /// A salvage from or to a host that fails: an error, or a new volume each block of which is right or known to be lost.
    @Test(arguments: [FailureWay(kind: .crypto, times: 1)] + hostWays, [true, false])
    func salvaging(_ way: FailureWay, isTarget: Bool) throws {
        let subject = try Self.plain.get()
        var number = 0, isReached = true
        while isReached {
            let source = CrashHost(contents: subject.contents), target = CrashHost()
            let outcome = way.run(from: number, isTarget ? target : source, nil) {
                _ = try Salvage.run(
                    source, credential: DeviceTesting.keyFile(), to: target, newCredential: DeviceTesting.keyFile(9)
                )
            }
            isReached = outcome.isReached
            let message = "salvaging, \(way), call \(number): \(outcome.error.map { "\($0)" } ?? "no error")"
            #expect(outcome.error.map { isReached && $0 is VolumeError } ?? true, "\(message)")
            if outcome.error == nil {
                try expectSalvaged(target.contents, subject.model, mayLose: isReached, message)
            }
            number += 1 + number / 10
        }
    }

    private func expectSalvaged(_ contents: SparseBytes, _ model: [UInt64], mayLose: Bool, _ message: String) throws
    {
        let device = try SecureDevice.open(
            MemoryBlockHost(contents: contents), credential: DeviceTesting.keyFile(9), mode: .readOnly)
        for block in model.indices {
            do {
                // What cannot be read of the newest may be there from before.
                let isRight = try DeviceTesting.holds(device, UInt64(block), model[block])
                #expect(isRight || mayLose, "\(message), block \(block)")
            } catch {
                #expect(mayLose, "\(message), block \(block)")
                #expect(error as? DeviceError == .unreadable(LogicalBlock(UInt64(block)), .lost))
            }
        }
    }
}
