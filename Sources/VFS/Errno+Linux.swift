extension Errno {
    /// `ENODATA`, also spelled `ENOATTR`: no such extended attribute.
    public static var noSuchAttribute: Errno { Errno(rawValue: 61) }
}
