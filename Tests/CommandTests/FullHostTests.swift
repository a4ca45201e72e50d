import CommandSupport
import Foundation
import Glibc
import Testing

/// A mounted volume whose host disk fills up, on a small filesystem in a mount namespace of its own.
@Suite(.enabled(if: canMount && geteuid() == 0, "needs root and /dev/fuse")) struct FullHostTests {
    private static let script = """
        mount -t tmpfs -o size=12M casemate-test "$1" || exit 99
        cd "$1" && mkdir mnt || exit 99
        trap 'umount -l mnt 2>/dev/null' EXIT
        head -c 32 /dev/urandom > key && chmod 600 key
        "$2" create v --size 16M --segment-size 64K --key-file key || exit 1
        "$2" mount v mnt --key-file key --log log || exit 1
        head -c 300000 /dev/urandom > mnt/kept && cp mnt/kept copy && "$2" sync mnt || exit 1
        dd if=/dev/zero of=ballast bs=4k 2>/dev/null
        dd if=/dev/urandom of=mnt/more bs=64k count=200 conv=fsync 2>/dev/null; echo "write=$?"
        cmp mnt/kept copy; echo "read=$?"
        "$2" unmount mnt; echo "unmount=$?"
        rm ballast
        "$2" fsck v --key-file key --read-data; echo "fsck=$?"
        "$2" mount v mnt --key-file key && cmp mnt/kept copy; echo "again=$?"
        echo new > mnt/new && "$2" sync mnt; echo "sync=$?"
        "$2" unmount mnt; echo "closed=$?"
        cat log
        """

    /// Writing fails and says so; what was synced stays readable, and once there is room all goes on.
    @Test func aFullHostDiskLosesNothingThatWasSynced() throws {
        try inTemporaryFolder { folder in
            let run = try ProgramRun.run(
                "/usr/bin/unshare", ["-m", "sh", "-c", Self.script, "sh", folder.path, ProgramRun.casemate])
            try #require(run.status != 99, "no private mount namespace here: \(run.text)")
            let lines = Set(run.output.split(separator: "\n").map(String.init))
            for line in ["write=1", "read=0", "fsck=0", "again=0", "sync=0", "closed=0"] {
                #expect(lines.contains(line), "\(line) is missing: \(run.text)")
            }
            // Closing either still fitted, or says that it did not and why.
            if !lines.contains("unmount=0") {
                #expect(lines.contains("unmount=\(CommandStatus.hostFailed.rawValue)"), "\(run.text)")
                #expect(run.errors.contains("closing failed") && run.errors.contains("is full"), "\(run.text)")
            }
        }
    }
}
