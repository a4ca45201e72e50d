public import SecureBlock

/// What `info` tells of a volume.
public struct VolumeSummary: Sendable {
    private let status: DeviceStatus
    private let storeBytes: UInt64

    /// - Parameter storeBytes: size of the file or device that holds the volume, which may be larger than it.
    public init(_ status: DeviceStatus, storeBytes: UInt64) {
        self.status = status
        self.storeBytes = storeBytes
    }

    private var bytesBehind: UInt64 { storeBytes - min(storeBytes, status.volumeBytes) }

    /// What an owner should do something about.
    public var warnings: [String] {
        var warnings = Self.damage(in: status) + Self.exposure(of: status)
        if let latch = status.latch { warnings.append("writing ended: \(latch)") }
        return warnings
    }

    /// What the volume as it is does not protect against, and others do.
    public static func exposure(of status: DeviceStatus) -> [String] {
        var warnings: [String] = []
        if !status.cipher.isConfidential {
            warnings.append(
                "integrity only: contents and names are stored in clear, readable by whoever has the file")
        }
        if status.anchor == nil {
            warnings.append(
                status.wasAnchored
                    ? "this volume has an anchor that was not asked: an older copy would go unnoticed"
                    : "no anchor: an older copy of the whole volume would go unnoticed")
        }
        return warnings
    }

    /// Copies that do not verify while the volume goes on with others.
    public static func damage(in status: DeviceStatus) -> [String] {
        var warnings: [String] = []
        let outcome =
            status.areCopiesHealed
            ? "was damaged and has been written anew" : "is damaged; the volume goes on with the other one"
        for copy in status.damagedSuperblocks { warnings.append("superblock copy \(copy) \(outcome)") }
        for slot in status.damagedRoots { warnings.append("root slot \(slot) \(outcome)") }
        for slot in status.keySlots where slot.state == .damaged {
            warnings.append("key slot \(slot.slot) is damaged")
        }
        return warnings
    }

    private var amplification: String {
        let counters = status.counters
        guard let ratio = counters.writeAmplification else { return "nothing written" }
        let tenths = UInt64((ratio * 10).rounded())
        return
            "\(counters.clientBlocks) blocks written, \(counters.logBlocks) to the host, \(counters.relocatedBlocks) of "
            + "them moved by the cleaner: write amplification \(tenths / 10).\(tenths % 10)"
    }

    private var usedPermille: UInt64 {
        let blocks = status.logicalBytes / UInt64(blockBytes)
        return blocks == 0 ? 0 : status.liveBlocks * 1000 / blocks
    }

    /// Names and values, in the order they are shown.
    private var rows: [(name: String, value: String)] {
        let live = status.liveBlocks * UInt64(blockBytes)
        return [
            ("volume", "\(status.volume)"),
            ("format", "version \(status.formatVersion)"),
            ("cipher", "\(status.cipher)"),
            (
                "features",
                "compat 0x\(hex(status.compatibleFeatures)), ro-compat 0x\(hex(status.readOnlyCompatibleFeatures)), "
                    + "incompat 0x\(hex(status.incompatibleFeatures))"
            ),
            ("created", UTCTime(milliseconds: status.createdMilliseconds).text),
            (
                "holds",
                "\(ByteCount(bytes: status.logicalBytes)), in use \(ByteCount(bytes: live)) (\(usedPermille / 10).\(usedPermille % 10)%)"
            ),
            (
                "on the host",
                "\(ByteCount(bytes: status.volumeBytes)) in \(status.segmentCount) segments of "
                    + "\(ByteCount(bytes: UInt64(status.segmentBytes))), \(status.neverUsedSegments) never used, "
                    + "\(status.reusableSegments) reusable"
            ),
            ("since it was opened", amplification),
            ("behind it", bytesBehind == 0 ? "nothing" : "\(bytesBehind) bytes that are no part of the volume"),
            ("transport", status.transport),
            ("commit", "\(status.commit.rawValue), durable to \(status.durable.rawValue)"),
            ("snapshots", snapshots),
            (
                "history",
                "commits since \(status.historyHorizon.rawValue) are whole; to be kept: \(status.historyPolicy.words)"
            ),
            ("roots", status.rootCommits.map { "commit \($0.rawValue)" }.joined(separator: ", ")),
            ("epochs", "\(status.epochCount)"),
            (
                "anchor",
                status.anchor.map {
                    "\($0), noted by the root at commit \(status.anchoredCommit.map { "\($0.rawValue)" } ?? "none yet")"
                }
                    ?? (status.wasAnchored ? "NOT GIVEN, though the volume has one" : "NONE")
            ),
            ("anchor window", exposedWindow),
            ("volume key", keyState),
        ] + status.keySlots.filter { $0.state != .empty }.map { ("key slot \($0.slot)", $0.state.words) }
    }

    /// Names that are shown; `snapshot list` has all.
    private static let shownSnapshots = 4

    private var snapshots: String {
        let names = status.snapshots.suffix(Self.shownSnapshots).map { "\"\($0.name)\"" }.joined(separator: ", ")
        switch status.snapshots.count {
        case 0: return "none"
        case ...Self.shownSnapshots: return names
        case let count: return "\(count), the last of them \(names)"
        }
    }

    /// Which volume key it is, and how far sealing again under it has come.
    private var keyState: String {
        let number = "number \(status.keyVersion + 1)"
        guard !status.reseal.isDone else { return "\(number); everything is sealed under it" }
        return "\(number); \(status.reseal.segments) of \(status.segmentCount) segments are still under older keys"
            + (status.reseal.pinnedSegments > 0 ? ", \(status.reseal.pinnedSegments) of them for snapshots" : "")
    }

    /// What of the acknowledged the host could undo unnoticed: at most by the policy, and now.
    private var exposedWindow: String {
        guard status.wasAnchored || status.anchor != nil else { return "everything: there is no anchor" }
        guard !status.anchorPolicy.isEveryCommit else { return "none: every commit is confirmed" }
        return status.exposedCommits == 0
            ? "\(status.anchorPolicy); now none"
            : "\(status.anchorPolicy); now \(status.exposedCommits) commits of the last \(status.exposedMilliseconds) ms"
    }

    public func text(volume: String) -> String {
        ([volume] + rows.aligned).joined(separator: "\n")
    }
}

extension VolumeSummary {
    /// For programs: the same facts, sizes in bytes.
    public var json: JSON {
        [
            "volume": .string("\(status.volume)"),
            "formatVersion": .number(UInt64(status.formatVersion)),
            "cipher": .string(status.cipher.name),
            "features": [
                "compatible": .number(status.compatibleFeatures),
                "readOnlyCompatible": .number(status.readOnlyCompatibleFeatures),
                "incompatible": .number(status.incompatibleFeatures),
            ],
            "createdMilliseconds": .number(status.createdMilliseconds),
            "logicalBytes": .number(status.logicalBytes),
            "liveBytes": .number(status.liveBlocks * UInt64(blockBytes)),
            "volumeBytes": .number(status.volumeBytes),
            "storeBytes": .number(storeBytes),
            "segmentBytes": .number(UInt64(status.segmentBytes)),
            "segments": .number(UInt64(status.segmentCount)),
            "neverUsedSegments": .number(UInt64(status.neverUsedSegments)),
            "reusableSegments": .number(UInt64(status.reusableSegments)),
            "transport": .string(status.transport),
            "commit": .number(status.commit.rawValue),
            "durable": .number(status.durable.rawValue),
            "historyHorizon": .number(status.historyHorizon.rawValue),
            "rootCommits": .array(status.rootCommits.map { .number($0.rawValue) }),
            "historyPolicy": [
                "seconds": .number(status.historyPolicy.seconds), "bytes": .number(status.historyPolicy.bytes),
                "strict": .bool(status.historyPolicy.isStrict),
            ],
            "snapshots": SnapshotList(status.snapshots).json,
            "epochs": .number(UInt64(status.epochCount)),
            "cutRecords": .number(UInt64(status.cutRecords)),
            "anchor": status.anchor.map { .string($0) } ?? .null,
            "wasAnchored": .bool(status.wasAnchored),
            "anchoredCommit": status.anchoredCommit.map { .number($0.rawValue) } ?? .null,
            "anchorWindow": [
                "milliseconds": .number(UInt64(status.anchorPolicy.milliseconds)),
                "commits": .number(UInt64(status.anchorPolicy.commits)),
                "exposedCommits": .number(UInt64(status.exposedCommits)),
                "exposedMilliseconds": .number(status.exposedMilliseconds),
            ],
            "counters": [
                "clientBlocks": .number(status.counters.clientBlocks),
                "logBlocks": .number(status.counters.logBlocks),
                "relocatedBlocks": .number(status.counters.relocatedBlocks),
                "commits": .number(status.counters.commits), "checkpoints": .number(status.counters.checkpoints),
            ],
            "volumeKey": .number(UInt64(status.keyVersion) + 1),
            "olderKeys": .array(status.reseal.olderKeys.map { .number(UInt64($0) + 1) }),
            "segmentsUnderOlderKeys": .number(UInt64(status.reseal.segments)),
            "keySlots": .array(
                status.keySlots.map { ["slot": .number(UInt64($0.slot)), "kind": .string($0.state.words)] }),
            "damagedSuperblocks": .array(status.damagedSuperblocks.map { .number(UInt64($0)) }),
            "damagedRoots": .array(status.damagedRoots.map { .number(UInt64($0)) }),
            "warnings": .array(warnings.map { .string($0) }),
        ]
    }

}

extension DeviceStatus {
    /// What `keys list` prints: a line for each slot.
    public var keySlotText: String {
        keySlots.map { slot in
            "\(slot.slot)  \(slot.state.words)\(slot.slot == usedKeySlot ? "  (used now)" : "")"
        }.joined(separator: "\n")
    }
}

private func hex(_ value: UInt64) -> String { String(value, radix: 16) }

extension KeySlotStatus.State {
    /// For people.
    public var words: String {
        switch self {
        case .empty: "empty"
        case .passphrase: "passphrase"
        case .keyFile: "key file"
        case .sealed: "TPM"
        case .unbound: "not in use, left by an interrupted change"
        case .damaged: "DAMAGED"
        }
    }
}
