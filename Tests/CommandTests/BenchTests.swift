import Foundation
import Glibc
import Testing

@testable import casemate

/// The arithmetic of `casemate bench`, and its arguments. What it measures depends on the machine and is not tested.
@Suite struct BenchTests {
    @Test(
        arguments: [
            ([], 0), ([3], 3), ([9, 1], 5), ([5, 1, 9], 5), ([1, 8, 2, 4], 3),
        ] as [([Double], Double)])
    func findsTheMiddle(_ values: [Double], _ median: Double) {
        #expect(Sample(values: values).median == median)
    }

    /// Powers of two, so that the bounds can be worked out by hand: the logarithms' mean is 2 ln 2, their standard
    /// deviation √2.5 ln 2, and the quantile for four degrees of freedom 2.776.
    @Test func intervalsAreStudentsOverLogarithms() throws {
        let interval = try #require(Sample(values: [1, 2, 4, 8, 16]).interval)
        let reach = 2.776 * (2.5 / 5).squareRoot()
        #expect(abs(interval.lowerBound / (4 / exp2(reach)) - 1) < 1e-12)
        #expect(abs(interval.upperBound / (4 * exp2(reach)) - 1) < 1e-12)
        // Half and double are equally far from 1.
        let pair = try #require(Sample(values: [0.5, 2]).interval)
        #expect(abs(pair.lowerBound * pair.upperBound - 1) < 1e-12)
        #expect(abs(pair.upperBound / exp2(12.706) - 1) < 1e-9)
    }

    @Test func moreRoundsNarrowAnInterval() throws {
        var last = Double.infinity
        for rounds in [2, 4, 8, 16, 30, 32, 64] {
            let values = (0..<rounds).map { $0 % 2 == 0 ? 0.9 : 1.1 }
            let interval = try #require(Sample(values: values).interval)
            let width = interval.upperBound / interval.lowerBound
            #expect(width < last, "\(rounds) rounds")
            #expect(interval.contains((0.9 * 1.1).squareRoot()))
            last = width
        }
    }

    @Test(arguments: [[], [1], [1, 0], [1, -1], [1, .infinity], [1, .nan]] as [[Double]])
    func noIntervalWithoutTwoSoundFigures(_ values: [Double]) {
        #expect(Sample(values: values).interval == nil)
        #expect(Goal.atLeast(0.1).verdict(Sample(values: values)) == .open)
        #expect(Goal.atMost(100).verdict(Sample(values: values)) == .open)
    }

    @Test func passedOnlyWhenTheIntervalLiesBeyond() {
        let narrow = Sample(values: [0.99, 1, 1.01])
        #expect(Goal.atLeast(0.9).verdict(narrow) == .passed)
        #expect(Goal.atLeast(1).verdict(narrow) == .open)
        #expect(Goal.atLeast(1.2).verdict(narrow) == .missed)
        #expect(Goal.atMost(0.9).verdict(narrow) == .missed)
        #expect(Goal.atMost(1).verdict(narrow) == .open)
        #expect(Goal.atMost(1.2).verdict(narrow) == .passed)
        // The median alone would pass both ways.
        let wide = Sample(values: [0.2, 1.1, 1.2, 1.3])
        #expect(Goal.atLeast(1).verdict(wide) == .open)
        #expect(Goal.atMost(1.3).verdict(wide) == .open)
    }

    @Test(
        arguments: [
            (1234.4, "1234"), (99.96, "100.0"), (12.34, "12.3"), (0.454, "0.45"), (0.0081, "0.008"), (0, "0.000"),
            (-1.5, "-1.50"), (-0.0001, "0.000"), (.infinity, "-"), (.nan, "-"), (1e300, "-"),
        ] as [(Double, String)])
    func writesNumbers(_ value: Double, _ text: String) {
        #expect(Decimal.text(value) == text)
    }

    @Test func ratiosArePairedWithinARound() {
        var results = BenchResults()
        results.add(.commit, plain: 100, volume: 50)
        results.add(.commit, plain: 10, volume: 20)
        results.add(.space, plain: nil, volume: 0.9)
        #expect(results.judged(.commit).values == [0.5, 2])
        #expect(results.judged(.space).values == [0.9])
        #expect(results.judged(.randomRead).values == [])
    }

    @Test func figuresAreOfTheWorkDone() {
        let work = Work(operations: 512, bytes: 512 << 20, seconds: 2, processorSeconds: 0.25)
        #expect(work.figure(.mebibytesASecond) == 256)
        #expect(work.figure(.operationsASecond) == 256)
        #expect(work.figure(.secondsAGibibyte) == 0.5)
    }

    @Test func rowsAreChosenByNameInTheTablesOrder() {
        #expect(BenchRows(argument: "commit,sequential-write")?.rows == [.sequentialWrite, .commit])
        for wrong in ["", "commit,", "commit,nothing", "Commit", "commit sequential-write"] {
            #expect(BenchRows(argument: wrong) == nil, "\(wrong)")
        }
        #expect(Set(BenchRow.allCases.map(\.rawValue)).count == BenchRow.allCases.count)
    }

    @Test(
        arguments: [
            ["--rounds", "0"], ["--rounds", "101"], ["--size", "4M"], ["--size", "8193K"], ["--size", "x"],
            ["--only", "nothing"], [],
        ])
    func refusesArguments(_ arguments: [String]) throws {
        try inTemporaryFolder { folder in
            let place = arguments.isEmpty ? [] : [folder.path]
            let run = try ProgramRun.run(ProgramRun.casemate, ["bench"] + place + arguments)
            #expect(run.status == 64, "\(arguments): \(run.text)")
            #expect(try FileManager.default.contentsOfDirectory(atPath: folder.path).isEmpty)
        }
    }

    @Test func measuresAndLeavesNothing() throws {
        try inTemporaryFolder { folder in
            let place = folder.appendingPathComponent("disk"), saved = folder.appendingPathComponent("saved.json")
            try FileManager.default.createDirectory(at: place, withIntermediateDirectories: false)
            let run = try casemate(
                "bench", place.path, "--quick", "--size", "8M", "--rounds", "2", "--only",
                "sequential-write,scattered-read,anchored-commit,write-cpu,space", "--save", saved.path)
            #expect(run.status == 0, "\(run.text)")
            #expect(try FileManager.default.contentsOfDirectory(atPath: place.path).isEmpty)
            let text = try #require(
                try JSONSerialization.jsonObject(with: Data(contentsOf: saved)) as? [String: Any])
            let rows = try #require(text["rows"] as? [[String: Any]])
            #expect(
                rows.map { $0["name"] as? String } == [
                    "sequential-write", "scattered-read", "anchored-commit", "write-cpu", "space",
                ])
            for row in rows {
                #expect((row["volumeThousandths"] as? [Any])?.count == 2)
                #expect(
                    (row["plainFileThousandths"] as? [Any])?.count == (row["name"] as? String == "space" ? 0 : 2))
            }
            // A heading, a line under it, and the rows.
            #expect(run.output.split(separator: "\n").count { $0.hasPrefix("|") } == 2 + rows.count)
        }
    }
}
