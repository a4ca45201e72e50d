import Foundation

@testable import SecureBlock

/// Threads for tests that must not depend on the width of the task pool.
enum TestThread {
    static func start(_ body: @escaping @Sendable () -> Void) {
        Thread.detachNewThread(body)
    }

    /// What a call on a thread of its own comes to. A task that blocks would keep others from the pool, and two of them
    /// all others on a machine with two processors.
    final class Outcome<Value: Sendable>: Sendable {
        private let result = Monitor<Result<Value, any Error>?>(nil)

        init(_ body: @escaping @Sendable () throws -> Value) {
            TestThread.start { [result] in
                let outcome = Result { try body() }
                result.change { $0 = outcome }
            }
        }

        func wait() throws -> Value {
            try result.changeWhen({ $0 != nil }) { $0 }!.get()
        }
    }
}
