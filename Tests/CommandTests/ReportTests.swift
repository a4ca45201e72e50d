import Inspection
import Testing

@Suite struct ReportTests {
    @Test func notesAreNoErrors() {
        var report = Report()
        report.add(.init(.superblocks, "2 copies"))
        report.add(.init(.anchor, .note, "none"))
        #expect(!report.hasErrors)
        report.add(.init(.superblocks, .error, at: "copy 1", "checksum"))
        #expect(report.hasErrors)
        #expect(
            report.text(volume: "v") == """
                v
                  superblocks  2 copies
                    ERROR: copy 1: checksum
                  anchor
                    note: none
                ERRORS FOUND
                """)
    }

    @Test func aDestroyedVolumeDoesNotFillTheMemory() {
        var report = Report()
        for block in 0..<(Report.findingLimit + 5) { report.add(.init(.data, .error, at: "\(block)", "tag")) }
        #expect(report.findings.count == Report.findingLimit)
        #expect(report.uncountedFindings == 5)
        #expect(report.text(volume: "v").contains("and 5 findings more"))
    }
}
