public import VFS

extension UnionFS {
    public func make(_ new: NewNode, named name: Name?, in directory: NodeID, by caller: Caller)
        throws(VFSError) -> Entry
    {
        try lock.held { () throws(VFSError) in
            let parent = try self.directory(directory)
            guard let name else {
                let upper = try copyUp(parent)
                let made = try layers[0].make(new, named: nil, in: upper, by: caller)
                return try entry(enter(new.kind, upper: made.node, lowers: []))
            }
            if new.kind == .characterDevice, new.device == 0 { throw VFSError(.notPermitted) }
            let found = try find(name, in: parent)
            defer { drop(found) }
            guard !found.exists else { throw VFSError(.fileExists) }
            guard !isHidden(name) else { throw VFSError(.invalidArgument) }
            let upper = try copyUp(parent)
            guard found.isWhiteout else {
                return try made(layers[0].make(new, named: name, in: upper, by: caller), new.kind, name, in: parent)
            }
            // In the whiteout's place in one step, so that what it hides never shows.
            let temporary = try temporaryName()
            let made = try layers[0].make(new, named: temporary, in: upper, by: caller)
            do throws(VFSError) {
                if new.kind == .directory { try makeOpaque(made.node) }
                try layers[0].rename(temporary, in: upper, to: name, in: upper, .exchange)
            } catch {
                try discard(temporary, in: upper, new.kind == .directory ? .directory : .nonDirectory, made.node)
                throw error
            }
            try layers[0].remove(temporary, in: upper, .nonDirectory)
            return try self.made(
                Entry(node: made.node, attributes: made.attributes), new.kind, name, in: parent)
        }
    }

    private func made(_ made: Entry, _ kind: NodeKind, _ name: Name, in parent: UnionNode) throws(VFSError) -> Entry
    {
        let node = enter(kind, upper: made.node, lowers: [])
        node.place = (parent, name)
        return try entry(node)
    }

    public func link(_ node: NodeID, as name: Name, in directory: NodeID) throws(VFSError) -> Entry {
        try lock.held { () throws(VFSError) in
            let linked = try self.node(node)
            let parent = try self.directory(directory)
            guard linked.kind != .directory else { throw VFSError(.notPermitted) }
            let found = try find(name, in: parent)
            defer { drop(found) }
            guard !found.exists else { throw VFSError(.fileExists) }
            guard !isHidden(name) else { throw VFSError(.invalidArgument) }
            let source = try copyUp(linked)
            let upper = try copyUp(parent)
            if found.isWhiteout {
                let temporary = try temporaryName()
                _ = try layers[0].link(source, as: temporary, in: upper)
                try layers[0].rename(temporary, in: upper, to: name, in: upper, [])
            } else {
                _ = try layers[0].link(source, as: name, in: upper)
            }
            layers[0].forget(source, count: 1)
            linked.place = (parent, name)
            return try entry(linked)
        }
    }

    public func remove(_ name: Name, in directory: NodeID, _ kind: RemovalKind) throws(VFSError) {
        try lock.held { () throws(VFSError) in
            let parent = try self.directory(directory)
            let found = try find(name, in: parent)
            defer { drop(found) }
            guard let seenKind = found.kind else { throw VFSError(.noSuchFileOrDirectory) }
            switch (kind, seenKind) {
            case (.nonDirectory, .directory): throw VFSError(.isDirectory)
            case (.directory, let other) where other != .directory: throw VFSError(.notDirectory)
            default: break
            }
            let again = try find(name, in: parent)
            guard let node = try seen(again, name, in: parent) else { throw VFSError(.noSuchFileOrDirectory) }
            if seenKind == .directory, try !isEmpty(node) { throw VFSError(.directoryNotEmpty) }
            let upper = try copyUp(parent)
            try hide(name, found, in: upper)
            if seenKind != .directory, node.place?.parent === parent, node.place?.name == name { node.place = nil }
        }
    }

    /// Takes a name away, with a whiteout in its place where something below would show. A directory is empty but for
    /// whiteouts.
    func hide(_ name: Name, _ found: Found, in upper: NodeID) throws(VFSError) {
        let isDirectory = found.upper?.attributes.kind == .directory
        if isDirectory, let node = found.upper?.node { try clearWhiteouts(node) }
        guard !found.lowers.isEmpty else {
            return try layers[0].remove(name, in: upper, isDirectory ? .directory : .nonDirectory)
        }
        let whiteout = try makeWhiteout(in: upper)
        do throws(VFSError) {
            try layers[0].rename(whiteout, in: upper, to: name, in: upper, isDirectory ? .exchange : [])
        } catch {
            try layers[0].remove(whiteout, in: upper, .nonDirectory)
            throw error
        }
        if isDirectory { try layers[0].remove(whiteout, in: upper, .directory) }
    }

    private func clearWhiteouts(_ directory: NodeID) throws(VFSError) {
        var names: [Name] = []
        let handle = try layers[0].open(directory, [.read, .directory])
        defer { layers[0].close(directory, handle) }
        try layers[0].readDirectory(directory, handle, after: .start, plus: false) {
            names.append($0.name)
            return true
        }
        for name in names { try layers[0].remove(name, in: directory, .nonDirectory) }
    }

    public func rename(
        _ name: Name, in directory: NodeID, to newName: Name, in newDirectory: NodeID, _ flags: RenameFlags
    ) throws(VFSError) {
        guard flags != [.noReplace, .exchange] else { throw VFSError(.invalidArgument) }
        try lock.held { () throws(VFSError) in
            let (from, to) = (try self.directory(directory), try self.directory(newDirectory))
            guard let moved = try seen(find(name, in: from), name, in: from) else {
                throw VFSError(.noSuchFileOrDirectory)
            }
            guard !isHidden(newName) else { throw VFSError(.invalidArgument) }
            try requireNotBelow(moved, to)
            let target = try seen(find(newName, in: to), newName, in: to)
            if flags.contains(.exchange) {
                guard let target else { throw VFSError(.noSuchFileOrDirectory) }
                try requireNotBelow(target, from)
                if target !== moved { try exchange(moved, name, in: from, with: target, newName, in: to) }
                return
            }
            if let target {
                guard !flags.contains(.noReplace) else { throw VFSError(.fileExists) }
                if target === moved { return }
                switch (moved.kind == .directory, target.kind == .directory) {
                case (true, false): throw VFSError(.notDirectory)
                case (false, true): throw VFSError(.isDirectory)
                default: break
                }
                if target.kind == .directory, try !isEmpty(target) { throw VFSError(.directoryNotEmpty) }
            }
            try move(moved, name, in: from, onto: target, newName, in: to)
        }
    }

    private func move(
        _ moved: UnionNode, _ name: Name, in from: UnionNode, onto target: UnionNode?, _ newName: Name,
        in to: UnionNode
    ) throws(VFSError) {
        guard !moved.isMerged else { throw VFSError(.improperLink) }
        let node = try copyUp(moved)
        let (source, destination) = (try copyUp(from), try copyUp(to))
        let old = try find(name, in: from)
        defer { drop(old) }
        let replaced = try find(newName, in: to)
        defer { drop(replaced) }
        if moved.kind == .directory, !replaced.lowers.isEmpty { try makeOpaque(node) }
        if let upper = replaced.upper, upper.attributes.kind == .directory { try clearWhiteouts(upper.node) }
        if replaced.isWhiteout, moved.kind == .directory {
            try layers[0].rename(name, in: source, to: newName, in: destination, .exchange)
            // The whiteout is now where the directory was: right if something is below there.
            if old.lowers.isEmpty { try layers[0].remove(name, in: source, .nonDirectory) }
        } else {
            let whiteout = old.lowers.isEmpty ? nil : try makeWhiteout(in: source)
            do throws(VFSError) {
                try layers[0].rename(name, in: source, to: newName, in: destination, [])
            } catch {
                if let whiteout { try layers[0].remove(whiteout, in: source, .nonDirectory) }
                throw error
            }
            if let whiteout { try layers[0].rename(whiteout, in: source, to: name, in: source, []) }
        }
        moved.place = (to, newName)
        if let target, target.kind != .directory { target.place = nil }
    }

    private func exchange(
        _ first: UnionNode, _ name: Name, in from: UnionNode, with second: UnionNode, _ newName: Name,
        in to: UnionNode
    ) throws(VFSError) {
        guard !first.isMerged, !second.isMerged else { throw VFSError(.improperLink) }
        let (here, there) = (try copyUp(first), try copyUp(second))
        let (source, destination) = (try copyUp(from), try copyUp(to))
        if first.kind == .directory { try makeOpaque(here) }
        if second.kind == .directory { try makeOpaque(there) }
        try layers[0].rename(name, in: source, to: newName, in: destination, .exchange)
        first.place = (to, newName)
        second.place = (from, name)
    }

    /// - Throws: `EINVAL` when `directory` is `node` or below it.
    private func requireNotBelow(_ node: UnionNode, _ directory: UnionNode) throws(VFSError) {
        guard node.kind == .directory else { return }
        var place: UnionNode? = directory
        while let here = place {
            guard here !== node else { throw VFSError(.invalidArgument) }
            place = here.place?.parent
        }
    }
}
