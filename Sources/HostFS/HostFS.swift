// HostFS
