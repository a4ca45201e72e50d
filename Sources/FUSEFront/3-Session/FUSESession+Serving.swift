import CFUSE
import CLinux
import Glibc
import Synchronization
import VFS

extension FUSESession {
    /// How long a stopped mount may still be used by those who have files open, before they are cut off.
    private static let graceMilliseconds: Int32 = 5000

    /// Runs the serving threads until all of them returned.
    /// - Returns: why serving broke down, if it did.
    func serve() -> FUSEError? {
        let interrupt = casemate_interrupt_signal()
        precondition(interrupt > 0, "no real-time signal")
        if server.options.handlesSignals {
            let result = casemate_watch_end_signals(stopEvent.descriptor)
            if result < 0 {
                server.logger.warning("signals will not unmount", metadata: ["errno": "\(-result)"])
            }
        }
        defer { if server.options.handlesSignals { casemate_unwatch_end_signals(stopEvent.descriptor) } }

        let group = WorkerGroup(self, interrupt)
        do throws(FUSEError) { try group.start(server.options.threadCount) } catch {
            abandon(group)
            return error
        }
        let (stopped, ended) = Event.wait(stopEvent, endedEvent, milliseconds: -1)
        if stopped, !ended { takeDown(group) }
        group.join()
        return group.failure
    }

    /// Unmounts while the threads go on serving, so that what the kernel still has to write arrives.
    private func takeDown(_ group: WorkerGroup) {
        stopEvent.clear()
        let path = mountpoint
        let logger = server.logger
        var unmounter: ServiceThread?
        do throws(FUSEError) {
            unmounter = try ServiceThread(named: "fuse-unmount") {
                do throws(FUSEError) { try Unmounting.detach(path) } catch {
                    logger.warning("unmounting \(path): \(error)")
                }
            }
        } catch { logger.warning("unmounting \(path): \(error)") }
        // A second signal ends the grace.
        let (_, ended) = Event.wait(stopEvent, endedEvent, milliseconds: Self.graceMilliseconds)
        if !ended { abandon(group) }
        unmounter?.join()
    }

    /// Makes the threads return and cuts the connection: who still uses the mount gets `ENOTCONN`.
    private func abandon(_ group: WorkerGroup) {
        abandoned.store(true, ordering: .releasing)
        repeat { group.interrupt() } while !Event.wait(endedEvent, endedEvent, milliseconds: 20).0
        handle.unmount()
    }

    /// One thread's part: read a request, serve it, until the mount is gone.
    func serveRequests() -> FUSEError? {
        let worker = Worker()
        var failure: FUSEError?
        worker.serve {
            var buffer = fuse_buf()
            defer { free(buffer.mem) }
            while !abandoned.load(ordering: .acquiring) {
                let count = fuse_session_receive_buf(handle.raw, &buffer)
                if count == -EINTR || count == -EAGAIN { continue }
                if count <= 0 {
                    if count == -ECONNABORTED {
                        // Cut by the kernel while a request was handed over, or by root (fusectl's `abort`): no more will
                        // come, and what was written is saved as after any unmount.
                        server.logger.warning("\(mountpoint): the connection to the kernel was cut")
                    } else if count < 0 {
                        failure = FUSEError.system(
                            call: "read /dev/fuse", errno: Errno(rawValue: -count), path: nil)
                    }
                    break
                }
                let request = RawRequest(
                    UnsafeRawBufferPointer(start: buffer.mem, count: min(Int(count), buffer.size)))
                server.privileges.received(request)
                worker.killsPrivileges = request.killsPrivileges
                if server.trace != nil { worker.began = OperationTrace.now() }
                fuse_session_process_buf(handle.raw, &buffer)
            }
        }
        return failure
    }
}

/// The serving threads of a session.
final class WorkerGroup: @unchecked Sendable {
    // SAFETY: `threads` is used only by the thread that runs the session; the rest is locked or atomic.
    private var threads: [ServiceThread] = []
    private let session: FUSESession
    private let running = Atomic<Int>(0)
    private let firstFailure = Mutex<FUSEError?>(nil)

    private let interruptSignal: Int32

    init(_ session: FUSESession, _ interruptSignal: Int32) {
        self.session = session
        self.interruptSignal = interruptSignal
    }

    var failure: FUSEError? { firstFailure.withLock { $0 } }

    func start(_ count: Int) throws(FUSEError) {
        // Counted before they start, so that the first to end does not look like the last.
        running.store(count, ordering: .releasing)
        for index in 0..<count {
            do throws(FUSEError) {
                threads.append(try ServiceThread(named: "fuse-\(index)") { [self] in work() })
            } catch {
                for _ in index..<count { leave() }
                throw error
            }
        }
    }

    private func work() {
        // Threads started by libdispatch's inherit a mask that blocks everything.
        casemate_unblock_signal(interruptSignal)
        if let failure = session.serveRequests() {
            firstFailure.withLock { $0 = $0 ?? failure }
            session.stop()
        }
        leave()
    }

    private func leave() {
        if running.subtract(1, ordering: .acquiringAndReleasing).newValue == 0 { session.endedEvent.signal() }
    }

    func interrupt() { for thread in threads { thread.interrupt(with: interruptSignal) } }

    func join() {
        for thread in threads { thread.join() }
        threads = []
    }
}
