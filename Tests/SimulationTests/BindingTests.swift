import Simulation
import Testing

@Suite struct BindingTests {
    /// I14 and I15: blocks, pages and headers open as what they are and as nothing else, and a failed opening leaves
    /// nothing.
    @Test func nothingOpensAsAnother() throws {
        #expect(try BindingProbe.run() == [])
    }
}
