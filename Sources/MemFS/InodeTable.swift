import Synchronization

/// All inodes by number, in shards so that threads seldom meet.
final class InodeTable: Sendable {
    private final class Shard: Sendable {
        let inodes = Mutex<[UInt64: Inode]>([:])
    }

    private let shards: [Shard] = (0..<16).map { _ in Shard() }

    private func shard(_ number: UInt64) -> Shard { shards[Int(number & 15)] }

    subscript(number: UInt64) -> Inode? { shard(number).inodes.withLock { $0[number] } }

    func insert(_ inode: Inode) { shard(inode.number).inodes.withLock { $0[inode.number] = inode } }

    func remove(_ number: UInt64) { shard(number).inodes.withLock { _ = $0.removeValue(forKey: number) } }

    var count: Int { shards.reduce(0) { sum, shard in sum + shard.inodes.withLock { $0.count } } }

    /// Every inode, in ascending order of number.
    var all: [Inode] {
        shards.flatMap { shard in shard.inodes.withLock { Array($0.values) } }.sorted { $0.number < $1.number }
    }
}
