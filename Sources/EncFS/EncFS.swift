// EncFS
