extension KeySlot {
    /// The sound slots of a volume, as anybody may read them: to see what kinds of secret open it, before there is one.
    /// - Returns: none where there is no volume.
    public static func sound(on host: any BlockHost) throws(HostError) -> [KeySlot] {
        var slots: [KeySlot] = []
        let size = try host.byteCount()
        for number in 0..<Layout.keySlotCount {
            let offset = Layout.keySlot(number) * UInt64(blockBytes)
            guard offset + UInt64(blockBytes) <= size else { break }
            let buffer = AlignedBuffer(byteCount: blockBytes)
            try host.read(at: offset, into: buffer.bytes)
            // One that is damaged is told by opening.
            do throws(KeySlotError) {
                slots.append(try parse(UnsafeRawBufferPointer(buffer.bytes), slot: number))
            } catch { continue }
        }
        return slots
    }
}
