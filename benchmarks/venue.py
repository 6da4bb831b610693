"""What the benchmarks' venues have in common: REST answers from one function, and a process that obeys lines."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from typing import Any, Self

from aiohttp import web

from benchmarks.feed import ROOT


async def open_rest(answer: Callable[[web.Request], Awaitable[web.Response]]) -> int:
    """Answers every call by `answer`, on a free port of this machine, which is returned."""
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    return int(runner.addresses[0][1])


class VenueProcess:
    """A venue's process, from here: `places` is the line it begins with; each line it is told is answered by one of JSON. Owned by its
    `async with`."""

    def __init__(self, module: str, *arguments: str) -> None:
        self._command = (sys.executable, "-m", module, *arguments)

    async def __aenter__(self) -> Self:
        pipe = asyncio.subprocess.PIPE
        self._process = await asyncio.create_subprocess_exec(*self._command, stdin=pipe, stdout=pipe, cwd=ROOT)
        self.places = await self._read()
        return self

    async def obey(self, words: str) -> dict[str, Any]:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{words}\n".encode())
        return await self._read()

    async def _read(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        answer: dict[str, Any] = json.loads(await self._process.stdout.readline())
        return answer

    async def __aexit__(self, *_: object) -> None:
        self._process.kill()
        await self._process.wait()
