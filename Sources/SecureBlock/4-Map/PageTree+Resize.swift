extension PageTree {
    /// Takes another number of leaves, and with it perhaps another height.
    ///
    /// What stays keeps its number on its level, so only few pages change: on new levels all that have children, and those
    /// whose children were cut off, as a stored page must not name what would come back when the tree grows again.
    /// - Returns: stored pages that are no more.
    mutating func resize(leafCount: Int) -> [PagePointer] {
        let counts = Self.levelCounts(leafCount: leafCount)
        var dropped: [PagePointer] = []
        while levels.count > counts.count {
            dropped += levels.removeLast().filter(\.exists)
            unwritten.removeLast()
        }
        while levels.count < counts.count {
            levels.append([])
            unwritten.append([])
        }
        // Pages of the level below that stay and lost their pointer, or a neighbour behind them.
        var changed: Set<Int> = []
        for level in levels.indices {
            let count = counts[level]
            let isCut = levels[level].count > count
            if isCut {
                dropped += levels[level][count...].filter(\.exists)
                levels[level].removeLast(levels[level].count - count)
                unwritten[level] = unwritten[level].filter { $0 < count }
            } else {
                levels[level] += Array(repeating: .none, count: count - levels[level].count)
            }
            var lost: Set<Int> = isCut ? [count - 1] : []
            if level > 0 {
                let parents = Set(changed.map { $0 / Self.perPage })
                for index in levels[level].indices where parents.contains(index) || !levels[level][index].exists {
                    if hasChildren(level: level, index) {
                        unwritten[level].insert(index)
                    } else if levels[level][index].exists {
                        dropped.append(levels[level][index])
                        levels[level][index] = .none
                        lost.insert(index)
                    }
                }
            }
            changed = lost
        }
        return dropped
    }

    private static var perPage: Int { PagePointer.perPage }

    private func hasChildren(level: Int, _ index: Int) -> Bool {
        let children = index * Self.perPage..<min((index + 1) * Self.perPage, levels[level - 1].count)
        return children.contains { levels[level - 1][$0].exists || unwritten[level - 1].contains($0) }
    }
}
