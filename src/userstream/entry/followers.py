"""The journal, and what follows it: the tables of the embedded store, and PostgreSQL. Started with the store, stopped before it."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Final

from userstream.ports import Clock, Journal

if TYPE_CHECKING:
    from userstream.adapters.sqlite import SqliteStore
    from userstream.entry.bootstrap import Application
    from userstream.entry.storage import PostgresFeed, PostgresTarget

PROJECTOR: Final = "tables"


async def open_journal(store: str | Path | None, keep_days: int, clock: Clock) -> tuple[Journal, SqliteStore | None]:
    """The journal, and the store that it is in; without a file it is kept in memory. Raises StoreError when the file cannot be used."""
    if store is None:
        from userstream.adapters.memory import MemoryJournal

        return MemoryJournal(), None
    from userstream.adapters.sqlite import SqliteStore
    from userstream.adapters.sqlite_commits import SqliteSettings

    opened = await SqliteStore.open(Path(store), clock, settings=SqliteSettings(keep_days=keep_days), on_trouble=tell_store_trouble)
    return opened, opened


def start_tables(application: Application, store: SqliteStore, path: Path, stack: AsyncExitStack) -> None:
    """The tables of the embedded store, and the evidence that they are."""
    from userstream.adapters.sqlite_evidence import SqliteEvidence
    from userstream.runtime.pump import Pump
    from userstream.runtime.stages import TimedProjection

    tables = TimedProjection(store, application.numbers, application.clock, "tables")
    application.evidence = SqliteEvidence(path, application.clock)
    application.pump = Pump(store, tables, PROJECTOR, clock=application.clock, on_trouble=tell_pump_trouble)
    application.pump.start()
    stack.push_async_callback(application.pump.stop)


async def prepare_postgres(target: PostgresTarget | None, store: str | Path | None, clock: Clock) -> PostgresFeed | None:
    """What has to be settled before the store is opened."""
    if target is None or store is None:
        return None
    from userstream.adapters.logs import register_secret
    from userstream.entry.storage import PostgresFeed

    feed = await asyncio.to_thread(PostgresFeed, target, Path(store), clock)
    for secret in feed.address.secrets:
        register_secret(secret)
    return feed


async def start_postgres(application: Application, feed: PostgresFeed | None, store: SqliteStore, stack: AsyncExitStack) -> None:
    """Fills it from now on, or, where none is wanted any more, lets the journal wait for it no longer."""
    if feed is None:
        from userstream.adapters.sqlite_marks import release_marks

        await release_marks(store, "postgres")
        return
    from userstream.entry.storage import tell_postgres_trouble

    application.postgres = feed
    feed.start(store, tell_postgres_trouble, application.numbers)
    stack.push_async_callback(feed.stop)


def tell_store_trouble(trouble: Exception | None) -> None:
    """One line of the log when commits begin to fail, one when they succeed again."""
    import structlog

    log = structlog.stdlib.get_logger("userstream.store")
    if trouble is None:
        log.info("the store keeps everything again", action="store_recovered")
    else:
        log.error("nothing can be kept: what comes in waits in memory", action="store_trouble", reason=str(trouble))


def tell_pump_trouble(trouble: Exception | None) -> None:
    """One line of the log when the tables stop to follow the journal, one when they follow again."""
    import structlog

    log = structlog.stdlib.get_logger("userstream.pump")
    if trouble is None:
        log.info("the tables follow the journal again", action="pump_recovered")
    else:
        log.error("the tables do not follow the journal; it keeps what they lack", action="pump_trouble", reason=str(trouble))
