// MemFS
