"""What the doctor finds of the HTTP API: files, tokens, and whether its port is free."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from userstream.entry.cli.findings import Finding, is_ready_store
from userstream.kernel.errors import UserStreamError

if TYPE_CHECKING:
    from userstream.entry.configuration import Configuration
    from userstream.entry.web.settings import HttpSection

ANSWER_LIMIT_S: Final = 3.0
MOST_ANSWER_BYTES: Final = 4_096
WORDS_OF_HEALTH: Final = ("ok", "failing")
EVERY_ADDRESS: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}
"""Where one asks who listens at all of them."""


async def check_http(configuration: Configuration) -> Finding | None:
    """Whether the HTTP API could open and be used; None where there is none."""
    settings = configuration.http
    if settings is None:
        return None
    place = f"{'https' if settings.has_tls else 'http'}://{settings.host}:{settings.port}"
    try:
        settings.files(configuration.folder)
        beside = await _try_place(settings)
        count = await _count_tokens(Path(configuration.store.path))
    except UserStreamError as error:
        return Finding("http", "problem", str(error))
    if count:
        return Finding("http", "ok", f"{place}, {count} token{'' if count == 1 else 's'}{beside}")
    words = f"{place}, and nobody has a token: make one with userstream tokens add NAME --role viewer{beside}"
    return Finding("http", "problem" if settings.needs_token else "warning", words)


async def _try_place(settings: HttpSection) -> str:
    """What is to be said of the port: nothing where it is free, that a service answers where one runs. Raises SettingsError where another
    program listens, or nobody can."""
    from userstream.entry.web.place import PlaceTaken, listen_at

    try:
        listen_at(settings).close()
    except PlaceTaken:
        if not await _is_service(settings):
            raise
        return "; a service of this kind listens there now"
    return ""


async def _is_service(settings: HttpSection) -> bool:
    """Whether who listens there answers as `userstream run` does."""
    import aiohttp
    import msgspec

    host = EVERY_ADDRESS.get(settings.host, settings.host)
    url = f"{'https' if settings.has_tls else 'http'}://{f'[{host}]' if ':' in host else host}:{settings.port}/health"
    limit = aiohttp.ClientTimeout(total=ANSWER_LIMIT_S)
    try:
        # nothing is sent that others may not know, so whose certificate it is does not matter
        async with aiohttp.ClientSession(timeout=limit) as session, session.get(url, ssl=False) as response:
            told = msgspec.json.decode(await response.content.read(MOST_ANSWER_BYTES), type=dict[str, object])
    except (aiohttp.ClientError, OSError, TimeoutError, ValueError):
        return False
    return told.get("status") in WORDS_OF_HEALTH


async def _count_tokens(path: Path) -> int:
    """Those that open something now. Brings no store into being, nor to another form."""
    from userstream.adapters.clock import SystemClock
    from userstream.adapters.sqlite_tokens import SqliteTokens

    if not is_ready_store(path):
        return 0
    async with await SqliteTokens.open(path) as tokens:
        now = SystemClock().wall()
        return sum(token.is_live(now) for token in await tokens.all_tokens())
