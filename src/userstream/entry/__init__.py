"""Floor 7: the doors. The only floor that knows everything."""
