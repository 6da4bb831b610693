"""What the doctor finds of the ports that `run` would open: are they free, and can the HTTP API be used."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

import msgspec

from userstream.entry.cli.findings import Finding, is_ready_store
from userstream.kernel.errors import SettingsError, UserStreamError

if TYPE_CHECKING:
    from userstream.entry.configuration import Configuration
    from userstream.entry.web.settings import HttpSection

ANSWER_LIMIT_S: Final = 3.0
MOST_ANSWER_BYTES: Final = 4_096
WORD_OF_METRICS: Final = b"userstream_"
EVERY_ADDRESS: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}
"""Where one asks who listens at all of them."""


class Health(msgspec.Struct, frozen=True):
    """What `/health` of a service says, whatever stands beside it."""

    status: Literal["ok", "failing"]


async def check_http(configuration: Configuration) -> Finding | None:
    """Whether the HTTP API could open and be used; None where there is none."""
    settings = configuration.http
    if settings is None:
        return None
    from userstream.entry.web.place import check_certificate

    place = f"{'https' if settings.has_tls else 'http'}://{settings.host}:{settings.port}"
    try:
        check_certificate(settings, configuration.folder)
        store = Path(configuration.store.path)
        beside = await _try_place(settings, store)
        count = await _count_tokens(store)
    except UserStreamError as error:
        return Finding("http", "problem", str(error))
    if count:
        return Finding("http", "ok", f"{place}, {count} token{'' if count == 1 else 's'}{beside}")
    words = f"{place}, and nobody has a token: make one with userstream tokens add NAME --role viewer{beside}"
    return Finding("http", "problem" if settings.needs_token else "warning", words)


async def _try_place(settings: HttpSection, store: Path) -> str:
    """What is to be said of the port: nothing where it is free, that a service answers where that of the store runs. Raises SettingsError
    where another program or another store's service listens, or nobody can."""
    from userstream.entry.web.place import PlaceTaken, listen_at

    try:
        listen_at(settings).close()
    except PlaceTaken as taken:
        if not await _is_service(settings):
            raise
        return f"; {_tell_service(store, taken)}"
    return ""


def _tell_service(store: Path, taken: SettingsError) -> str:
    """What is to be said of a service that listens: who listens does not say of which store it is, so that only who holds this one can be
    told. Raises SettingsError where no process does."""
    from userstream.adapters.sqlite_evidence import writer_began, writer_number

    if writer_began(store) is None:
        raise SettingsError(f"{taken}: it is the service of another store, for nobody holds {store}")
    holder = writer_number(store) or "of an unknown number"
    return f"a service of this kind listens there now, and process {holder} holds {store}: if that is another service, choose another port"


async def _is_service(settings: HttpSection) -> bool:
    """Whether who listens there answers as `userstream run` does."""
    host = EVERY_ADDRESS.get(settings.host, settings.host)
    url = f"{'https' if settings.has_tls else 'http'}://{f'[{host}]' if ':' in host else host}:{settings.port}/health"
    try:
        msgspec.json.decode(await _ask(url), type=Health)
    except (ValueError, RecursionError):  # the latter for what is nested without end
        return False
    return True


async def check_metrics(configuration: Configuration) -> Finding | None:
    """Whether the port of the metrics could open; None where there is none."""
    from userstream.entry.metrics_port import MetricsPort

    section = configuration.metrics
    if section is None:
        return None
    url = f"http://{section.listen}/metrics"
    port = MetricsPort(section, _render_nothing, "text/plain")
    try:
        await port.start()
        await port.stop()
    except SettingsError as taken:
        try:
            beside = await _tell_metrics(url, Path(configuration.store.path), taken)
        except SettingsError as error:
            return Finding("metrics", "problem", str(error))
        return Finding("metrics", "ok", f"{url}; {beside}")
    return Finding("metrics", "ok", url)


async def _tell_metrics(url: str, store: Path, taken: SettingsError) -> str:
    """What is to be said where these can be the numbers of this store's service. Raises SettingsError where they cannot."""
    if WORD_OF_METRICS not in await _ask(url):
        raise taken
    return _tell_service(store, taken)


async def _render_nothing() -> str:
    return ""


async def _ask(url: str) -> bytes:
    """The beginning of what is answered there; empty where nothing is, or one is sent elsewhere. Nothing is sent that others may not know,
    so whose certificate it is does not matter."""
    import aiohttp

    limit = aiohttp.ClientTimeout(total=ANSWER_LIMIT_S)
    try:
        async with aiohttp.ClientSession(timeout=limit) as session, session.get(url, ssl=False, allow_redirects=False) as response:
            return await response.content.read(MOST_ANSWER_BYTES)
    except (aiohttp.ClientError, OSError, TimeoutError, ValueError):
        return b""


async def _count_tokens(path: Path) -> int:
    """Those that open something now. Brings no store into being, nor to another form."""
    from userstream.adapters.clock import SystemClock
    from userstream.adapters.sqlite_tokens import SqliteTokens

    if not is_ready_store(path):
        return 0
    async with await SqliteTokens.open(path) as tokens:
        now = SystemClock().wall()
        return sum(token.is_live(now) for token in await tokens.all_tokens())
