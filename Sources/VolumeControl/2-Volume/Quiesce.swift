import CommandSupport

/// Has a device's client commit everything, and runs the body while that is all there is.
package typealias Quiesce = (() -> Void) throws(CommandFailure) -> Void

/// Runs `body` while the client stands still, and says what it came to.
func quiesced<Outcome, Failure: Error>(
    by quiesce: @escaping Quiesce, _ body: () throws(Failure) -> Outcome
) throws(CommandFailure) -> Result<Outcome, Failure> {
    var outcome: Result<Outcome, Failure>?
    try quiesce { () in
        do throws(Failure) { outcome = .success(try body()) } catch { outcome = .failure(error) }
    }
    guard let outcome else { preconditionFailure("the body ran, or the client said why not") }
    return outcome
}
