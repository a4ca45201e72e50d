/// Opens a damaged volume for writing and mends what can be mended without guessing.
///
/// Each thing is announced, one line each, before it is done. All of it becomes durable with one commit of the caller
/// (and the checkpoint after); until then a crash leaves the volume as it was, but for copies that were written anew from
/// sound ones and empty key slots. Data that cannot be read stays unreadable.
///
/// What needs a guess, or a map that cannot be read, is left: ``Salvage`` makes a new volume of what is there.
public struct VolumeRepair {
    /// What was seen to be left, one line each.
    public private(set) var left: [String] = []
    /// How many things were announced.
    public private(set) var actions = 0
    public let device: SecureDevice

    private let announce: (String) -> Void

    /// - Parameters:
    ///   - findings: what a check of the volume found; `nil` when it could not be made, as the segment table is lost.
    ///   - announce: one line for each thing, before it is done.
    /// - Throws: ``VolumeError``, as opening does; ``VolumeError/corrupt(_:)`` where only a salvage helps.
    public static func open(
        _ host: any BlockHost, credential: Credential, anchor: (any Anchor)?,
        options: DeviceOptions = DeviceOptions(),
        findings: [VolumeFinding]?, announce: @escaping (String) -> Void
    ) throws(VolumeError) -> VolumeRepair {
        let unlocked = try UnlockedVolume(host, credential: credential, forWriting: true)
        var left: [String] = []
        var actions = 0
        func say(_ line: String) {
            actions += 1
            announce(line)
        }
        for copy in unlocked.facts.damagedSuperblocks {
            say("superblock copy \(copy): written anew from the other copy")
        }
        for slot in unlocked.facts.damagedRoots {
            say(
                "root slot \(slot): written anew with the state of commit \(unlocked.newest.commit.sequence.rawValue) or later"
            )
        }
        try mendKeySlots(unlocked, host, &left, say)
        var options = options
        options.rebuildsSegmentTable =
            findings.map { $0.contains { ["live-count", "segment-epoch"].contains($0.kind) } } ?? true
        if options.rebuildsSegmentTable { say("segment table: made anew from the map and the record headers") }
        let device = try SecureDevice.open(host, credential: credential, anchor: anchor, options: options)
        var repair = VolumeRepair(device: device, announce: announce)
        repair.left = left
        repair.actions = actions
        do throws(DeviceError) { try repair.evacuateDamagedSegments() } catch {
            do throws(DeviceError) { try device.close() } catch { throw .device(error) }
            throw .device(error)
        }
        for finding in findings ?? [] where ["map-page", "map-entry", "map-shared"].contains(finding.kind) {
            repair.left.append("\(finding.message): only a salvage can tell what was there")
        }
        return repair
    }

    private init(device: SecureDevice, announce: @escaping (String) -> Void) {
        self.device = device
        self.announce = announce
    }

    /// A damaged slot that the root knows to have been empty is written empty again. What else was in a slot is known to
    /// its owner alone.
    private static func mendKeySlots(
        _ unlocked: UnlockedVolume, _ host: any BlockHost, _ left: inout [String], _ say: (String) -> Void
    ) throws(VolumeError) {
        for slot in 0..<Layout.keySlotCount {
            let isDamaged = unlocked.facts.damagedKeySlots.contains(slot)
            guard isDamaged || unlocked.facts.keySlotDigests[slot] != unlocked.newest.keySlotDigests[slot] else {
                continue
            }
            do {
                let empty = try KeySlot.empty(slot: slot, volume: unlocked.context.superblock.volume)
                guard try SecureDevice.keySlotDigest(empty) == unlocked.newest.keySlotDigests[slot] else {
                    left.append(
                        isDamaged
                            ? "key slot \(slot) is damaged and held a key; add it anew, or remove it"
                            : "key slot \(slot) is not the one last written; remove it unless it is known to be right"
                    )
                    continue
                }
                say("key slot \(slot): was empty, written empty again")
                let buffer = AlignedBuffer(byteCount: blockBytes)
                buffer.bytes.copyBytes(from: empty)
                try host.write(at: Layout.keySlot(slot) * UInt64(blockBytes), UnsafeRawBufferPointer(buffer.bytes))
                try host.flush()
            } catch let error as HostError {
                throw .host(error)
            } catch { throw .crypto("\(error)") }
        }
    }

    /// Segments that the cleaner gave up: what can be read is written elsewhere, what cannot is marked lost, and the
    /// segment can be used again after ``finish()``.
    private mutating func evacuateDamagedSegments() throws(DeviceError) {
        let segments = device.damagedSegments
        guard !segments.isEmpty else { return }
        for segment in segments { say("segment \(segment): what can be read is moved, the rest marked lost") }
        let buffer = AlignedBuffer(byteCount: blockBytes)
        for block in try device.blocks(in: Set(segments)) {
            do throws(DeviceError) {
                try device.read(block, into: buffer.bytes)
            } catch {
                guard case .unreadable(_, let reason) = error else { throw error }
                // What the host refuses today it may give tomorrow.
                if case .host = reason {
                    left.append("\(block): the host does not give it")
                    continue
                }
                say("\(block): cannot be read, marked lost")
                try device.markLost(block, count: 1)
                continue
            }
            try device.writeForCommit(block, UnsafeRawBufferPointer(buffer.bytes))
        }
    }

    /// Commits what was mended, if the caller has not, and closes the device; durable on return.
    public func finish() throws(DeviceError) {
        do throws(DeviceError) {
            try device.commit().wait()
            // Only what is committed has left its segment.
            if device.releaseDamagedSegments() { try device.checkpointNow() }
        } catch {
            try device.close()
            throw error
        }
        try device.close()
    }

    private mutating func say(_ line: String) {
        actions += 1
        announce(line)
    }
}

extension SecureDevice {
    /// Segments that could not be cleaned.
    var damagedSegments: [UInt32] {
        monitor.locked { (0..<context.geometry.segmentCount).filter { table[$0].state == .damaged } }
    }

    /// The blocks that the map has in `segments`, ascending.
    func blocks(in segments: Set<UInt32>) throws(DeviceError) -> [LogicalBlock] {
        var blocks: [LogicalBlock] = []
        for start in stride(from: 0, to: logicalBlockCount, by: MapEntry.perPage) {
            let count = min(UInt64(MapEntry.perPage), logicalBlockCount - start)
            try lockWithMap(LogicalBlock(start), count: count)
            defer { monitor.unlock() }
            for block in start..<start + count {
                let entry = map.entry(LogicalBlock(block))
                if entry.isMapped, let position = context.geometry.position(entry.block),
                    segments.contains(position.segment)
                {
                    blocks.append(LogicalBlock(block))
                }
            }
        }
        return blocks
    }

    /// Lets damaged segments be used again that nothing live is in any more.
    /// - Returns: whether there are any.
    func releaseDamagedSegments() -> Bool {
        monitor.locked {
            var isAny = false
            for segment in 0..<context.geometry.segmentCount
            where table[segment].state == .damaged && table[segment].live == 0 {
                table[segment].state = .used
                isAny = true
            }
            return isAny
        }
    }
}
