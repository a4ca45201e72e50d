// Linux calls that the C library shows only to GNU sources.

@_silgen_name("copy_file_range")
func copyFileRange(
    _ from: Int32, _ fromOffset: UnsafeMutablePointer<Int>?, _ to: Int32, _ toOffset: UnsafeMutablePointer<Int>?,
    _ count: Int, _ flags: UInt32
) -> Int

@_silgen_name("fallocate")
func fallocate(_ file: Int32, _ mode: Int32, _ offset: Int, _ length: Int) -> Int32

@_silgen_name("renameat2")
func renameat2(
    _ from: Int32, _ fromPath: UnsafePointer<CChar>, _ to: Int32, _ toPath: UnsafePointer<CChar>, _ flags: UInt32
) -> Int32

@_silgen_name("setxattr")
func setxattr(
    _ path: UnsafePointer<CChar>, _ name: UnsafePointer<CChar>, _ value: UnsafeRawPointer?, _ size: Int,
    _ flags: Int32
) -> Int32

@_silgen_name("getxattr")
func getxattr(
    _ path: UnsafePointer<CChar>, _ name: UnsafePointer<CChar>, _ value: UnsafeMutableRawPointer?, _ size: Int
) -> Int

@_silgen_name("listxattr")
func listxattr(_ path: UnsafePointer<CChar>, _ names: UnsafeMutablePointer<CChar>?, _ size: Int) -> Int

@_silgen_name("removexattr")
func removexattr(_ path: UnsafePointer<CChar>, _ name: UnsafePointer<CChar>) -> Int32
