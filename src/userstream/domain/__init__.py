"""Floor 2: what is true about an account. Pure: nothing here may know a venue, wait, log or read a clock."""
