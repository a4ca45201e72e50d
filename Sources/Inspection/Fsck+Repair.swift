import EncFS
public import SecureBlock

/// What a repair did, and how the volume is after it.
public struct RepairOutcome: Sendable {
    /// How the volume was found.
    public var before: Report?
    /// What was announced and done, one line each.
    public var actions: [String]
    /// What was seen to be left, beside what ``after`` finds.
    public var left: [String]
    /// The check after the repair.
    public var after: Report

    public var hasErrors: Bool { after.hasErrors || !left.isEmpty }

    public func text(volume: String) -> String {
        let done = actions.isEmpty ? ["nothing to repair"] : ["repaired:"] + actions.map { "  \($0)" }
        let rest = left.isEmpty ? [] : ["left:"] + left.map { "  \($0)" }
        return (done + rest + [after.text(volume: volume)]).joined(separator: "\n")
    }

    public var json: JSON {
        [
            "repaired": .array(actions.map { .string($0) }),
            "left": .array(left.map { .string($0) }),
            "before": before?.json ?? .null,
            "after": after.json,
        ]
    }
}

extension Fsck {
    /// Checks, mends what can be mended without guessing, and checks again. Writes nothing to a sound volume.
    ///
    /// All that is mended becomes durable with one commit; a crash before leaves the volume as it was, but for copies
    /// written anew.
    /// - Parameters:
    ///   - host: opened for writing; closed on return.
    ///   - announce: one line for each thing, before it is done.
    /// - Throws: ``VolumeError`` when the volume cannot be opened at all, or only a salvage helps.
    public func repair(
        _ host: any BlockHost, credential: Credential, anchor: (any Anchor)?,
        options: DeviceOptions = DeviceOptions(), announce: @escaping (String) -> Void
    ) throws(VolumeError) -> RepairOutcome {
        defer { host.close() }
        let lent = LentHost(host)
        var before: Report?
        var findings: [VolumeFinding]?
        do throws(VolumeError) {
            let (report, found) = try examine(lent, credential, anchor, options)
            guard report.hasErrors else {
                return RepairOutcome(before: report, actions: [], left: [], after: report)
            }
            before = report
            findings = found
        } catch {
            // Metadata that does not verify may be what can be made anew.
            guard case .corrupt = error else { throw error }
        }
        let actions = Lines()
        func say(_ line: String) {
            actions.lines.append(line)
            announce(line)
        }
        let repair = try VolumeRepair.open(
            lent, credential: credential, anchor: anchor, options: options, findings: findings, announce: say)
        do throws(DeviceError) { try repair.finish() } catch { throw .device(error) }
        let after = try examine(lent, credential, anchor, options).report
        return RepairOutcome(before: before, actions: actions.lines, left: repair.left, after: after)
    }

    private final class Lines { var lines: [String] = [] }
}
