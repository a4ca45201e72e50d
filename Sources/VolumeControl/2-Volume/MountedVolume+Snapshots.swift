import CommandSupport
import Inspection
import SecureBlock

/// Snapshots of a volume that is in use: made and deleted between two of its client's changes.
extension MountedVolume {
    func createSnapshot(_ text: String) throws(CommandFailure) -> String {
        let name = try Self.name(text)
        let made = try change { device throws(SnapshotError) in try device.createSnapshot(name) }
        return "\(path): snapshot \"\(name)\" keeps commit \(made.commit.rawValue)"
    }

    func deleteSnapshot(_ text: String) throws(CommandFailure) -> String {
        let name = try Self.name(text)
        try change { device throws(SnapshotError) in try device.deleteSnapshot(name) }
        return "\(path): snapshot \"\(name)\" is deleted"
    }

    func listSnapshots(json: Bool) -> String {
        let list = SnapshotList(device.snapshots)
        return json ? list.json.text : list.text
    }

    static func name(_ text: String) throws(CommandFailure) -> SnapshotName {
        guard let name = SnapshotName(text) else { throw CommandFailure(.usage, "no name for a snapshot") }
        return name
    }

    /// Runs `body` when everything is committed and stands still.
    @discardableResult
    func change<Outcome>(
        _ body: (SecureDevice) throws(SnapshotError) -> Outcome
    ) throws(CommandFailure) -> Outcome {
        try quiesced(by: quiesce) { () throws(SnapshotError) in try body(device) }
            .mapError { CommandFailure($0, volume: path) }.get()
    }
}
