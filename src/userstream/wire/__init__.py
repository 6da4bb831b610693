"""Floor 3: how any private stream behaves, without I/O. Bytes and a time go in, wishes come out."""
