"""The users' programs, one a client. Each runs as a process of its own, where that client is installed; none needs this package there."""
