import Foundation
import SoftwareTPM
import Testing

/// The built program with a TPM in software.
@Suite(.serialized, .enabled(if: SoftwareTPM.isThere, "swtpm is not installed")) struct TPMCommandTests {
    private let tpm: SoftwareTPM

    init() throws { tpm = try SoftwareTPM() }

    private func environment(_ tpm: SoftwareTPM? = nil) -> [String: String] {
        ["CASEMATE_TPM_TCTI": (tpm ?? self.tpm).address]
    }

    private func run(_ arguments: [String], _ tpm: SoftwareTPM? = nil) throws -> ProgramRun {
        try ProgramRun.run(ProgramRun.casemate, arguments, environment: environment(tpm))
    }

    private static let anchor = ["--anchor", "tpm:0x1800100"]

    @Test(.enabled(if: canMount, "no /dev/fuse")) func aVolumeAnchoredInATPM() throws {
        try inTemporaryFolder { folder in
            let volume = try VolumeFile(in: folder, options: Self.anchor, environment: environment())
            try volume.copy(to: "old")
            try Mounted.with(volume, Self.anchor, environment: environment()) { mount in
                try writeDurably(Data("kept".utf8), to: mount.file("a"))
                try mount.kill()
            }
            try Mounted.with(volume, Self.anchor, environment: environment()) { mount in
                #expect(try Data(contentsOf: mount.file("a")) == Data("kept".utf8))
                try writeDurably(Data("newer".utf8), to: mount.file("a"))
                try mount.unmount()
            }
            let info = try run(["info", volume.path] + volume.credential() + Self.anchor)
            #expect(
                info.output.contains("TPM NV index 0x1800100") && info.output.contains("600 s"), "\(info.text)")

            try volume.copy(to: "new")
            try volume.putBack("old")
            let point = folder.appendingPathComponent("mnt").path
            let mounting = ["mount", volume.path, point] + volume.credential()
            let old = try run(mounting + Self.anchor)
            #expect(old.status == 30 && old.errors.contains("ROLLBACK"), "\(old.text)")
            #expect(try run(mounting).status == 34)
            // The way out for who put it there himself: another index, and saying so.
            let other = ["--anchor", "tpm:0x1800101"]
            #expect(try run(["info", volume.path] + volume.credential() + other).status == 32)
            let adopted = try run(
                ["history", volume.path, "--keep", "none", "--adopt-anchor"] + volume.credential() + other)
            #expect(adopted.status == 0, "\(adopted.text)")
            #expect(try run(["info", volume.path] + volume.credential() + other).status == 0)

            try volume.putBack("new")
            #expect(try run(["info", volume.path] + volume.credential() + other).status == 31)
            #expect(try run(["info", volume.path] + volume.credential() + Self.anchor).status == 0)
            try tpm.tool("tpm2_nvundefine", "-C", "o", "0x1800100")
            let gone = try run(["info", volume.path] + volume.credential() + Self.anchor)
            #expect(gone.status == 32 && gone.errors.contains("--adopt-anchor"), "\(gone.text)")
            tpm.stop()
            let silent = try run(["info", volume.path] + volume.credential() + Self.anchor)
            #expect(silent.status == 32 && silent.errors.contains("no TPM at"), "\(silent.text)")
        }
    }

    @Test func oneIndexIsForOneVolume() throws {
        try inTemporaryFolder { folder in
            let volume = try VolumeFile(in: folder, options: Self.anchor, environment: environment())
            let other = folder.appendingPathComponent("other").path
            let made = try run(["create", other, "--size", "8M"] + volume.credential() + Self.anchor)
            #expect(made.status == 33, "\(made.text)")
            #expect(!FileManager.default.fileExists(atPath: other))
            #expect(try run(["info", volume.path, "--adopt-anchor"] + volume.credential()).status == 64)
        }
    }

    @Test(.enabled(if: canMount, "no /dev/fuse")) func aTPMOpensTheVolume() throws {
        try inTemporaryFolder { folder in
            let volume = try VolumeFile(in: folder)
            let pin = folder.appendingPathComponent("pin"), wrong = folder.appendingPathComponent("wrong")
            try Data("2718\n".utf8).write(to: pin)
            try Data("2719\n".utf8).write(to: wrong)
            for file in [pin, wrong] {
                try FileManager.default.setAttributes([.posixPermissions: 0o600], ofItemAtPath: file.path)
            }
            let add = ["keys", "add", volume.path] + volume.credential()
            let added = try run(add + ["--new-tpm-pin-file", pin.path])
            #expect(added.status == 0 && added.output.contains("key slot 1"), "\(added.text)")
            let listed = try run(["keys", "list", volume.path] + volume.credential())
            #expect(listed.output.contains("1  TPM"), "\(listed.text)")

            func info(_ options: String..., on tpm: SoftwareTPM? = nil) throws -> Int32 {
                let run = try run(["info", volume.path] + options, tpm)
                #expect(!run.text.contains("271"), "a PIN in the output")
                return run.status
            }
            #expect(try info("--tpm-pin-file", pin.path) == 0)
            #expect(try info("--tpm-pin-file", wrong.path) == 20)
            #expect(try info("--tpm") == 23)
            #expect(try info("--tpm-pin-file", pin.path, on: SoftwareTPM()) == 27)
            #expect(try info("--tpm", "--key-file", volume.key) == 64)
            // Nobody to ask: what was tried is told.
            let asked = try run(["info", volume.path])
            #expect(asked.status == 23 && asked.errors.contains("PIN"), "\(asked.text)")

            // In the background, by the daemon, and changed there too.
            try Mounted.with(volume, credential: ["--tpm-pin-file", pin.path], environment: environment()) {
                mount in
                try writeDurably(Data("x".utf8), to: mount.file("a"))
                let point = mount.point.path
                let refused = try run(["keys", "remove", point, "--tpm-pin-file", wrong.path, "--slot", "0"])
                #expect(refused.status == 20, "\(refused.text)")
                let more = try run(["keys", "add", point, "--tpm-pin-file", pin.path, "--new-tpm-pcrs", "16"])
                #expect(more.status == 0 && more.output.contains("key slot 2"), "\(more.text)")
                try mount.unmount()
            }
            #expect(try info("--tpm") == 0)
            #expect(try info() == 0, "without being told to")
            try tpm.tool("tpm2_pcrextend", "16:sha256=" + String(repeating: "ab", count: 32))
            #expect(try info("--tpm") == 23, "of two slots, the one that only lacks its PIN is named")
            #expect(try run(["keys", "remove", volume.path, "--slot", "1"] + volume.credential()).status == 0)
            #expect(try info("--tpm") == 27)
            tpm.stop()
            #expect(try info("--tpm") == 26)
            #expect(try info("--key-file", volume.key) == 0)
        }
    }
}
