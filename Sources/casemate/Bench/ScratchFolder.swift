import CommandSupport
import Glibc

/// A new folder that goes, with what its owner left in it unlinked, when nobody needs it any more.
final class ScratchFolder {
    let path: String

    init(in directory: String, prefix: String) throws(CommandFailure) {
        var template = Array("\(directory)/\(prefix).XXXXXX".utf8CString)
        guard mkdtemp(&template) != nil else {
            throw CommandFailure(.hostFailed, "no folder can be made there: \(lastError())", at: directory)
        }
        path = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    deinit {
        for name in ["plain", "volume", "anchored", "anchor"] { unlink("\(path)/\(name)") }
        rmdir(path)
    }
}
