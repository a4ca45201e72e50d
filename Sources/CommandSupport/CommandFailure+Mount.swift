public import FUSEFront

extension CommandFailure {
    /// A mount that could not be made, served or taken down.
    public init(_ error: FUSEError, mountpoint path: String) {
        // The error's own sentence names the place and what to do; what a closing daemon says has its advice below.
        let lines = "\(error)".split(separator: "\n", maxSplits: 1)
        self.init(
            Self.status(of: error), lines.first.map(String.init) ?? "",
            advice: lines.dropFirst().first.map { String($0.drop { $0 == " " }) })
    }

    private static func status(of error: FUSEError) -> CommandStatus {
        switch error {
        case .unknownOption, .unsuitableOption: .usage
        case .mountpointMissing: .mountpointMissing
        case .mountpointNotDirectory, .mountRefused, .notPermitted: .mountpointUnsuitable
        case .mountpointNotEmpty: .mountpointNotEmpty
        case .mountpointHoldsBacking: .mountpointHoldsVolume
        case .mountpointDead: .alreadyMounted
        case .noFUSEDevice, .noFusermount: .fuseUnavailable
        case .notMounted, .notOurs: .notMounted
        case .busy, .mountedElsewhere: .mountBusy
        case .serverDied: .daemonLost
        case .closingFailed, .notDurable: .hostFailed
        case .system: .internal
        }
    }
}
