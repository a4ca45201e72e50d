import Foundation

/// Threads for tests that must not depend on the width of the task pool.
enum TestThread {
    static func start(_ body: @escaping @Sendable () -> Void) {
        Thread.detachNewThread(body)
    }
}
