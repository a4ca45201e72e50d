import Foundation
import Inspection
import Testing

@Suite struct JSONTests {
    @Test func keepsOrderAndNests() {
        let value: JSON = ["b": 1, "a": ["x", nil, true, []], "c": [:]]
        #expect(
            value.text == """
                {
                  "b": 1,
                  "a": [
                    "x",
                    null,
                    true,
                    []
                  ],
                  "c": {}
                }
                """)
    }

    /// Names in a volume are any bytes: whatever they decode to has to come back from another implementation's reader.
    @Test func stringsComeBackFromAnotherReader() throws {
        let strings = [
            "", "plain", "\"quoted\\\"", "\u{0}\u{1}\u{1F}\u{7F}\u{9B}\n\r\t", "Ü 漢字 🧱", "\u{2028}\u{FFFD}", "a/b",
        ]
        let text = JSON.array(strings.map(JSON.string)).text
        let back = try JSONSerialization.jsonObject(with: Data(text.utf8)) as? [String]
        #expect(back == strings)
        #expect(!text.unicodeScalars.contains { $0.value < 32 && $0 != "\n" || (0x7F..<0xA0).contains($0.value) })
    }

    @Test func largeNumbersAreWhole() {
        #expect(JSON.number(.max).text == "18446744073709551615")
    }
}
