extension VolumeContext {
    /// A page that a sound volume has.
    func page(_ pointer: PagePointer, _ association: BlockAssociation) throws(VolumeError) -> AlignedBuffer {
        let result: PageResult
        do { result = try readPage(pointer, association) } catch { throw .crypto("\(error)") }
        switch result {
        case .verified(let buffer): return buffer
        case .mismatch: throw .mismatch(pointer, association)
        case .host(let error): throw .host(error)
        }
    }

    /// Pages that are asked of the host at once.
    private static let batchPages = 64

    /// Calls `body` with every page of a list, in its order; the host reads many at a time.
    func forEachPage(
        _ pages: [(PagePointer, BlockAssociation)],
        _ body: (_ index: Int, AlignedBuffer) throws(VolumeError) -> Void
    ) throws(VolumeError) {
        for start in stride(from: 0, to: pages.count, by: Self.batchPages) {
            let end = min(start + Self.batchPages, pages.count)
            let buffers = (start..<end).map { _ in AlignedBuffer(byteCount: blockBytes) }
            var batch: [HostRead] = []
            for index in start..<end {
                guard geometry.position(pages[index].0.block) != nil else {
                    throw .mismatch(pages[index].0, pages[index].1)
                }
                batch.append(HostRead(offset: offset(pages[index].0.block), buffer: buffers[index - start].bytes))
            }
            do { try host.read(batch) } catch { throw .host(error) }
            for index in start..<end {
                let buffer = buffers[index - start]
                guard try open(buffer, pages[index].0, pages[index].1) else {
                    throw .mismatch(pages[index].0, pages[index].1)
                }
                try body(index, buffer)
            }
        }
    }

    /// Opens a page in place.
    private func open(_ buffer: AlignedBuffer, _ pointer: PagePointer, _ association: BlockAssociation)
        throws(VolumeError) -> Bool
    {
        do {
            guard let key = try epochs.key(pointer.epochIndex), let start = buffer.bytes.baseAddress else {
                return false
            }
            return try key.open(
                UnsafeRawBufferPointer(buffer.bytes), into: start, at: pointer.block, pointer.generation,
                as: association, tag: pointer.tag)
        } catch { throw .crypto("\(error)") }
    }
}

extension VolumeError {
    fileprivate static func mismatch(_ pointer: PagePointer, _ association: BlockAssociation) -> VolumeError {
        .corrupt(
            "\(association.kind) \(association.address) of level \(association.level) does not verify "
                + "at \(pointer.block)")
    }
}
