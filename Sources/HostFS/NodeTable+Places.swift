import CLinux
import Synchronization
import VFS

extension NodeTable {
    /// Notes where a file was found.
    /// - Throws: `ESTALE` when a directory would come to lie below itself.
    static func settle(
        _ number: UInt64, as name: Name?, in parent: UInt64, _ state: inout State, root: UInt64
    ) throws(VFSError) {
        guard let record = state.records[number] else { return }
        if record.node.kind == .directory {
            var above = parent
            while above != root {
                guard above != number, let next = state.records[above]?.parent, next != 0 else {
                    drop(number, &state, root: root)
                    throw VFSError(.staleNFSFileHandle)
                }
                above = next
            }
        }
        state.records[number]?.name = name
        guard record.parent != parent else { return }
        state.records[parent]?.children += 1
        state.records[number]?.parent = parent
        guard record.parent != 0 else { return }
        state.records[record.parent]?.children -= 1
        drop(record.parent, &state, root: root)
    }

    func parent(of node: HostNode) -> UInt64 {
        node.number == root.number ? node.number : state.withLock { $0.records[node.number]?.parent } ?? root.number
    }

    /// Before `name` goes from, or moves out of, `directory`: what it names, if that is in use, keeps its descriptor and
    /// loses its place, so that nobody reopens from there what comes after. To be called with ``names`` held alone.
    func detach(_ name: Name, from directory: HostDirectory) throws(VFSError) -> HostNode? {
        var status = casemate_status()
        do throws(VFSError) {
            _ = try directory.descriptor.call { number in
                name.withCString { casemate_status_at(number, $0, &status) }
            }
        } catch {
            // The call itself says what is wrong with the name.
            return nil
        }
        let identity = HostIdentity(status)
        let known = state.withLock { state in state.numbers[identity].flatMap { state.records[$0] } }
        guard let known, known.node.isFile(status) else { return nil }
        if known.node.kind == .directory { return known.node }
        guard known.parent == directory.node.number, known.name == name else { return nil }
        // Opened even where it is open already: by the time of the next line that one may be closed.
        let descriptor = try directory.descriptor.entry(name)
        guard known.node.isFile(try descriptor.status()) else { throw VFSError(.staleNFSFileHandle) }
        // Without a name it is not closed any more; so first that, then the descriptor.
        _ = state.withLock { state -> [Descriptor] in
            state.records[known.node.number]?.name = nil
            return keep(descriptor, of: known.node.number, &state)
        }
        return known.node
    }

    /// Notes the place of a file that was detached: its new one, or its old one when the call failed.
    func attach(_ node: HostNode?, as name: Name, in directory: HostDirectory) {
        guard let node else { return }
        state.withLock { state in
            do throws(VFSError) {
                try Self.settle(node.number, as: name, in: directory.node.number, &state, root: root.number)
                if node.kind != .directory { state.queue.append(node.number) }
            } catch {
                // The host moved it again meanwhile; its next lookup tells where to.
            }
        }
    }
}
