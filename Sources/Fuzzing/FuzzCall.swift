import VFS

/// A call of a filesystem with arguments that only the protocol's types bound. Nodes go by their place among those that
/// earlier calls gave.
enum FuzzCall {
    case lookup(Int, Name)
    case parent(Int)
    case attributes(Int)
    case change(Int, AttributeChange)
    case make(NewNode, Name?, Int)
    case link(Int, Name, Int)
    case remove(Name, Int, RemovalKind)
    case rename(Name, Int, Name, Int, RenameFlags)
    case readLink(Int)
    case list(Int, after: UInt64, limit: Int, plus: Bool)
    case open(Int, OpenFlags)
    case read(Int, UInt64, count: Int)
    case write(Int, WritePosition, [UInt8], WriteFlags)
    case allocate(Int, Range<UInt64>, AllocationMode)
    case clone(Int, Range<UInt64>, Int, UInt64)
    case seek(Int, UInt64, SeekTarget)
    case attribute(Int, [UInt8])
    case attributeNames(Int)
    case setAttribute(Int, [UInt8], [UInt8], AttributeWriteMode)
    case removeAttribute(Int, [UInt8])
    case commit(Int?, dataOnly: Bool)
    case statistics

    /// Whether a node comes with success.
    var givesNode: Bool {
        switch self {
        case .lookup, .make, .link: true
        default: false
        }
    }

    /// - Returns: `nil` for what no caller can say, as a name that is none.
    init?(_ input: inout FuzzReader) {
        let kind = input.choice(26), node = Int(input.byte())
        switch kind {
        case 0, 1:
            guard let name = input.name() else { return nil }
            self = .lookup(node, name)
        case 2: self = .parent(node)
        case 3: self = .attributes(node)
        case 4: self = .change(node, Self.change(&input))
        case 5, 6, 7:
            guard let call = Self.make(&input, in: node) else { return nil }
            self = call
        case 8:
            guard let name = input.name() else { return nil }
            self = .link(node, name, Int(input.byte()))
        case 9:
            guard let name = input.name() else { return nil }
            self = .remove(name, node, input.isOne(of: 2) ? .directory : .nonDirectory)
        case 10:
            guard let name = input.name(), let other = input.name() else { return nil }
            let flags = RenameFlags(rawValue: [0, 0, 1, 2, 3][input.choice(5)])
            self = .rename(name, node, other, Int(input.byte()), flags)
        case 11: self = .readLink(node)
        case 12:
            self = .list(node, after: input.number(), limit: input.choice(40), plus: input.isOne(of: 2))
        case 13: self = .open(node, OpenFlags(rawValue: UInt32(input.choice(64))))
        case 14: self = .read(node, input.number(), count: Int(min(input.number(), 70_000)))
        case 15, 16, 17:
            let position = input.isOne(of: 4) ? WritePosition.end : .offset(input.number())
            self = .write(node, position, input.pattern(), input.isOne(of: 2) ? .clearsPrivileges : [])
        case 18, 19:
            let modes: [AllocationMode] = [
                .allocate, .allocateKeepingSize, .punchHole, .zero, .zeroKeepingSize, .collapse, .insert,
            ]
            self = .allocate(node, input.range(), modes[input.choice(modes.count)])
        case 20: self = .clone(node, input.range(), Int(input.byte()), input.number())
        case 21: self = .seek(node, input.number(), input.isOne(of: 2) ? .data : .hole)
        case 22: self = .attribute(node, input.attributeName())
        case 23:
            let modes: [AttributeWriteMode] = [.createOrReplace, .create, .replace]
            self = .setAttribute(
                node, input.attributeName(), input.pattern(), modes[input.choice(modes.count)])
        case 24: self = .removeAttribute(node, input.attributeName())
        default: self = Self.other(&input, node)
        }
    }

    private static func other(_ input: inout FuzzReader, _ node: Int) -> FuzzCall {
        switch input.choice(4) {
        case 0: .statistics
        case 1: .attributeNames(node)
        case 2: .commit(nil, dataOnly: false)
        default: .commit(node, dataOnly: true)
        }
    }

    private static func make(_ input: inout FuzzReader, in directory: Int) -> FuzzCall? {
        let kinds = NodeKind.allCases + [.regular, .regular, .regular, .directory, .directory]
        var new = NewNode(
            kind: kinds[input.choice(kinds.count)], permissions: UInt16(input.byte()) << 8 | UInt16(input.byte()),
            umask: UInt16(input.byte()), device: UInt64(input.byte()))
        // No byte of a link's target is 0: callers end it there.
        if new.kind == .symbolicLink { new.target = Array(input.pattern().prefix(5000)).map { max($0, 1) } }
        if input.isOne(of: 8) { return .make(new, nil, directory) }
        return input.name().map { .make(new, $0, directory) }
    }

    private static func change(_ input: inout FuzzReader) -> AttributeChange {
        let which = input.byte()
        var change = AttributeChange()
        if which & 1 != 0 { change.size = input.number() }
        if which & 2 != 0 { change.permissions = UInt16(input.byte()) << 8 | UInt16(input.byte()) }
        if which & 4 != 0 { change.owner = UInt32(truncatingIfNeeded: input.number()) }
        if which & 8 != 0 { change.group = UInt32(truncatingIfNeeded: input.number()) }
        // Linux asks for one or the other (notify_change() in fs/attr.c).
        if which & 18 == 16 { change.clearsPrivileges = true }
        if which & 32 != 0 {
            let seconds = Int64(bitPattern: input.number())
            change.modificationTime = .exact(Timestamp(seconds: seconds, nanoseconds: UInt32(input.byte())))
        }
        if which & 64 != 0 { change.accessTime = .now }
        return change
    }
}
