import Testing

@testable import SecureBlock

@Suite struct HostWriteTests {
    @Test func completesOnceForEverybody() async throws {
        for round in 0..<200 {
            let write = HostWrite()
            let failure: HostError? = round % 2 == 0 ? nil : .noSpace
            let results = await withTaskGroup(of: HostError?.self) { group in
                for _ in 0..<6 {
                    group.addTask {
                        do throws(HostError) {
                            try write.wait()
                            return nil
                        } catch {
                            return error
                        }
                    }
                }
                // A thread of its own: the waiters may hold every thread of the pool.
                TestThread.start { write.complete(failure) }
                return await group.reduce(into: []) { $0.append($1) }
            }
            #expect(results == [HostError?](repeating: failure, count: 6))
            #expect(write.isComplete)
        }
    }

    @Test func finishedWritesDoNotBlock() throws {
        try HostWrite.completed().wait()
        #expect(throws: HostError.beyondEnd(offset: 4096)) { try HostWrite.failed(.beyondEnd(offset: 4096)).wait() }
        #expect(!HostWrite().isComplete)
    }
}
