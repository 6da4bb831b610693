"""Floor 6b: one technology a file."""
