import Testing
import VFS

/// Calls on ranges of files, and files that begin without a name.
extension ModelRun {
    private static let block = 4096

    mutating func clone() throws -> String {
        guard features.contains(.sharing), let source = regular(), let target = regular() else { return "nothing" }
        let start = number(0..<6) * Self.block
        // To the end of the source, or some blocks of it.
        let toEnd = number(0..<2) == 0
        let end = toEnd ? source.bytes.count : start + number(1..<6) * Self.block
        let place = number(0..<8) * Self.block
        guard start < end else { return "nothing" }
        let placeEnd = place + end - start
        let isWhole = end % Self.block == 0
        let overlaps = source === target && start < placeEnd && place < end
        let fits =
            end <= source.bytes.count && (isWhole || end == source.bytes.count && placeEnd >= target.bytes.count)
        let it = it
        let isRefused = overlaps || !fits
        expect(isRefused ? .invalidArgument : nil) {
            try it.files.clone(source.node, UInt64(start)..<UInt64(end), to: target.node, at: UInt64(place), [])
        }
        if !isRefused {
            let bytes = Array(source.bytes[start..<end])
            if target.bytes.count < placeEnd {
                target.bytes += [UInt8](repeating: 0, count: placeEnd - target.bytes.count)
            }
            target.bytes.replaceSubrange(place..<placeEnd, with: bytes)
        }
        return "clone \(start)..<\(end) of \(source.node) to \(place) of \(target.node)"
    }

    mutating func shift() throws -> String {
        guard features.contains(.shifting), let file = regular() else { return "nothing" }
        let isAligned = number(0..<10) > 0
        let start = number(0..<6) * Self.block + (isAligned ? 0 : 100)
        let end = start + number(1..<4) * Self.block
        let inserts = file.bytes.count < 80_000 && number(0..<2) == 0
        let isRefused = !isAligned || (inserts ? start : end) >= file.bytes.count
        let it = it
        expect(isRefused ? .invalidArgument : nil) {
            try it.withHandle(file.node, .write) {
                try it.files.allocate(file.node, $0, UInt64(start)..<UInt64(end), inserts ? .insert : .collapse)
            }
        }
        if !isRefused {
            if inserts {
                file.bytes.insert(contentsOf: [UInt8](repeating: 0, count: end - start), at: start)
            } else {
                file.bytes.removeSubrange(start..<end)
            }
        }
        return "\(inserts ? "insert" : "collapse") \(start)..<\(end) of \(file.node)"
    }

    /// Makes a file without a name, writes to it, and gives it one or lets it go.
    mutating func unnamed() throws -> String {
        guard features.contains(.unnamedFiles) else { return "nothing" }
        let parent = directory()
        let name = name()
        let it = it
        let made = try it.files.make(
            NewNode(kind: .regular, permissions: 0o640), named: nil, in: parent.node, by: .root
        ).node
        let bytes = (0..<number(1..<9000)).map { UInt8(truncatingIfNeeded: $0 &* 3) }
        try it.write(made, at: 0, bytes)
        guard number(0..<3) > 0 else {
            it.files.forget(made, count: 1)
            return "make without a name"
        }
        let isTaken = parent.entries[name] != nil
        expect(isTaken ? .fileExists : nil) {
            _ = try it.files.link(made, as: Name(name), in: parent.node)
            it.files.forget(made, count: 1)
        }
        if isTaken {
            it.files.forget(made, count: 1)
        } else {
            let new = ModelNode(.regular, made, 0o640)
            new.bytes = bytes
            parent.entries[name] = new
            regulars.append(new)
        }
        return "make without a name, link as \(name) in \(parent.node)"
    }
}
