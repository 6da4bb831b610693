"""The paper exchange: a venue's own books over real HTTP and WebSocket. It shares no dialect code with the client."""
