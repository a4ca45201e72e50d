import CommandSupport
import FUSEFront
import Glibc
import Logging
import SecureBlock
import Synchronization
import Testing
import VFS

@testable import VolumeControl

/// The control channel without a volume: what the daemon's end does with requests, and with anything else.
@Suite struct ControlWireTests {
    /// Answers by a test's rule and counts.
    private final class Service: ControlService {
        let calls = Mutex<[ControlRequest]>([])
        let answer: @Sendable (ControlRequest, [Credential], ControlJob) throws(CommandFailure) -> ControlResult

        init(
            _ answer:
                @escaping @Sendable (ControlRequest, [Credential], ControlJob) throws(CommandFailure) ->
                ControlResult = { _, _, _ in ControlResult("fine") }
        ) { self.answer = answer }

        func perform(
            _ request: ControlRequest, _ credentials: [Credential], _ job: ControlJob
        ) throws(CommandFailure) -> ControlResult {
            calls.withLock { $0.append(request) }
            return try answer(request, credentials, job)
        }
    }

    /// Set by one thread, awaited by another.
    private final class Signal: Sendable {
        private let value = Atomic(false)
        var isSet: Bool { value.load(ordering: .sequentiallyConsistent) }
        func set() { value.store(true, ordering: .sequentiallyConsistent) }
        func wait() { while !isSet { usleep(1000) } }
    }

    private let root = NodeID(rawValue: 1)

    private func serve(_ service: Service, _ body: (ControlServer) throws -> Void) throws {
        let server = try ControlServer(
            root: root, service: service, logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
        defer { server.stop() }
        try body(server)
    }

    private func address(_ server: ControlServer, user: UInt32 = geteuid()) throws -> ControlAddress {
        let caller = Caller(user: user, group: 0)
        return try ControlAddress(
            server.control(
                ControlAddress.command, on: root, by: caller, UnsafeRawBufferPointer(start: nil, count: 0),
                outputBytes: ControlAddress.byteCount))
    }

    private func connect(_ address: ControlAddress) throws -> ControlSocket {
        let descriptor = try LocalSocket.make(blocking: true)
        let socket = ControlSocket(descriptor)
        try LocalSocket.withAddress(address.name) { Glibc.connect(descriptor, $0, $1) }
        return socket
    }

    /// What comes back until the end: the frames, with the last one's payload.
    private func replies(_ socket: ControlSocket) throws -> (frames: [ControlFrame], last: [UInt8]) {
        var frames: [ControlFrame] = []
        var last: [UInt8] = []
        while true {
            do throws(ControlError) {
                let (frame, payload) = try socket.receive(within: 20)
                frames.append(frame)
                last = payload
            } catch {
                guard error == .closed else { throw error }
                return (frames, last)
            }
        }
    }

    private func refusal(_ socket: ControlSocket) throws -> CommandStatus? {
        let (frames, last) = try replies(socket)
        guard frames == [.failure] else { return nil }
        return try ControlReply.failure(last).status
    }

    private let requests: [ControlRequest] = [
        .info(json: true), .info(json: false), .whereabouts(path: "a/ü", json: true), .keysList, .keysAdd,
        .keysRemove(slot: 7), .keysChange, .keysRotate(dropsOthers: true, unlockMilliseconds: 1 << 40),
        .check(readsData: true, json: false), .snapshotCreate(name: "a b"),
        .snapshotDelete(name: ""), .snapshotList(json: true),
        .snapshotMount(name: "a b", directory: "/x/ü", options: "noexec,threads=2"), .resize(bytes: .max),
    ]

    @Test func requestsComeBackAsTheyWent() throws {
        let token = (0..<16).map { UInt8($0) }
        for request in requests {
            let payload = request.payload(token: token)
            #expect(payload.count <= ControlFrame.request.limitBytes)
            let (parsed, found) = try ControlRequest.parse(payload)
            #expect(parsed == request && found == token)
            // Nothing is optional, and nothing may follow.
            for count in 0..<payload.count {
                #expect(throws: ControlError.self) { try ControlRequest.parse(Array(payload[..<count])) }
            }
            #expect(throws: ControlError.self) { try ControlRequest.parse(payload + [0]) }
        }
        let failure = CommandFailure(.rollback, "what", at: "place", advice: "advice")
        #expect(try ControlReply.failure(ControlReply.payload(failure)) == failure)
    }

    @Test(arguments: [1, 2, 3] as [UInt64]) func randomBytesAreRefusedOrMeanSomething(_ seed: UInt64) throws {
        var state = seed
        func byte() -> UInt8 {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return UInt8(truncatingIfNeeded: state >> 33)
        }
        var refused = 0
        for _ in 0..<20_000 {
            var payload = (0..<Int(byte() % 48)).map { _ in byte() }
            // Most of them past the version, so that the fields are reached.
            if payload.count > 2, byte() < 200 { payload.replaceSubrange(0..<2, with: [1, 0]) }
            if payload.count > 18 { payload[18] %= 15 }
            do {
                let (request, token) = try ControlRequest.parse(payload)
                #expect(request.payload(token: token) == payload)
            } catch { refused += 1 }
            do { _ = try ControlFrame.parse(header: Array(payload.prefix(5))) } catch { refused += 1 }
            do { _ = try ControlReply.failure(payload) } catch { refused += 1 }
        }
        #expect(refused > 20_000)
    }

    @Test func aRequestIsAnswered() throws {
        let text = String(repeating: "result ", count: 30_000)
        let service = Service { _, credentials, job in
            job.progress(1, of: 2)
            job.note("careful")
            return ControlResult(text + "\(credentials.count)", exitStatus: 4)
        }
        try serve(service) { server in
            let address = try address(server)
            let socket = try connect(address)
            try socket.send(.request, ControlRequest.keysAdd.payload(token: address.token))
            var parcel = SecretParcel()
            let secret = try SecretBytes(byteCount: 32) { $0.initializeMemory(as: UInt8.self, repeating: 7) }
            try Credential.keyFile(secret).append(to: &parcel)
            try Credential.passphrase(secret).append(to: &parcel)
            try parcel.withBytes { bytes throws(ControlError) in try socket.send(.secrets, bytes) }
            var received: [UInt8] = []
            var notes: [String] = []
            var status: UInt8?
            while status == nil {
                let (frame, payload) = try socket.receive(within: 20)
                switch frame {
                case .progress: #expect(payload.count == 16)
                case .note: notes.append(String(decoding: payload.dropFirst(2), as: UTF8.self))
                case .text: received += payload
                case .done: status = payload[0]
                default: Issue.record("\(frame)")
                }
            }
            #expect(String(decoding: received, as: UTF8.self) == text + "2")
            #expect(notes == ["careful"] && status == 4)
            #expect(service.calls.withLock { $0 } == [.keysAdd])
        }
    }

    @Test func onlyTheOwnerAndRootAreGivenAnAddress() throws {
        try serve(Service()) { server in
            #expect(throws: VFSError.self) { try address(server, user: 4711) }
            #expect(throws: VFSError.self) {
                try server.control(
                    ControlAddress.command + 1, on: root, by: .root, UnsafeRawBufferPointer(start: nil, count: 0),
                    outputBytes: 96)
            }
            #expect(throws: VFSError.self) {
                try server.control(
                    ControlAddress.command, on: NodeID(rawValue: 2), by: .root,
                    UnsafeRawBufferPointer(start: nil, count: 0), outputBytes: 96)
            }
            let (one, other) = (try address(server, user: 0), try address(server))
            #expect(one.name == other.name && one.token != other.token)
        }
    }

    /// Another user's process finds the socket, and is let go without a word.
    @Test(
        .enabled(
            if: geteuid() == 0 && access("/usr/bin/perl", X_OK) == 0 && access("/usr/bin/setpriv", X_OK) == 0,
            "needs root, perl and setpriv, to act as another user"))
    func strangersAreLetGo() throws {
        let service = Service()
        try serve(service) { server in
            let address = try address(server)
            let request = ControlRequest.keysList.payload(token: address.token)
            let sent = ControlFrame.request.header(request.count) + request + ControlFrame.secrets.header(0)
            func hex(_ bytes: [UInt8]) -> String {
                bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
            }
            let script = """
                use Socket; my ($name, $sent) = map { pack 'H*', $_ } @ARGV; $SIG{PIPE} = 'IGNORE'; alarm 20;
                socket(my $s, PF_UNIX, SOCK_STREAM, 0) or die; connect($s, pack_sockaddr_un("\\0$name")) or die;
                syswrite($s, $sent); my $n = sysread($s, my $answer, 100); print defined $n ? "read $n" : "cut off";
                """
            let arguments = ["perl", "-e", script, hex(address.name.filter { $0 != 0 }), hex(sent)]
            let own = try ProgramRun.run("/usr/bin/env", arguments)
            #expect(own.output.contains(/read [1-9]/), "\(own.text)")
            let user = ["setpriv", "--reuid", "4711", "--regid", "4711", "--clear-groups"]
            let other = try ProgramRun.run("/usr/bin/env", user + arguments)
            #expect(other.output == "read 0" || other.output == "cut off", "\(other.text)")
        }
        #expect(service.calls.withLock { $0.count } == 1)
    }

    @Test func aTokenIsGoodOnceForWhomItWasMadeAndNotForLong() throws {
        var tokens = ControlTokens()
        let now = ContinuousClock.now
        func take(_ token: [UInt8], from user: UInt32, after wait: Duration = .zero) -> Bool {
            tokens.take(token, from: user, at: now + wait)
        }
        let first = tokens.make(for: 1, at: now)
        #expect(!take(first, from: 2))
        #expect(take(first, from: 1))
        #expect(!take(first, from: 1))
        let late = tokens.make(for: 1, at: now)
        #expect(!take(late, from: 1, after: ControlTokens.lifetime + .seconds(1)))
        let oldest = tokens.make(for: 1, at: now)
        for _ in 0..<ControlTokens.limit { _ = tokens.make(for: 1, at: now) }
        #expect(!take(oldest, from: 1))
        #expect(!take([], from: 1))
    }

    @Test func whatIsNoRequestIsRefusedAndTheNextOneServed() throws {
        let service = Service()
        try serve(service) { server in
            let good = ControlRequest.keysList
            func sent(_ frames: [(ControlFrame, [UInt8])], raw: [UInt8] = []) throws -> CommandStatus? {
                let socket = try connect(address(server))
                do throws(ControlError) {
                    for (frame, payload) in frames { try socket.send(frame, payload) }
                } catch { #expect(error == .closed) }
                if !raw.isEmpty { _ = Glibc.send(socket.descriptor, raw, raw.count, Int32(MSG_NOSIGNAL)) }
                shutdown(socket.descriptor, Int32(SHUT_WR))
                return try refusal(socket)
            }
            var token = try address(server).token
            var older = good.payload(token: token)
            older[0] = 2
            #expect(try sent([(.request, older)]) == .commandRefused)
            #expect(
                try sent([(.request, good.payload(token: [UInt8](repeating: 0, count: 16)))]) == .commandRefused)
            #expect(try sent([(.request, [1, 0, 3])]) == .commandRefused)
            #expect(try sent([(.done, [0])]) == .commandRefused)
            #expect(try sent([(.request, good.payload(token: token)), (.request, [])]) == .commandRefused)
            // The same token again.
            #expect(try sent([(.request, good.payload(token: token)), (.secrets, [])]) == .commandRefused)
            // Lengths that no memory holds, kinds that are none.
            #expect(try sent([], raw: [0xFF, 0xFF, 0xFF, 0xFF, 1]) == .commandRefused)
            #expect(try sent([], raw: [0, 0, 0, 0, 99]) == .commandRefused)
            // Secrets of no kind, of no length, of the wrong one.
            for parcel in [[1, 0, 1, 0, 0], [1, 0, 9, 1, 0, 5], [1, 0, 2, 1, 0, 5], [0, 0], [1, 0, 1]] as [[UInt8]]
            {
                token = try address(server).token
                let status = try sent([(.request, good.payload(token: token)), (.secrets, parcel)])
                #expect(status == .credentialUnusable, "\(parcel)")
            }
            #expect(service.calls.withLock { $0.isEmpty })
            let fresh = try address(server)
            let socket = try connect(fresh)
            try socket.send(.request, good.payload(token: fresh.token))
            try socket.send(.secrets, [])
            #expect(try replies(socket).frames == [.text, .done])
        }
    }

    @Test(arguments: [11, 12, 13] as [UInt64]) func noiseOnTheSocketEndsInARefusal(_ seed: UInt64) throws {
        var state = seed
        func random() -> UInt64 {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return state >> 33
        }
        let service = Service()
        try serve(service) { server in
            for _ in 0..<200 {
                let address = try address(server)
                let socket = try connect(address)
                var noise = (0..<Int(random() % 300)).map { _ in UInt8(truncatingIfNeeded: random()) }
                // A third of it begins as a request does.
                if random() % 3 == 0 {
                    let payload = requests[Int(random()) % requests.count].payload(token: address.token)
                    noise = ControlFrame.request.header(payload.count) + payload + noise
                }
                _ = Glibc.send(socket.descriptor, noise, noise.count, Int32(MSG_NOSIGNAL))
                shutdown(socket.descriptor, Int32(SHUT_WR))
                do {
                    let (frames, _) = try replies(socket)
                    #expect(frames.count <= 2)
                } catch let error as ControlError {
                    // Bytes that nobody read when the other side closed.
                    #expect(error == .system(call: "recv", errno: ECONNRESET) || error == .closed)
                }
            }
        }
    }

    @Test(
        arguments: [
            (.keysChange, .keysAdd), (.snapshotCreate(name: "a"), .snapshotDelete(name: "b")),
            (.resize(bytes: 1), .snapshotCreate(name: "a")),
            (.check(readsData: true, json: false), .check(readsData: false, json: true)),
        ] as [(ControlRequest, ControlRequest)])
    func oneRequestOfAKindAtATime(_ held: ControlRequest, _ other: ControlRequest) throws {
        let entered = Signal()
        let release = Signal()
        let service = Service { request, _, _ in
            if request == held {
                entered.set()
                release.wait()
            }
            return ControlResult("fine")
        }
        try serve(service) { server in
            defer { release.set() }
            func begin(_ request: ControlRequest) throws -> ControlSocket {
                let address = try address(server)
                let socket = try connect(address)
                try socket.send(.request, request.payload(token: address.token))
                try socket.send(.secrets, [])
                return socket
            }
            let first = try begin(held)
            entered.wait()
            #expect(try refusal(begin(other)) == .commandBusy)
            for looker in [.info(json: false), .snapshotList(json: true)] as [ControlRequest] {
                #expect(try replies(begin(looker)).frames == [.text, .done])
            }
            release.set()
            #expect(try replies(first).frames == [.text, .done])
            #expect(try replies(begin(other)).frames == [.text, .done])
        }
    }

    /// Whoever asks and goes away, and a mount that ends, cancel what is under way.
    @Test(arguments: [true, false]) func workEndsWithWhoWantsIt(_ clientLeaves: Bool) throws {
        let began = Signal()
        let ended = Signal()
        let service = Service { _, _, job throws(CommandFailure) in
            began.set()
            var step: UInt64 = 0
            while !job.isCancelled {
                job.progress(step, of: 1 << 20)
                step += 1
                usleep(1000)
            }
            ended.set()
            throw CommandFailure(.internal, "cancelled")
        }
        try serve(service) { server in
            var socket: ControlSocket?
            let given = try address(server)
            socket = try connect(given)
            try socket?.send(.request, ControlRequest.keysList.payload(token: given.token))
            try socket?.send(.secrets, [])
            began.wait()
            if clientLeaves {
                socket = nil
                ended.wait()
            } else {
                server.stop()
                #expect(ended.isSet)
            }
        }
    }

    @Test func manyAtOnceAreBounded() throws {
        let release = Signal()
        let service = Service { _, _, _ in
            release.wait()
            return ControlResult("fine")
        }
        try serve(service) { server in
            defer { release.set() }
            var sockets: [ControlSocket] = []
            for _ in 0..<ControlServer.conversationLimit {
                let address = try address(server)
                sockets.append(try connect(address))
                try sockets.last?.send(.request, ControlRequest.keysList.payload(token: address.token))
                try sockets.last?.send(.secrets, [])
            }
            #expect(try refusal(connect(address(server))) == .commandBusy)
            release.set()
            for socket in sockets { #expect(try replies(socket).frames == [.text, .done]) }
        }
    }
}
