import Synchronization

/// One request under way: where its progress and warnings go, and whether anybody still wants it.
package final class ControlJob: Sendable {
    private let socket: ControlSocket
    private let isStopping: @Sendable () -> Bool
    private let isAbandoned = Atomic(false)
    private let told = Mutex(Told())

    private struct Told: Sendable {
        var shown: ContinuousClock.Instant?
        var looked: ContinuousClock.Instant?
    }

    init(_ socket: ControlSocket, isStopping: @escaping @Sendable () -> Bool) {
        self.socket = socket
        self.isStopping = isStopping
    }

    /// Whether the work should end: who asked is gone, or the mount is. Cheap enough to ask for every block.
    package var isCancelled: Bool {
        if isAbandoned.load(ordering: .relaxed) { return true }
        let now = ContinuousClock.now
        let isDue = told.withLock { told in
            if let looked = told.looked, now - looked < .milliseconds(50) { return false }
            told.looked = now
            return true
        }
        guard isDue, isStopping() || socket.hasHungUp else { return false }
        isAbandoned.store(true, ordering: .relaxed)
        return true
    }

    /// Shows how far the work is, at most ten times a second.
    package func progress(_ done: UInt64, of total: UInt64) {
        let now = ContinuousClock.now
        let isDue = told.withLock { told in
            if let shown = told.shown, now - shown < .milliseconds(100), done < total { return false }
            told.shown = now
            return true
        }
        guard isDue else { return }
        var fields = FieldWriter()
        fields.u64(done)
        fields.u64(total)
        tell(.progress, fields.bytes)
    }

    /// A warning beside the result.
    package func note(_ text: String) {
        var fields = FieldWriter()
        fields.text(text)
        tell(.note, fields.bytes)
    }

    private func tell(_ frame: ControlFrame, _ payload: [UInt8]) {
        guard !isAbandoned.load(ordering: .relaxed) else { return }
        do throws(ControlError) { try socket.send(frame, payload) } catch {
            isAbandoned.store(true, ordering: .relaxed)
        }
    }
}
