"""The live feeds that are open: how many a token may have, and the word that all of them must end."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from wsproto.frame_protocol import CloseReason

from userstream.entry.web.live_feed import Ending


class OpenFeeds:
    """One for a server."""

    def __init__(self, most_of_token: int) -> None:
        self._most_of_token = most_of_token
        self._open: Counter[str] = Counter()
        self.stopping = asyncio.Event()

    @asynccontextmanager
    async def place(self, token_id: str) -> AsyncIterator[asyncio.Event]:
        """A place among the token's feeds, while it is held. Raises Ending where it has no more. Gives what tells of the server's end."""
        if self._open[token_id] >= self._most_of_token:
            raise Ending(CloseReason.TRY_AGAIN_LATER, "the token has too many live feeds open")
        self._open[token_id] += 1
        try:
            yield self.stopping
        finally:
            self._open[token_id] -= 1
            if not self._open[token_id]:
                del self._open[token_id]

    @property
    def count(self) -> int:
        """How many are open."""
        return self._open.total()
