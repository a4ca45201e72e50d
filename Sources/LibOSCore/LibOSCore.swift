// LibOSCore
