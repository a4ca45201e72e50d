public import SecureBlock

extension CommandFailure {
    /// An image at `path` that could not be made or opened.
    public init(_ error: ImageError, image path: String) {
        switch error {
        case .empty: self.init(VolumeError.empty, volume: path)
        case .notAnImage:
            self.init(
                .notAnImage, "not a Casemate image: it does not begin with the magic number of one", at: path,
                advice: "Check the path. A file whose making was interrupted is none either: make it again.")
        case .wrongRootHash(let expected, let found):
            self.init(
                .wrongRootHash, "WRONG IMAGE: its root hash is \(found), and \(expected) was asked for", at: path,
                advice: "It is another image, or somebody changed it. Get the right one, or the right root hash.")
        case .newerVersion(let found, let supported):
            self.init(VolumeError.newerVersion(found: found, supported: supported), volume: path)
        case .unknownFeatures(let features):
            self.init(
                .unknownFeatures, "unknown features: incompat 0x\(String(features, radix: 16))", at: path,
                advice: "Use a newer Casemate.")
        case .headerDamaged(let what):
            self.init(
                .metadataDamaged, "the image's header is damaged: \(what)", at: path, advice: "Restore a copy.")
        case .truncated(let expected, let found):
            self.init(
                .truncated, "the file has \(found) bytes, the image in it needs \(expected)", at: path,
                advice: "Restore the whole file.")
        case .surplus(let expected, let found):
            self.init(
                .metadataDamaged, "the file has \(found) bytes, the image in it only \(expected)", at: path,
                advice: "Restore the file as it was made.")
        case .notEmpty: self.init(VolumeError.notEmpty, volume: path)
        case .unsuitableSize(let blocks):
            self.init(.usage, "no image has \(blocks) blocks", at: path)
        case .host(let error): self.init(error, volume: path)
        case .crypto(let reason): self.init(.cryptoFailed, reason, at: path)
        }
    }
}
