import Testing
import VFS

@testable import FUSEFront

/// What needs no mount.
@Suite struct OptionTests {
    @Test func listsAreUnderstood() throws {
        var options = FUSEOptions()
        try options.apply(list: "ro,allow_other,noatime,discard,fsname=ab")
        try options.apply(
            list: "commit=30,max_read=65536,threads=3,,subtype=x,suid,dev,noexec,auto_unmount,nonempty")
        #expect(options.readOnly && options.audience == .everybody && !options.updatesAccessTimes)
        #expect(options.returnsFreeSpace && options.sourceName == "ab" && options.subtype == "x")
        #expect(options.commitSeconds == 30 && options.maximumReadBytes == 65536 && options.threads == 3)
        #expect(options.allowsSetUserID && options.allowsDevices && !options.allowsExecution)
        #expect(options.unmountsWhenKilled && options.hidesFiles && options.checksPermissions)
        try options.apply(list: "rw,atime,nodiscard,exec,nosuid,nodev,allow_root")
        #expect(
            !options.readOnly && !options.returnsFreeSpace && options.updatesAccessTimes && options.allowsExecution)
        #expect(!options.allowsSetUserID && !options.allowsDevices && options.audience == .ownerAndRoot)
    }

    @Test(arguments: ["nonsense", "nonsense=1", "ro,what", "Ro"]) func unknownOnesAreNamed(_ list: String) {
        var options = FUSEOptions()
        let unknown = list.split(separator: ",").last.map(String.init) ?? ""
        #expect(throws: FUSEError.unknownOption(unknown)) { try options.apply(list: list) }
    }

    @Test(arguments: [
        "commit", "commit=", "commit=0", "commit=x", "max_read=100", "max_read=5000000", "threads=0", "fsname=",
    ])
    func unsuitableValuesAreRefused(_ option: String) {
        var options = FUSEOptions()
        do throws(FUSEError) {
            try options.apply(list: option)
            Issue.record("\(option) was taken")
        } catch {
            guard case .unsuitableOption(option, _) = error else {
                Issue.record("\(error)")
                return
            }
        }
    }

    @Test func namesCannotSmuggleOptions() {
        var options = FUSEOptions()
        options.sourceName = "a,allow_other\\"
        #expect(options.mountList(typeName: "t").contains("fsname=a\\,allow_other\\\\,subtype=t"))
    }

    @Test func theRootTakesNumberOne() {
        let same = NodeMapping(root: NodeID(rawValue: 1))
        let other = NodeMapping(root: NodeID(rawValue: 256))
        for number in [1, 2, 256, 1 << 48, UInt64.max] as [UInt64] {
            #expect(same.kernel(NodeID(rawValue: number)) == number)
            #expect(other.node(other.kernel(NodeID(rawValue: number))).rawValue == number)
        }
        #expect(other.kernel(NodeID(rawValue: 256)) == 1)
        #expect(other.kernel(NodeID(rawValue: 1)) == 256)
    }

    @Test func countsAreGivenBackOnce() {
        let table = ReferenceTable()
        let (first, second) = (NodeID(rawValue: 5), NodeID(rawValue: 21))
        for _ in 0..<3 { table.addLookup(first) }
        table.addLookup(second)
        table.addOpen(first, Handle(rawValue: 9))
        #expect(table.removeLookups(first, 2) == 2)
        #expect(table.removeLookups(first, 5) == 1)
        #expect(table.removeLookups(first, 1) == 0)
        #expect(!table.knows(first) && table.knows(second))
        table.addOpen(first, Handle(rawValue: 9))
        #expect(table.removeOpen(first, Handle(rawValue: 9)))
        #expect(!table.removeOpen(second, Handle(rawValue: 9)))
        table.checkInvariants()
        var given: [String] = []
        table.releaseAll(
            { given.append("close \($0.rawValue) \($1.rawValue)") }, { given.append("forget \($0.rawValue) \($1)") }
        )
        #expect(given == ["close 5 9", "forget 21 1"])
        table.releaseAll({ _, _ in given.append("again") }, { _, _ in given.append("again") })
        #expect(given.count == 2)
    }

    @Test func mountLinesAreTakenApart() throws {
        let line = "98 29 0:47 / /mnt/a\\040b\\134c rw,nosuid shared:1 - fuse.encfs my\\040source rw,user_id=0"
        let entry = try #require(MountTable.entry(line))
        #expect(entry.device == "0:47" && entry.mountpoint == "/mnt/a b\\c")
        #expect(entry.type == "fuse.encfs" && entry.source == "my source")
        #expect(MountTable.entry("") == nil)
        #expect(MountTable.entry("1 2 0:3 / /x rw - ") == nil)
    }

    @Test func requestsAreReadWithinTheirBounds() {
        let bytes: [UInt8] = Array(repeating: 0xFF, count: 47)
        for count in 0...bytes.count {
            bytes[..<count].withUnsafeBytes { part in
                let request = RawRequest(part)
                #expect(request.initialisation == nil)
                #expect(!request.killsPrivileges)
            }
        }
    }

    @Test func reportsOfTheBackgroundProcess() {
        for report in [BackgroundReport.ready, .failed(exitCode: 20, "wrong passphrase"), .failed(exitCode: 1, "")]
        {
            #expect(BackgroundReport(report.bytes) == report)
        }
        #expect(BackgroundReport([]) == nil && BackgroundReport([1]) == nil && BackgroundReport([7, 7]) == nil)
    }

    @Test func secretsArriveInOrder() throws {
        let pipe = try Pipe()
        var sent = SecretParcel()
        let secrets: [[UInt8]] = [[1, 2, 3], [], Array(repeating: 7, count: 4096)]
        for secret in secrets { try secret.withUnsafeBytes { try sent.append($0) } }
        try sent.send(to: pipe.writing)
        pipe.closeWriting()
        var received = SecretParcel()
        try received.receive(from: pipe.reading)
        var found: [[UInt8]] = []
        received.forEach { found.append(Array($0)) }
        #expect(found == secrets)
        let large = [UInt8](repeating: 0, count: 40_000)
        #expect(throws: FUSEError.self) { try large.withUnsafeBytes { try received.append($0) } }
    }

    @Test func traceLinesStayLines() {
        #expect(OperationTrace.quoted([0x61, 0x0A, 0x22, 0x5C, 0xFF]) == "\"a\\x0a\\\"\\\\\\xff\"")
    }
}
