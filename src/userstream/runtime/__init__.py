"""Floor 6a: asyncio. Drives the pure cores; knows no venue by name and no technology."""
