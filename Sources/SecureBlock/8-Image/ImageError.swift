/// Why an image could not be made or opened.
public enum ImageError: Error, Hashable, Sendable {
    /// The backing store is empty.
    case empty
    /// It does not begin with an image's magic number; so does a file whose making was interrupted.
    case notAnImage
    /// The header is not the one that the root hash is of: another image, or a forged one.
    case wrongRootHash(expected: TreeHash, found: TreeHash)
    /// A newer format version than this program knows.
    case newerVersion(found: UInt16, supported: UInt16)
    /// Features this program does not have, as a bit mask.
    case unknownFeatures(UInt64)
    /// The header has the root hash asked for, or none was asked for, and no writer makes such a one; the text says what is wrong.
    case headerDamaged(String)
    /// The backing store is shorter than the image.
    case truncated(expectedBytes: UInt64, foundBytes: UInt64)
    /// The backing store is longer than the image.
    case surplus(expectedBytes: UInt64, foundBytes: UInt64)
    /// An image was to be made where something is already.
    case notEmpty
    /// No image has so many blocks, or so few.
    case unsuitableSize(blocks: UInt64)
    case host(HostError)
    /// The crypto library failed.
    case crypto(String)
}
