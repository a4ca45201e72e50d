import CommandSupport
import FUSEFront
import Foundation
import Testing

@Suite struct CommandStatusTests {
    /// The numbers are a promise to scripts: this table is changed by adding to it only.
    static let promised: [(CommandStatus, Int32, String)] = [
        (.success, 0, "success"), (.internal, 1, "internal"), (.notAVolume, 10, "not-a-volume"),
        (.emptyFile, 11, "empty-file"), (.newerVersion, 12, "newer-version"),
        (.unknownFeatures, 13, "unknown-features"),
        (.superblocksDamaged, 14, "superblocks-damaged"), (.truncated, 15, "truncated"),
        (.metadataDamaged, 16, "metadata-damaged"), (.noSuchCommit, 17, "no-such-commit"),
        (.blockUnreadable, 18, "block-unreadable"), (.filesystemDamaged, 19, "filesystem-damaged"),
        (.wrongCredential, 20, "wrong-credential"), (.keySlotDamaged, 21, "key-slot-damaged"),
        (.noKeySlot, 22, "no-key-slot"), (.credentialUnusable, 23, "credential-unusable"),
        (.cryptoFailed, 24, "crypto-failed"), (.keySlotRefused, 25, "key-slot-refused"),
        (.tpmUnavailable, 26, "tpm-unavailable"), (.tpmRefused, 27, "tpm-refused"),
        (.tpmLockedOut, 28, "tpm-locked-out"),
        (.noSuchSnapshot, 60, "no-such-snapshot"), (.snapshotRefused, 61, "snapshot-refused"),
        (.resizeRefused, 62, "resize-refused"),
        (.rollback, 30, "rollback"), (.fork, 31, "fork"),
        (.anchorUnavailable, 32, "anchor-unavailable"), (.anchorOfAnotherVolume, 33, "anchor-of-another-volume"),
        (.anchorRequired, 34, "anchor-required"), (.inUse, 40, "in-use"), (.readOnlyHost, 41, "read-only-host"),
        (.hostFull, 42, "host-full"), (.hostFailed, 43, "host-failed"), (.volumeMissing, 44, "volume-missing"),
        (.volumeForbidden, 45, "volume-forbidden"), (.notEmpty, 46, "not-empty"), (.volumeFull, 47, "volume-full"),
        (.notAFile, 48, "not-a-file"), (.fileMissing, 49, "file-missing"),
        (.mountpointMissing, 50, "mountpoint-missing"),
        (.mountpointUnsuitable, 51, "mountpoint-unsuitable"), (.mountpointNotEmpty, 52, "mountpoint-not-empty"),
        (.mountpointHoldsVolume, 53, "mountpoint-holds-volume"), (.alreadyMounted, 54, "already-mounted"),
        (.notMounted, 55, "not-mounted"), (.mountBusy, 56, "mount-busy"),
        (.fuseUnavailable, 57, "fuse-unavailable"),
        (.daemonLost, 58, "daemon-lost"), (.commandBusy, 59, "command-busy"),
        (.commandRefused, 63, "command-refused"), (.usage, 64, "usage"),
        (.wrongRootHash, 70, "wrong-root-hash"), (.rootHashRequired, 71, "root-hash-required"),
        (.notAnImage, 72, "not-an-image"), (.sourceUnreadable, 73, "source-unreadable"),
    ]

    @Test func numbersAndNamesAreStable() {
        for (status, number, name) in Self.promised {
            #expect(status.rawValue == number)
            #expect(status.name == name)
        }
        #expect(Set(Self.promised.map(\.0)) == Set(CommandStatus.allCases))
        #expect(Set(CommandStatus.allCases.map(\.meaning)).count == CommandStatus.allCases.count)
    }

    /// `docs/EXIT-CODES.md` has exactly the rows that the program has.
    @Test func theDocumentSaysTheSame() throws {
        let root = URL(fileURLWithPath: #filePath)
            .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
        let text = try String(contentsOf: root.appendingPathComponent("docs/EXIT-CODES.md"), encoding: .utf8)
        let rows = text.split(separator: "\n").filter { $0.contains("` | ") && $0.hasPrefix("| ") }.map(String.init)
        #expect(rows == CommandStatus.allCases.map { "| \($0.rawValue) | `\($0.name)` | \($0.meaning) |" })
    }

    @Test func aFailureSaysWhatWhereAndWhatToDo() {
        let failure = CommandFailure(.wrongCredential, "wrong passphrase", at: "x.volume", advice: "Try again.")
        #expect(
            failure.description == "x.volume: wrong passphrase [wrong-credential, exit status 20]\n  Try again.")
    }

    /// What the daemon tells whoever unmounts is said with one status, and its advice stays the last line.
    @Test func aFailedClosingIsSaidOnce() {
        let cause = CommandFailure(.hostFull, "the disk is full", at: "x.volume", advice: "Make room there.")
        let failure = CommandFailure(FUSEError.closingFailed(cause.report), mountpoint: "/mnt")
        #expect(
            failure.description
                == "unmounted, but closing failed: x.volume: the disk is full [host-failed, exit status 43]\n"
                + "  Make room there.")
        let sync = CommandFailure(FUSEError.notDurable("/mnt", .ioError), mountpoint: "/mnt")
        #expect(sync.status == .hostFailed)
        #expect(sync.what.hasPrefix("/mnt: what was written last is not durable"))
    }
}
