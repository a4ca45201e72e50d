extension FUSEOptions {
    /// Applies a list as given to one `-o`: `ro,allow_other,commit=30`. Later options win.
    /// - Throws: ``FUSEError/unknownOption(_:)``, ``FUSEError/unsuitableOption(_:reason:)``.
    public mutating func apply(list: String) throws(FUSEError) {
        for part in list.split(separator: ",", omittingEmptySubsequences: true) {
            try apply(option: String(part))
        }
    }

    private mutating func apply(option: String) throws(FUSEError) {
        guard let equals = option.firstIndex(of: "=") else { return try apply(flag: option) }
        try apply(key: String(option[..<equals]), value: String(option[option.index(after: equals)...]), in: option)
    }

    private mutating func apply(flag: String) throws(FUSEError) {
        switch flag {
        case "ro": readOnly = true
        case "rw": readOnly = false
        case "allow_other": audience = .everybody
        case "allow_root": audience = .ownerAndRoot
        case "default_permissions": checksPermissions = true
        case "no_default_permissions": checksPermissions = false
        case "suid": allowsSetUserID = true
        case "nosuid": allowsSetUserID = false
        case "dev": allowsDevices = true
        case "nodev": allowsDevices = false
        case "exec": allowsExecution = true
        case "noexec": allowsExecution = false
        case "atime": updatesAccessTimes = true
        case "noatime": updatesAccessTimes = false
        case "discard": returnsFreeSpace = true
        case "nodiscard": returnsFreeSpace = false
        case "auto_unmount": unmountsWhenKilled = true
        case "nonempty": hidesFiles = true
        case "fsname", "subtype", "max_read", "threads", "commit":
            throw FUSEError.unsuitableOption(flag, reason: "needs a value, as in \(flag)=…")
        default: throw FUSEError.unknownOption(flag)
        }
    }

    private mutating func apply(key: String, value: String, in option: String) throws(FUSEError) {
        switch key {
        case "fsname": sourceName = try text(value, in: option)
        case "subtype": subtype = try text(value, in: option)
        case "max_read":
            let bytes = try number(value, in: option, 4096...FUSEOptions.requestBytes)
            guard bytes % 4096 == 0 else {
                throw FUSEError.unsuitableOption(option, reason: "not a multiple of 4096")
            }
            maximumReadBytes = bytes
        case "threads": threads = try number(value, in: option, 1...256)
        case "commit": commitSeconds = try number(value, in: option, 1...86_400)
        default: throw FUSEError.unknownOption(option)
        }
    }

    private func text(_ value: String, in option: String) throws(FUSEError) -> String {
        guard !value.isEmpty else { throw FUSEError.unsuitableOption(option, reason: "the value is empty") }
        return value
    }

    private func number(_ value: String, in option: String, _ range: ClosedRange<Int>) throws(FUSEError) -> Int {
        guard let number = Int(value) else { throw FUSEError.unsuitableOption(option, reason: "not a number") }
        guard range.contains(number) else {
            throw FUSEError.unsuitableOption(
                option, reason: "not between \(range.lowerBound) and \(range.upperBound)")
        }
        return number
    }
}

extension FUSEOptions {
    /// The largest read or write request: what the kernel gives FUSE by default (256 pages).
    static let requestBytes = 1 << 20

    /// The options as `mount(2)` and `fusermount3` want them.
    func mountList(typeName: String) -> String {
        var list = [readOnly ? "ro" : "rw"]
        switch audience {
        case .owner: break
        case .ownerAndRoot: list.append("allow_root")
        case .everybody: list.append("allow_other")
        }
        if checksPermissions { list.append("default_permissions") }
        list.append(allowsSetUserID ? "suid" : "nosuid")
        list.append(allowsDevices ? "dev" : "nodev")
        list.append(allowsExecution ? "exec" : "noexec")
        if !updatesAccessTimes { list.append("noatime") }
        if unmountsWhenKilled { list.append("auto_unmount") }
        if let maximumReadBytes { list.append("max_read=\(maximumReadBytes)") }
        list.append("fsname=" + Self.escaped(sourceName ?? typeName))
        list.append("subtype=" + Self.escaped(subtype ?? typeName))
        return list.joined(separator: ",")
    }

    /// libfuse splits at commas; a backslash takes the next byte as it is.
    private static func escaped(_ text: String) -> String {
        var result = ""
        for character in text {
            if character == "," || character == "\\" { result.append("\\") }
            result.append(character)
        }
        return result
    }
}
