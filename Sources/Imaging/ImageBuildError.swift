public import SecureBlock
public import VFS

/// Why no image was made of a tree. What was begun is no image.
public enum ImageBuildError: Error, Sendable {
    /// A file of the tree cannot be read.
    case source(path: String, VFSError)
    /// A file changed while it was read: what would be in the image never was in the tree.
    case changed(path: String)
    /// A directory lies deeper than this program follows.
    case tooDeep(path: String)
    /// A file does not fit into the filesystem of an image as it is: an attribute that is too large, say.
    case unsuitable(path: String, VFSError)
    /// The files that are worked on meanwhile could not be written.
    case scratch(HostError)
    /// The filesystem could not be made or closed.
    case fileSystem(String)
    case image(ImageError)
}
