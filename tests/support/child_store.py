"""Programs that use a store in a process of their own: `python -m tests.support.child_store append|limit STORE`.

append: appends and projects until it is killed; prints the account and last sequence of each committed record.
limit: lets the operating system refuse to let files grow, fills the store until it says so, lifts the limit, and prints what it heard.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.support.events import filled, order_changed
from tests.support.records import record, row_of_records
from userstream.adapters.clock import SystemClock
from userstream.adapters.sequences import last_of
from userstream.adapters.sqlite import SqliteStore
from userstream.adapters.sqlite_commits import SqliteSettings
from userstream.kernel.ids import AccountId
from userstream.ports import Record
from userstream.runtime.pump import Pump

ACCOUNTS = ("alice", "bob", "carol")


def story(account: str, sequence: int) -> Record:
    """The record of an account at a sequence: always the same, so that anybody can tell what must be there."""
    order, trade = str(sequence // 10), str(sequence)
    first = order_changed(account=account, order_id=order, filled_quantity=str(sequence % 10))
    return record(first, filled(account=account, order_id=order, trade_id=trade), account=account, sequence=sequence)


def tell(records: Sequence[Record]) -> None:
    for one in records:
        sys.stdout.write(f"{one.account} {last_of(one)}\n")
    sys.stdout.flush()


async def append_forever(path: Path) -> None:
    clock = SystemClock()
    store = await SqliteStore.open(path, clock)
    store.watch(tell)
    pump = Pump(store, store, "tables", clock=clock, interval_ms=1)
    pump.start()
    reached = {account: await store.last_sequence(AccountId(account)) for account in ACCOUNTS}
    while True:
        for account in ACCOUNTS:
            reached[account] += 2
            store.append(story(account, reached[account] - 1))
        await clock.sleep(0 if store.backlog < 300 else 1)


async def meet_the_limit(path: Path) -> None:
    import resource

    heard: list[str | None] = []
    settings = SqliteSettings(first_retry_ms=1, max_retry_ms=5)
    store = await SqliteStore.open(
        path, SystemClock(), settings=settings, on_trouble=lambda error: heard.append(None if error is None else str(error))
    )
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, hard))
    count = 0
    while not heard:
        for one in row_of_records(20, first=count + 1):
            store.append(one)
        count += 20
        await asyncio.sleep(0.001)
    for _ in range(20):
        await asyncio.sleep(0.001)
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    await store.flush()
    await store.close()
    sys.stdout.write(f"heard: {heard}\nappended: {count}\n")


if __name__ == "__main__":
    work = {"append": append_forever, "limit": meet_the_limit}[sys.argv[1]]
    asyncio.run(work(Path(sys.argv[2])))
