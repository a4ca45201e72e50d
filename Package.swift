// swift-tools-version: 6.2
import PackageDescription

/// Warnings are errors everywhere in this package.
let strict: [SwiftSetting] = [
    .treatAllWarnings(as: .error),
    .enableUpcomingFeature("ExistentialAny"),
]

/// libFuzzer of the toolchain, for `scripts/fuzz` alone, which says where it is.
let fuzzer = Context.environment["CASEMATE_FUZZER"]

/// Bugs to switch on, for `scripts/sabotage` and `scripts/fuzz` alone; nothing of them is in any other build.
let sabotage: [SwiftSetting] =
    Context.environment["CASEMATE_SABOTAGE"] == nil && fuzzer == nil ? [] : [.define("SABOTAGE")]

/// What the fuzzer sees the inside of.
let fuzzed: [SwiftSetting] = fuzzer == nil ? [] : [.unsafeFlags(["-sanitize=fuzzer"])]

let package = Package(
    name: "casemate",
    products: [
        .library(name: "SecureBlock", targets: ["SecureBlock"]),
        .library(name: "TPM", targets: ["TPM"]),
        .library(name: "EncFS", targets: ["EncFS"]),
        .library(name: "BlockFS", targets: ["BlockFS"]),
        .library(name: "LibOSCore", targets: ["LibOSCore", "VFS", "MemFS", "HostFS", "UnionFS"]),
        .library(name: "SimHost", targets: ["SimHost"]),
        .library(name: "Inspection", targets: ["Inspection"]),
        .library(name: "Imaging", targets: ["Imaging"]),
        .library(name: "FUSEFront", targets: ["FUSEFront"]),
        .executable(name: "casemate", targets: ["casemate"]),
        .executable(name: "fuse-debug", targets: ["fuse-debug"]),
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
        .package(url: "https://github.com/apple/swift-log", from: "1.16.2"),
        .package(url: "https://github.com/apple/swift-system", from: "1.8.1"),
    ],
    targets: [
        // C libraries, one shim each.
        .systemLibrary(name: "COpenSSL", pkgConfig: "libcrypto", providers: [.apt(["libssl-dev"])]),
        .systemLibrary(name: "CLibURing", pkgConfig: "liburing", providers: [.apt(["liburing-dev"])]),
        .systemLibrary(name: "CFUSE", pkgConfig: "fuse3", providers: [.apt(["libfuse3-dev"])]),
        .systemLibrary(name: "CTSS", pkgConfig: "tss2-esys", providers: [.apt(["libtss2-dev"])]),
        .target(name: "CLinux"),

        // The trusted block device and its hostile double.
        .target(
            name: "SecureBlock", dependencies: ["COpenSSL", "CLibURing", "CLinux"],
            swiftSettings: strict + sabotage + fuzzed),
        .target(name: "TPM", dependencies: ["SecureBlock", "COpenSSL", "CTSS"], swiftSettings: strict + fuzzed),
        .target(name: "SeededRandom", swiftSettings: strict),
        .target(name: "SimHost", dependencies: ["SecureBlock", "CLinux", "SeededRandom"], swiftSettings: strict),

        .target(name: "Simulation", dependencies: ["SecureBlock", "SimHost"], swiftSettings: strict),
        .target(
            name: "FileSimulation", dependencies: ["SecureBlock", "SimHost", "EncFS", "MemFS", "VFS"],
            swiftSettings: strict),
        .target(
            name: "Fuzzing",
            dependencies: ["SecureBlock", "TPM", "SimHost", "EncFS", "MemFS", "UnionFS", "FileSimulation", "VFS"],
            swiftSettings: strict + fuzzed),
        .executableTarget(
            name: "sim", dependencies: ["Simulation", "FileSimulation", "SimHost", "SecureBlock", "EncFS"],
            swiftSettings: strict + sabotage),

        // Filesystems behind one protocol.
        .target(
            name: "VFS", dependencies: [.product(name: "SystemPackage", package: "swift-system")],
            swiftSettings: strict),
        .target(name: "EncFS", dependencies: ["SecureBlock", "VFS"], swiftSettings: strict + sabotage + fuzzed),
        .target(name: "MemFS", dependencies: ["VFS"], swiftSettings: strict + fuzzed),
        .target(name: "HostFS", dependencies: ["VFS", "CLinux"], swiftSettings: strict),
        .target(name: "UnionFS", dependencies: ["VFS"], swiftSettings: strict + fuzzed),
        .target(name: "BlockFS", dependencies: ["SecureBlock", "VFS", "CLinux"], swiftSettings: strict),
        .target(name: "LibOSCore", dependencies: ["VFS"], swiftSettings: strict),

        // Fronts and tools.
        .target(
            name: "FUSEFront",
            dependencies: ["VFS", "CFUSE", "CLinux", .product(name: "Logging", package: "swift-log")],
            swiftSettings: strict),
        .target(name: "Imaging", dependencies: ["SecureBlock", "EncFS", "VFS"], swiftSettings: strict),
        .target(name: "Inspection", dependencies: ["SecureBlock", "EncFS", "VFS"], swiftSettings: strict),
        .target(
            name: "CommandSupport",
            dependencies: [
                "SecureBlock", "TPM", "EncFS", "VFS", "FUSEFront", "CLinux",
                .product(name: "SystemPackage", package: "swift-system"),
            ], swiftSettings: strict),
        .target(
            name: "VolumeControl",
            dependencies: [
                "CommandSupport", "Inspection", "FUSEFront", "EncFS", "BlockFS", "SecureBlock", "VFS", "CLinux",
                .product(name: "Logging", package: "swift-log"),
            ], swiftSettings: strict),
        .executableTarget(
            name: "fuse-debug",
            dependencies: [
                "FUSEFront", "LibOSCore", "EncFS", "BlockFS", "MemFS", "HostFS", "UnionFS", "SecureBlock",
                "TPM", "CommandSupport", "CLinux", "VolumeControl",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
                .product(name: "Logging", package: "swift-log"),
            ], swiftSettings: strict),
        .executableTarget(
            name: "casemate",
            dependencies: [
                "FUSEFront", "LibOSCore", "EncFS", "MemFS", "HostFS", "SecureBlock", "TPM", "Inspection", "Imaging",
                "CommandSupport", "CLinux", "VolumeControl", "SeededRandom",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
                .product(name: "Logging", package: "swift-log"),
            ], swiftSettings: strict),
        .executableTarget(
            name: "InProcess", dependencies: ["LibOSCore", "EncFS", "MemFS", "HostFS", "SecureBlock"],
            path: "Examples/InProcess", swiftSettings: strict),

        .target(
            name: "FailingCalls", dependencies: ["COpenSSL", "CLibURing"], path: "Tests/FailingCalls"),
        .testTarget(
            name: "SecureBlockTests", dependencies: ["SecureBlock", "SimHost", "CLinux", "FailingCalls"],
            swiftSettings: strict),
        .target(name: "SoftwareTPM", path: "Tests/SoftwareTPM", swiftSettings: strict),
        .target(
            name: "Mounting",
            dependencies: ["FUSEFront", "VFS", "CLinux", .product(name: "Logging", package: "swift-log")],
            path: "Tests/Mounting", swiftSettings: strict),
        .executableTarget(
            name: "mount-model", dependencies: ["CLinux", "SimHost"], path: "Tests/MountModel",
            swiftSettings: strict),
        .testTarget(
            name: "TPMTests", dependencies: ["TPM", "SecureBlock", "SimHost", "SoftwareTPM"], swiftSettings: strict),
        .testTarget(
            name: "EncFSTests", dependencies: ["EncFS", "SimHost", "FileSimulation", "VFS"], swiftSettings: strict),
        .testTarget(
            name: "LibOSCoreTests",
            dependencies: [
                "LibOSCore", "MemFS", "HostFS", "UnionFS", "EncFS", "SecureBlock", "SimHost", "VFS", "Imaging",
                "FUSEFront", "Mounting", "CLinux",
            ],
            swiftSettings: strict),
        .testTarget(
            name: "FUSETests",
            dependencies: [
                "FUSEFront", "LibOSCore", "EncFS", "BlockFS", "MemFS", "HostFS", "UnionFS", "SecureBlock",
                "SimHost",
                "VFS", "CLinux", "Mounting", "mount-model",
            ],
            swiftSettings: strict),
        .testTarget(
            name: "CommandTests",
            dependencies: [
                "CommandSupport", "Inspection", "SecureBlock", "EncFS", "VFS", "SimHost", "FUSEFront", "CLinux",
                "VolumeControl", "Imaging", "TPM", "SoftwareTPM", "casemate",
            ],
            swiftSettings: strict),
        .testTarget(
            name: "SimulationTests", dependencies: ["Simulation", "Fuzzing", "SimHost", "SecureBlock"],
            swiftSettings: strict),
        .testTarget(
            name: "ImagingTests", dependencies: ["Imaging", "SecureBlock", "EncFS", "HostFS", "MemFS", "VFS"],
            swiftSettings: strict),
        .testTarget(name: "ProjectTests", dependencies: [], swiftSettings: strict),
    ]
)

if Context.environment["CASEMATE_SABOTAGE"] != nil {
    // Of the tests, those that a bug is to be found by.
    package.targets.removeAll { $0.type == .test && !["SecureBlockTests", "TPMTests"].contains($0.name) }
}

if let fuzzer {
    package.targets.append(
        .executableTarget(
            name: "fuzz", dependencies: ["Fuzzing", "SecureBlock"], swiftSettings: strict + sabotage,
            linkerSettings: [.unsafeFlags([fuzzer, "-lstdc++", "-lm"])]))
}
