"""A client whose ports are wrapped: `python -m tests.processes.child_client STORE REST WS [...]`, key and secret from the environment.

It does a bounded piece of work: takes up its account, waits until it is proven, follows some trading, keeps a checkpoint, follows some
more, and stops in order. It writes a line `committed SEQUENCE` for each commit, and at its end `hits COUNT`, how many statements failed.

--trap POINT:COUNT:before|after kills it there. --max-pages N makes the disk full at so many pages. --fail full|ioerr --first N --times N
[--after] makes statements of the writing connection fail, `after`: when they have done their work, so that only the answer is lost.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sqlite3
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Final

from tests.processes.traps import Trap, TrappedClock, TrappedHttp, TrappedStore, TrappedTransport, trapped_connection
from tests.support.broken_sqlite import Breakage
from userstream import RecoverySettings, StreamSettings
from userstream.adapters.http import AiohttpClient
from userstream.adapters.sequences import last_of
from userstream.adapters.sqlite import SqliteStore
from userstream.adapters.sqlite_commits import Commits, SqliteSettings
from userstream.adapters.sqlite_file import open_for_writing
from userstream.adapters.ws import PicowsTransport
from userstream.entry.bootstrap import AccountSettings, Application, credentials_of
from userstream.entry.followers import PROJECTOR
from userstream.ports import Clock, Record
from userstream.runtime.pump import Pump

ACCOUNT: Final = "paper-1"
EVENTS_OF_A_PART: Final = 15
LONG_S: Final = 20.0
CODES: Final = {"full": sqlite3.SQLITE_FULL, "ioerr": sqlite3.SQLITE_IOERR}
RECOVERY: Final = RecoverySettings(lag_s=0.1, overlap_s=0.5, audit_s=1.0, history_s=60, backfill_s=600.0)
STREAM: Final = StreamSettings(own_ping_s=0.02, silence_s=0.6, first_delay_s=0.05, max_delay_s=0.4)


def read_words(words: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    for name in ("store", "rest_url", "ws_url"):
        parser.add_argument(name)
    parser.add_argument("--trap", default="")
    parser.add_argument("--max-pages", type=int)
    parser.add_argument("--fail", choices=CODES)
    parser.add_argument("--first", type=int, default=1)
    parser.add_argument("--times", type=int, default=1)
    parser.add_argument("--after", action="store_true")
    return parser.parse_args(words)


def trap_of(word: str) -> Trap:
    if not word:
        return Trap()
    point, count, side = word.split(":")
    return Trap(point, int(count), side == "after")


def say(line: str) -> None:
    # not through a buffer: what is said has left the process when it dies
    os.write(sys.stdout.fileno(), line.encode() + b"\n")


def tell(records: Sequence[Record]) -> None:
    say(f"committed {last_of(records[-1])}")


async def open_store(path: Path, clock: Clock, trap: Trap, breakage: Breakage | None, max_pages: int | None) -> SqliteStore:
    settings = SqliteSettings(max_pages=max_pages, first_retry_ms=20, max_retry_ms=100, flush_limit_ms=2_000)
    store = SqliteStore(path, clock, settings, None)
    connect = partial(open_for_writing, path, max_pages=max_pages, factory=trapped_connection(trap))
    store._commits = Commits(path, clock, settings, None, connect if breakage is None else breakage.connect(path))
    await store._begin()
    return store


async def run(given: argparse.Namespace) -> None:
    trap = trap_of(given.trap)
    breakage = None if given.fail is None else Breakage(CODES[given.fail], first=given.first, times=given.times, after=given.after)
    clock = TrappedClock(trap)
    store = await open_store(Path(given.store), clock, trap, breakage, given.max_pages)
    journal = TrappedStore(store, trap)
    http, transport = TrappedHttp(AiohttpClient(), trap), TrappedTransport(PicowsTransport(clock), trap)
    application = Application(clock, transport, http, journal)
    application.weight_limit = 100_000_000
    pump = Pump(journal, journal, PROJECTOR, clock=clock)
    pump.start()
    journal.watch(tell)
    if breakage is not None:
        breakage.arm()
    try:
        await work(application, given)
    finally:
        await application.stop()
        if breakage is not None:
            breakage.mend()
        await pump.stop()
        await transport.close()
        await http.close()
        await store.close()
    say(f"hits {0 if breakage is None else breakage.hits}")


async def work(application: Application, given: argparse.Namespace) -> None:
    settings = AccountSettings(
        name=ACCOUNT,
        venue="binance-usdm",
        credentials=credentials_of(os.environ["KEY"], os.environ["SECRET"]),
        rest_url=given.rest_url,
        ws_url=given.ws_url,
        recovery=RECOVERY,
        stream=STREAM,
    )
    account = await application.add(settings)
    await account.wait_proven(LONG_S)
    for _ in range(2):
        target = account.sequence + EVENTS_OF_A_PART
        async with asyncio.timeout(LONG_S):
            while account.sequence < target:
                await application.clock.sleep(5)
        await application.runner(ACCOUNT).save()


if __name__ == "__main__":
    asyncio.run(run(read_words(sys.argv[1:])))
