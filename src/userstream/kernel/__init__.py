"""Floor 1: words everyone shares. Imports only the standard library (and msgspec); knows no exchange, no clock, no socket."""
