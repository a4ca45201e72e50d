public import SeededRandom

/// What a simulated host decides by: a seed in a failure report repeats the failure.
public typealias SimRandom = SeededGenerator
