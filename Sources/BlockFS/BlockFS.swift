import Glibc
public import SecureBlock
import Synchronization
public import VFS

/// A block device shown as one file, `disk`, in a directory of its own: what a loop device, and with it any mainstream
/// filesystem, stands on.
///
///     let files = try BlockFS(device, BlockFS.Options())
///     …                                   // serve it, losetup DIR/disk, mkfs, mount
///     try files.close()                   // commits
///
/// **What is durable when.** As of a disk with a write cache: what was written before an `fsync(2)` of the file is
/// durable when that returns, and after a crash the disk holds exactly one commit, the last that was acknowledged or a
/// later one. Beside that, commits run at an interval and whenever the device asks for one: a disk's client has no
/// operations that a commit could cut in half, so one is always right (I9).
///
/// **Blocks.** The device has blocks of 4096 bytes; reads and writes of any offset and length are taken. A write of part
/// of a block reads, changes and writes it while no other write of that block can come in between.
///
/// **Failures.** A block that does not verify is `EIO` for that read alone. A device that stopped writing answers `EIO`.
public final class BlockFS: FileSystem {
    /// How the device is shown.
    public struct Options: Sendable {
        /// Time between commits of their own accord; 0 for none.
        public var commitIntervalMilliseconds = 5000
        /// Whom file and directory belong to. Nobody else gets in.
        public var owner: UInt32 = 0
        public var group: UInt32 = 0
        /// Called with one line for every fault an operator should know of; from any thread.
        public var reportFault: @Sendable (String) -> Void = { _ in }
        public init() {}
    }

    public let root = NodeID(rawValue: 1)
    /// The one file.
    public static let disk = NodeID(rawValue: 2)
    /// Its name.
    public static let diskName = "disk"

    let device: any BlockDevice
    let options: Options
    /// Size of the device and of the file, in bytes; another one after a resize.
    var byteCount: UInt64 { device.logicalBlockCount * UInt64(blockBytes) }
    let writing = RangeLock()
    let times: Mutex<Times>
    private let observer = Mutex<(any ChangeObserver)?>(nil)
    private let commits: CommitClock?

    struct Times: Sendable {
        var read: Timestamp
        var written: Timestamp
        var changed: Timestamp
    }

    /// Shows `device`, which nobody else may use until ``close()``; it stays open afterwards.
    /// - Throws: `EAGAIN` when there is no thread for commits.
    public init(_ device: any BlockDevice, _ options: Options) throws(VFSError) {
        self.device = device
        self.options = options
        let now = Timestamp.now
        times = Mutex(Times(read: now, written: now, changed: now))
        guard !device.isReadOnly else {
            commits = nil
            return
        }
        let report = options.reportFault
        commits = CommitClock(intervalMilliseconds: options.commitIntervalMilliseconds) {
            // Waiting makes a failure known now, not only to the next caller.
            do throws(DeviceError) { try device.commit().wait() } catch { report("commit: \(error)") }
        }
        guard commits != nil else {
            throw VFSError(.resourceTemporarilyUnavailable, fault: "no thread for commits")
        }
    }

    public var traits: Traits {
        Traits(
            ownsState: true, readOnly: device.isReadOnly, maximumFileBytes: UInt64(Int64.max), typeName: "blockfs",
            bypassesCaches: true)
    }

    /// Commits everything, durable on return, and ends all work on the device.
    /// - Throws: `EIO` when what was not committed before is lost.
    public func close() throws(VFSError) {
        guard let commits else { return }
        commits.stop()
        do throws(DeviceError) { try device.commit().wait() } catch { throw failure(error) }
    }

    deinit { commits?.stop() }

    public func commit(_ node: NodeID?, dataOnly: Bool) throws(VFSError) -> any DurabilityTicket {
        if device.isReadOnly { return ImmediateTicket() }
        do throws(DeviceError) { return Ticket(ticket: try device.commit(), files: self) } catch {
            throw failure(error)
        }
    }

    private struct Ticket: DurabilityTicket {
        let ticket: any CommitTicket
        let files: BlockFS
        func wait() throws(VFSError) {
            do throws(DeviceError) { try ticket.wait() } catch { throw files.failure(error) }
        }
    }

    /// Commits everything, and runs `body` while what is durable is exactly what there is. Writes wait meanwhile, reads
    /// go on; `body` must not call this filesystem.
    /// - Throws: `EROFS`, or `EIO` for a commit that fails; `body` did not run then.
    public func quiesced(_ body: () -> Void) throws(VFSError) {
        do throws(DeviceError) {
            try writing.hold(0..<device.logicalBlockCount) { () throws(DeviceError) in
                try device.commit().wait()
                body()
            }
        } catch { throw failure(error) }
    }

    /// The device has another size.
    public func sizeChanged() {
        times.withLock { $0.changed = .now }
        observer.withLock { $0 }?.changed(Self.disk)
    }

    public func observe(_ observer: (any ChangeObserver)?) { self.observer.withLock { $0 = observer } }

    /// Has a commit come soon if the device would like one. After every change, so that what is overwritten never holds
    /// so much space that a write has to wait.
    func commitIfWanted() { if device.commitWanted { commits?.request() } }

    func failure(_ error: DeviceError) -> VFSError {
        switch error {
        case .noSpace, .commitRequired:
            VFSError(.noSpace, fault: "no room: the volume, or the disk that holds it, is full")
        case .readOnly: VFSError(.readOnlyFileSystem)
        case .unreadable(let block, let reason): VFSError(.ioError, fault: "\(block) cannot be read: \(reason)")
        case .latched(let cause): VFSError(.ioError, fault: "the device stopped writing: \(cause)")
        case .outOfRange, .misaligned, .closed: VFSError(.ioError, fault: "\(error)")
        }
    }
}
