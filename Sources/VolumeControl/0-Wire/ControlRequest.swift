/// What a mounted volume can be asked for beside its files.
package enum ControlRequest: Hashable, Sendable {
    case info(json: Bool)
    /// Where the live blocks of a file are, by its path from the volume's root.
    case whereabouts(path: String, json: Bool)
    case keysList
    /// Secrets: one that opens the volume, the new one.
    case keysAdd
    /// Secrets: one that opens the volume.
    case keysRemove(slot: Int)
    /// Secrets: the one to replace, the new one.
    case keysChange
    /// Secrets: all that are to open the volume afterwards, first one that opens it now.
    case keysRotate(dropsOthers: Bool, unlockMilliseconds: UInt64)
    /// Checks the last commit, without changing anything.
    case check(readsData: Bool, json: Bool)
    case snapshotCreate(name: String)
    case snapshotDelete(name: String)
    case snapshotList(json: Bool)
    /// Shows a snapshot at a directory of the daemon's, by its absolute path; `options` as of `-o`.
    case snapshotMount(name: String, directory: String, options: String)
    case resize(bytes: UInt64)

    /// Requests of one lane run one at a time; lookers-on of any number. What changes the volume beside its files is one
    /// lane: a new key, a new size and a snapshot each fill both roots.
    package enum Lane: Hashable, Sendable { case looking, changing, checking }

    package var lane: Lane {
        switch self {
        case .info, .whereabouts, .keysList, .snapshotList, .snapshotMount: .looking
        case .keysAdd, .keysRemove, .keysChange, .keysRotate, .snapshotCreate, .snapshotDelete, .resize: .changing
        case .check: .checking
        }
    }

    private enum Verb: UInt8 {
        case info = 1
        case whereabouts = 2
        case keysList = 3
        case keysAdd = 4
        case keysRemove = 5
        case keysChange = 6
        case check = 7
        case snapshotCreate = 8
        case snapshotDelete = 9
        case snapshotList = 10
        case resize = 11
        case keysRotate = 12
        case snapshotMount = 13
    }
}

extension ControlRequest {
    /// The protocol's version. The first field of a request in every version to come.
    package static let version: UInt16 = 1
    package static let tokenBytes = 16

    /// The payload of a request frame: version u16, token, verb u8, the verb's fields.
    package func payload(token: [UInt8]) -> [UInt8] {
        precondition(token.count == Self.tokenBytes)
        var fields = FieldWriter()
        fields.u16(Self.version)
        fields.bytes(token)
        func verb(_ verb: Verb) { fields.u8(verb.rawValue) }
        switch self {
        case .info(let json):
            verb(.info)
            fields.flag(json)
        case .whereabouts(let path, let json):
            verb(.whereabouts)
            fields.text(path)
            fields.flag(json)
        case .keysList: verb(.keysList)
        case .keysAdd: verb(.keysAdd)
        case .keysRemove(let slot):
            verb(.keysRemove)
            fields.u8(UInt8(clamping: slot))
        case .keysChange: verb(.keysChange)
        case .keysRotate(let dropsOthers, let unlockMilliseconds):
            verb(.keysRotate)
            fields.flag(dropsOthers)
            fields.u64(unlockMilliseconds)
        case .check(let readsData, let json):
            verb(.check)
            fields.flag(readsData)
            fields.flag(json)
        case .snapshotCreate(let name):
            verb(.snapshotCreate)
            fields.text(name)
        case .snapshotDelete(let name):
            verb(.snapshotDelete)
            fields.text(name)
        case .snapshotList(let json):
            verb(.snapshotList)
            fields.flag(json)
        case .snapshotMount(let name, let directory, let options):
            verb(.snapshotMount)
            fields.text(name)
            fields.text(directory)
            fields.text(options)
        case .resize(let bytes):
            verb(.resize)
            fields.u64(bytes)
        }
        return fields.bytes
    }

    /// - Throws: ``ControlError/version(_:)``, ``ControlError/malformed(_:)``.
    package static func parse(_ payload: [UInt8]) throws(ControlError) -> (ControlRequest, token: [UInt8]) {
        var fields = FieldReader(payload)
        let version = try fields.u16()
        guard version == Self.version else { throw .version(version) }
        let token = try fields.bytes(tokenBytes)
        let number = try fields.u8()
        guard let verb = Verb(rawValue: number) else { throw .malformed("request \(number), which is none") }
        let request: ControlRequest
        switch verb {
        case .info: request = .info(json: try fields.flag())
        case .whereabouts: request = .whereabouts(path: try fields.text(), json: try fields.flag())
        case .keysList: request = .keysList
        case .keysAdd: request = .keysAdd
        case .keysRemove: request = .keysRemove(slot: Int(try fields.u8()))
        case .keysChange: request = .keysChange
        case .keysRotate:
            request = .keysRotate(dropsOthers: try fields.flag(), unlockMilliseconds: try fields.u64())
        case .check: request = .check(readsData: try fields.flag(), json: try fields.flag())
        case .snapshotCreate: request = .snapshotCreate(name: try fields.text())
        case .snapshotDelete: request = .snapshotDelete(name: try fields.text())
        case .snapshotList: request = .snapshotList(json: try fields.flag())
        case .snapshotMount:
            request = .snapshotMount(
                name: try fields.text(), directory: try fields.text(), options: try fields.text())
        case .resize: request = .resize(bytes: try fields.u64())
        }
        try fields.finish()
        return (request, token)
    }
}
