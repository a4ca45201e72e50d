import Foundation
import Inspection
import Testing

@Suite struct UTCTimeTests {
    @Test(
        arguments: [
            (0, "1970-01-01T00:00:00.000Z"), (951_782_399_999, "2000-02-28T23:59:59.999Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"), (951_868_800_001, "2000-03-01T00:00:00.001Z"),
            (4_107_542_399_000, "2100-02-28T23:59:59.000Z"), (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
        ] as [(UInt64, String)])
    func knownMoments(_ milliseconds: UInt64, _ text: String) {
        #expect(UTCTime(milliseconds: milliseconds).text == text)
    }

    /// Another implementation's calendar, over every day of 400 years.
    @Test func agreesWithTheSystemsCalendar() {
        for day in stride(from: UInt64(0), to: 146_097, by: 1) {
            var seconds = time_t(day * 86_400 + day % 86_400)
            var parts = tm()
            gmtime_r(&seconds, &parts)
            let expected = [parts.tm_year + 1900, parts.tm_mon + 1, parts.tm_mday].map { String($0) }
            let found = UTCTime(milliseconds: UInt64(seconds) * 1000).text.prefix { $0 != "T" }.split(
                separator: "-")
            guard found.compactMap({ Int($0) }) == expected.compactMap({ Int($0) }) else {
                Issue.record("day \(day): \(found) is not \(expected)")
                return
            }
        }
    }

    /// A host may have stored any number.
    @Test func noMomentTraps() {
        #expect(UTCTime(milliseconds: .max).text.hasSuffix("Z"))
    }
}
