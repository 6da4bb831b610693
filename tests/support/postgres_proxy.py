"""A way to PostgreSQL that loses an answer: the server does what it was told, and whoever told it never hears so."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from typing import Final

BIND: Final = b"B"
"""How the message begins that carries out a prepared statement; a statement outside a transaction is one by itself."""
SOCKET_NAME: Final = ".s.PGSQL.5432"


class LosingProxy:
    """Stands in `folder` as a server's socket does and passes all on to the one in `behind`. Each statement that `lose` was told to
    lose is carried out and committed, and then the connection ends."""

    def __init__(self, folder: Path, behind: Path) -> None:
        self._folder, self._behind = folder, behind
        self._to_lose = 0
        self.lost = 0
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> LosingProxy:
        self._server = await asyncio.start_unix_server(self._serve, str(self._folder / SOCKET_NAME))
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def lose(self, statements: int = 1) -> None:
        self._to_lose += statements

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        with contextlib.suppress(OSError, asyncio.CancelledError, asyncio.IncompleteReadError):
            await self._pass_on(reader, writer)
        writer.close()

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        from_server, to_server = await asyncio.open_unix_connection(str(self._behind / SOCKET_NAME))
        try:
            answers = asyncio.get_running_loop().create_task(_copy(from_server, writer))
            self._tasks.add(answers)
            while words := await reader.read(65_536):
                if self._to_lose and words.startswith(BIND):
                    self._to_lose -= 1
                    answers.cancel()
                    await asyncio.wait([answers])
                    to_server.write(words)
                    await from_server.read(65_536)
                    self.lost += 1
                    return
                to_server.write(words)
        finally:
            to_server.close()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while words := await reader.read(65_536):
            writer.write(words)
            await writer.drain()
    writer.close()
