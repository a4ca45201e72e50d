import ArgumentParser
import CommandSupport

struct ExitCodesCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "exit-codes", abstract: "List what each exit status means.",
        discussion: """
            One line for each class of failure: number, name, meaning. The numbers never change their meaning, so that scripts can \
            rely on them. 'casemate fsck' uses those of fsck(8) instead, which are listed last.
            """)

    func run() throws {
        var lines: [String] = []
        for status in CommandStatus.allCases {
            let number = String(status.rawValue)
            let before = String(repeating: " ", count: 3 - number.count)
            let gap = String(repeating: " ", count: 26 - status.name.count)
            lines.append("\(before)\(number)  \(status.name)\(gap)\(status.meaning)")
        }
        lines.append(
            """

            fsck:
              0  no errors            4  errors are left     16  usage error
              1  errors corrected     8  operational error   32  cancelled
            """)
        try Terminal.require(lines.joined(separator: "\n"))
    }
}
