// Placeholder until the host layer lands.
public final class HostWrite: Sendable {
    public func wait() throws(HostError) {}
}
