import CLinux
import Synchronization
import VFS

extension NodeTable {
    /// The way to a file: its O_PATH descriptor, opened again where it was closed.
    /// - Throws: `ESTALE` when the host has removed or replaced it meanwhile.
    func descriptor(of node: HostNode) throws(VFSError) -> Descriptor {
        if let directory = node.directory { return directory }
        if let open = state.withLock({ $0.records[node.number]?.descriptor }) { return open }
        return try names.shared { () throws(VFSError) -> Descriptor in
            let (record, parent) = state.withLock { state in
                let record = state.records[node.number]
                return (record, record.flatMap { state.records[$0.parent]?.node.directory })
            }
            if let open = record?.descriptor { return open }
            guard let name = record?.name, let parent else { throw VFSError(.staleNFSFileHandle) }
            let descriptor: Descriptor
            do throws(VFSError) {
                descriptor = try parent.entry(name)
            } catch {
                throw error.errno == .noSuchFileOrDirectory ? VFSError(.staleNFSFileHandle) : error
            }
            guard node.isFile(try descriptor.status()) else { throw VFSError(.staleNFSFileHandle) }
            _ = state.withLock { keep(descriptor, of: node.number, &$0) }
            return descriptor
        }
    }

    /// Keeps a descriptor of a file that has none, and closes old ones if there are too many; what to let go of once the
    /// lock is gone.
    func keep(_ descriptor: Descriptor, of number: UInt64, _ state: inout State) -> [Descriptor] {
        guard state.records[number] != nil, state.records[number]?.descriptor == nil else { return [] }
        state.records[number]?.descriptor = descriptor
        state.descriptors += 1
        state.queue.append(number)
        return closeOld(&state)
    }

    private func closeOld(_ state: inout State) -> [Descriptor] {
        var closed: [Descriptor] = []
        // A few looks a call keep up with one new descriptor a call, and bound what a call can take.
        var looks = 8
        while state.descriptors > descriptorLimit, state.queueStart < state.queue.count, looks > 0 {
            looks -= 1
            let number = state.queue[state.queueStart]
            state.queueStart += 1
            guard let record = state.records[number], let descriptor = record.descriptor else { continue }
            if record.name == nil || record.opens > 0 {
                // In use for certain, or not to be reopened: asked again later, or with its next place.
                if record.opens > 0 { state.queue.append(number) }
                continue
            }
            state.records[number]?.descriptor = nil
            state.descriptors -= 1
            closed.append(descriptor)
        }
        tidy(&state)
        return closed
    }

    /// Takes out of the queue what is behind its start, gone, closed or there twice, once that is most of it.
    private func tidy(_ state: inout State) {
        guard state.queue.count > 2 * state.descriptors + 1024 else { return }
        var seen: Set<UInt64> = []
        state.queue = state.queue[state.queueStart...].filter { number in
            state.records[number]?.descriptor != nil && seen.insert(number).inserted
        }
        state.queueStart = 0
    }
}
