import CommandSupport
import Foundation
import Glibc
import Testing

/// Passphrases typed on a real terminal.
@Suite struct PromptTests {
    @Test func aTypedPassphraseIsAskedTwiceAndNeverShown() throws {
        try inTemporaryFolder { folder in
            let volume = folder.appendingPathComponent("v").path
            let arguments = ["create", volume, "--size", "4M", "--segment-size", "64K"]
            let typed = try Dialogue.run(
                arguments, answers: ["correXX\u{7F}\u{7F}ct horse", "garbage\u{15}correct horse"])
            #expect(typed.status == 0, "\(typed.transcript)")
            #expect(!typed.transcript.contains("horse") && !typed.transcript.contains("garbage"))
            // The editing keys did what they say: the passphrase is what a file with it says.
            let opened = try casemate("info", volume, "--passphrase-file", "-", input: "correct horse\n")
            #expect(opened.status == 0, "\(opened.text)")
        }
    }

    @Test func twoDifferentAnswersAreRefused() throws {
        try inTemporaryFolder { folder in
            let volume = folder.appendingPathComponent("v").path
            let typed = try Dialogue.run(["create", volume, "--size", "4M"], answers: ["one", "two"])
            #expect(typed.status == CommandStatus.credentialUnusable.rawValue)
            #expect(typed.transcript.contains("differ"))
        }
    }

    @Test func controlCAndAnEmptyAnswerEndIt() throws {
        try inTemporaryFolder { folder in
            let volume = folder.appendingPathComponent("v").path
            for answer in ["\u{3}", ""] {
                let typed = try Dialogue.run(["create", volume, "--size", "4M"], answers: [answer])
                #expect(typed.status == CommandStatus.credentialUnusable.rawValue, "\(typed.transcript)")
                #expect(typed.echoes, "the terminal was left without echo")
            }
        }
    }

    @Test func withoutATerminalItSaysWhatToGive() throws {
        try inTemporaryFolder { folder in
            let volume = folder.appendingPathComponent("v").path
            let run = try ProgramRun.run(
                "/usr/bin/setsid", ["-w", ProgramRun.casemate, "create", volume, "--size", "4M"])
            #expect(run.status == CommandStatus.credentialUnusable.rawValue)
            #expect(run.errors.contains("--passphrase-file"))
        }
    }
}

/// A program on a pseudo-terminal of its own, and somebody who types.
private struct Dialogue {
    var status: Int32
    var transcript: String
    /// Whether the terminal shows what is typed, after the program ended.
    var echoes: Bool

    static func run(_ arguments: [String], answers: [String]) throws -> Dialogue {
        let master = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC)
        // TIOCSPTLCK and TIOCGPTN of ioctl_tty(2): unlock the other end and ask for its number.
        var unlocked: Int32 = 0
        var number: UInt32 = 0
        guard master >= 0, ioctl(master, 0x4004_5431, &unlocked) == 0, ioctl(master, 0x8004_5430, &number) == 0
        else {
            throw POSIXError(.ENOTTY)
        }
        defer { close(master) }
        let slave = open("/dev/pts/\(number)", O_RDWR | O_NOCTTY | O_CLOEXEC)
        defer { close(slave) }
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/setsid")
        process.arguments = ["--ctty", "--wait", ProgramRun.casemate] + arguments
        let terminal = FileHandle(fileDescriptor: slave)
        process.standardInput = terminal
        process.standardOutput = terminal
        process.standardError = terminal
        try process.run()

        var transcript = ""
        var answered = 0
        let deadline = Date(timeIntervalSinceNow: 60)
        while Date() < deadline {
            var poller = pollfd(fd: master, events: Int16(POLLIN), revents: 0)
            if poll(&poller, 1, 50) > 0 {
                var chunk = [UInt8](repeating: 0, count: 4096)
                let count = read(master, &chunk, chunk.count)
                if count > 0 { transcript += String(decoding: chunk[..<count], as: UTF8.self) }
            } else if !process.isRunning {
                break
            }
            // A question ends with a colon and a space; its answer waits until the question stands there.
            let questions = transcript.components(separatedBy: ": ").count - 1
            if answered < answers.count, questions > answered, transcript.hasSuffix(": ") {
                let bytes = Array((answers[answered] + "\n").utf8)
                _ = write(master, bytes, bytes.count)
                answered += 1
            }
        }
        if process.isRunning { process.terminate() }
        process.waitUntilExit()
        var settings = termios()
        tcgetattr(slave, &settings)
        return Dialogue(
            status: process.terminationStatus, transcript: transcript,
            echoes: settings.c_lflag & tcflag_t(ECHO) != 0)
    }
}
