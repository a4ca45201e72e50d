import SecureBlock

// What each call does, and what goes wrong with it.

private let interrupted: Int32 = 4
private let inputOutput: Int32 = 5

extension HostileHost.State {
    /// Whether this call goes wrong in this way.
    mutating func strikes(_ fault: DiskFault) -> Bool {
        guard plan.faults.contains(fault), random.next() % 1000 < UInt64(plan.perMille) else { return false }
        counts[fault, default: 0] += 1
        if fault.isLie { lies += 1 } else { failures += 1 }
        return true
    }

    mutating func touchesBroken(_ range: Range<Int>) -> Bool {
        guard let broken, broken.overlaps(range) else { return false }
        failures += 1
        return true
    }

    mutating func read(_ offset: UInt64, into buffer: UnsafeMutableRawBufferPointer) throws(HostError) {
        let end = try SparseBytes.end(of: offset, byteCount: buffer.count)
        trace.note("read", offset, UInt64(buffer.count))
        guard end <= view.byteCount else { throw .beyondEnd(offset: offset) }
        let start = end - buffer.count
        if strikes(.permanentError), broken == nil {
            let first = pick(view.byteCount / blockBytes) * blockBytes
            broken = first..<first + blockBytes * (1 + pick(4))
        }
        if touchesBroken(start..<end) || strikes(.transientReadError) {
            throw .failed(call: "read", errno: inputOutput, offset: offset)
        }
        if strikes(.interruptedCall) { throw .failed(call: "read", errno: interrupted, offset: offset) }
        if !past.isEmpty, strikes(.staleRead) {
            let old = past[pick(past.count)]
            if end <= old.byteCount {
                old.read(start, into: buffer)
                return
            }
        }
        if view.byteCount > buffer.count, strikes(.misdirectedRead) {
            let blocks = (view.byteCount - buffer.count) / blockBytes
            view.read(pick(blocks + 1) * blockBytes, into: buffer)
            return
        }
        view.read(start, into: buffer)
        if !buffer.isEmpty, strikes(.flippedRead) { buffer[pick(buffer.count)] ^= 1 << UInt8(pick(8)) }
    }

    mutating func begin(_ offset: UInt64, _ source: SimSource, durable: Bool, _ write: HostWrite)
        throws(HostError) -> HostWrite
    {
        let end = try SparseBytes.end(of: offset, byteCount: source.bytes.count)
        let start = end - source.bytes.count
        trace.note("write", offset, UInt64(source.bytes.count))
        let bytes = [UInt8](source.bytes)
        if touchesBroken(start..<end) { throw .failed(call: "write", errno: inputOutput, offset: offset) }
        if strikes(.interruptedCall) { throw .failed(call: "write", errno: interrupted, offset: offset) }
        if strikes(.transientWriteError) {
            storeSome(start, bytes)
            throw .failed(call: "write", errno: inputOutput, offset: offset)
        }
        if bytes.count > SimWrite.sectorBytes, strikes(.shortWrite) {
            let sectors = 1 + pick(bytes.count / SimWrite.sectorBytes - 1)
            risk(HostileHost.AtRisk(offset: start, bytes: Array(bytes[..<(sectors * SimWrite.sectorBytes)])))
            throw .failed(call: "write", errno: inputOutput, offset: offset)
        }
        underWay.append((start, bytes, durable, write, source))
        return write
    }

    /// The end of a write that was begun; `nil` when it ended before.
    mutating func finish(_ handle: HostWrite) -> (error: HostError?, Void)? {
        guard let position = underWay.firstIndex(where: { $0.write === handle }) else { return nil }
        let (offset, bytes, durable, _, source) = underWay.remove(at: position)
        if !source.holds(bytes) {
            violations.append("the buffer of a write at \(offset) changed while the write was under way")
        }
        let write = HostileHost.AtRisk(offset: offset, bytes: bytes)
        if isDead {
            atRisk.append(write)
            return (.failed(call: "power cut", errno: inputOutput, offset: UInt64(offset)), ())
        }
        store(write, durable: durable)
        return (nil, ())
    }

    /// A completed write, as told or otherwise.
    private mutating func store(_ write: HostileHost.AtRisk, durable: Bool) {
        if earlier.count < 64 { earlier.append(write) } else { earlier[pick(64)] = write }
        if strikes(.lostWrite) { return }
        if strikes(.misdirectedWrite) {
            persist(
                HostileHost.AtRisk(
                    offset: pick(max(view.byteCount, 1) / blockBytes) * blockBytes, bytes: write.bytes))
            return
        }
        if strikes(.tornWrite) {
            storeSome(write.offset, write.bytes, isFinal: true)
            return
        }
        if strikes(.duplicatedWrite) {
            persist(
                HostileHost.AtRisk(
                    offset: pick(max(view.byteCount, 1) / blockBytes) * blockBytes, bytes: write.bytes))
        }
        if durable {
            // Later than whatever waits for a flush at the same place.
            persist(write)
        } else {
            risk(write)
        }
        if strikes(.replayedWrite) { persist(earlier[pick(earlier.count)]) }
    }

    mutating func flush() throws(HostError) {
        trace.note("flush", UInt64(atRisk.count), 0)
        if strikes(.interruptedCall) { throw .failed(call: "fdatasync", errno: interrupted, offset: nil) }
        if strikes(.failedFlush) {
            // Linux marks the pages clean: what did not make it is gone, and reads past the page cache show it.
            for write in atRisk where random.next() & 1 == 0 { media.write(write.offset, write.bytes) }
            atRisk = []
            view = media
            throw .failed(call: "fdatasync", errno: inputOutput, offset: nil)
        }
        if strikes(.lyingFlush) { return }
        for write in atRisk { media.write(write.offset, write.bytes) }
        atRisk = []
        decay()
    }

    mutating func allocate(_ offset: UInt64, _ byteCount: UInt64) throws(HostError) {
        let end = try SparseBytes.end(of: offset, byteCount: byteCount)
        trace.note("allocate", offset, byteCount)
        if noSpaceCalls > 0 {
            noSpaceCalls -= 1
            failures += 1
            throw .noSpace
        }
        if strikes(.noSpace) {
            noSpaceCalls = pick(20)
            throw .noSpace
        }
        view.grow(to: end)
        media.grow(to: end)
    }

    /// What time does to stored bytes.
    private mutating func decay() {
        if past.count >= 4 { past.removeFirst() }
        if plan.faults.contains(.staleRead) { past.append(view) }
        if view.byteCount > 0, strikes(.bitRot) {
            let byte = pick(view.byteCount)
            var value: [UInt8] = [0]
            value.withMutableRawBytes { view.read(byte, into: $0) }
            value[0] ^= 1 << UInt8(pick(8))
            persist(HostileHost.AtRisk(offset: byte, bytes: value))
        }
        if view.byteCount > 0, strikes(.zeroedSector) {
            let sector = pick(view.byteCount / SimWrite.sectorBytes)
            persist(
                HostileHost.AtRisk(
                    offset: sector * SimWrite.sectorBytes,
                    bytes: [UInt8](repeating: 0, count: SimWrite.sectorBytes)))
        }
    }

    mutating func pick(_ count: Int) -> Int {
        count > 1 ? Int(random.next() % UInt64(count)) : 0
    }

    /// Visible now, lost with the power unless a flush comes first.
    private mutating func risk(_ write: HostileHost.AtRisk) {
        view.write(write.offset, write.bytes)
        atRisk.append(write)
    }

    /// Visible and beyond loss.
    private mutating func persist(_ write: HostileHost.AtRisk) {
        view.write(write.offset, write.bytes)
        media.write(write.offset, write.bytes)
    }

    /// Some sectors of a write: of one that fails, or (`isFinal`) of one that claims to have succeeded.
    private mutating func storeSome(_ offset: Int, _ bytes: [UInt8], isFinal: Bool = false) {
        for start in stride(from: 0, to: bytes.count, by: SimWrite.sectorBytes) where random.next() & 1 == 0 {
            let end = min(start + SimWrite.sectorBytes, bytes.count)
            let part = HostileHost.AtRisk(offset: offset + start, bytes: Array(bytes[start..<end]))
            if isFinal { persist(part) } else { risk(part) }
        }
    }
}
