import CLinux
import SecureBlock

/// A store's contents with a running fingerprint, so that equal images are recognised without comparing them.
struct SimDisk: Sendable {
    private(set) var contents: SparseBytes
    /// Sum over all sectors that are not zero; equal contents have equal fingerprints.
    private(set) var fingerprint: UInt64 = 0

    /// Fingerprints count from here: only what changes relative to `contents` shows.
    init(_ contents: SparseBytes) {
        self.contents = contents
    }

    mutating func grow(to byteCount: Int) {
        contents.grow(to: byteCount)
    }

    mutating func cut(to byteCount: Int) {
        erase(min(byteCount, contents.byteCount)..<contents.byteCount)
        contents.truncate(to: byteCount)
    }

    /// Writes some sectors of `bytes`, which begin at `offset`, a multiple of the sector size.
    mutating func write(_ offset: Int, _ bytes: [UInt8], sectors: Range<Int>) {
        let start = sectors.lowerBound * SimWrite.sectorBytes
        let end = min(sectors.upperBound * SimWrite.sectorBytes, bytes.count)
        guard start < end else { return }
        replace(offset + start, end - start) { contents in
            bytes.withRawBytes { contents.write(offset + start, UnsafeRawBufferPointer(rebasing: $0[start..<end])) }
        }
    }

    mutating func erase(_ range: Range<Int>) {
        let range = range.clamped(to: 0..<contents.byteCount)
        replace(range.lowerBound, range.count) { $0.erase(range) }
    }

    private mutating func replace(_ offset: Int, _ count: Int, _ body: (inout SparseBytes) -> Void) {
        contents.grow(to: offset + count)
        fingerprint &-= fingerprint(offset, count)
        body(&contents)
        fingerprint &+= fingerprint(offset, count)
    }

    private func fingerprint(_ offset: Int, _ count: Int) -> UInt64 {
        // Whole sectors: a write's edges may lie within one.
        let first = offset / SimWrite.sectorBytes
        let end = (offset + count + SimWrite.sectorBytes - 1) / SimWrite.sectorBytes
        var copy = [UInt8](repeating: 0, count: (end - first) * SimWrite.sectorBytes)
        return copy.withMutableRawBytes { copy in
            let start = first * SimWrite.sectorBytes
            let available = max(0, min(copy.count, contents.byteCount - start))
            contents.read(start, into: UnsafeMutableRawBufferPointer(rebasing: copy[..<available]))
            // SAFETY: `copy` holds the whole sectors from `first` to `end`.
            return casemate_fingerprint(copy.baseAddress, end - first, UInt64(first))
        }
    }
}
