"""The end of every story: an undisturbed run, then the store beside the exchange's books."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import msgspec

from tests.processes.history import Verdict, judge, read_history
from tests.processes.programs import ACCOUNT, Client, Exchange, Place, clock
from userstream.adapters.sqlite import open_reader
from userstream.entry.comparison import compare_account
from userstream.kernel.errors import StoreError

SETTLE_S = 30


async def look(place: Place, exchange: Exchange) -> Verdict:
    """What the store says after a sudden end. Where a process died while it made the store, there is nothing to be wrong."""
    try:
        history = await read_history(place.store, ACCOUNT)
    except StoreError:
        return Verdict(records=0, fills=0, lost=0, doubled=0, invented=0, findings=())
    return await judge(history, await exchange.books())


async def glance(place: Place, exchange: Exchange) -> Verdict:
    """As `look`, while a client writes: at a copy, which is the store of one moment. The books are read later than that."""
    copy = place.folder / "glance.db"
    with closing(sqlite3.connect(place.store)) as source, closing(sqlite3.connect(copy)) as target:
        source.backup(target)
    return await judge(await read_history(copy, ACCOUNT), await exchange.books())


async def settle(place: Place, exchange: Exchange, client: Client | None = None) -> Verdict:
    """Ends the trading, lets a client (a new one, unless given) prove everything, stops it in order, and holds the store against the
    books: nothing may be missing, in journal and tables."""
    await exchange.act("clear")
    await exchange.fall_silent(ACCOUNT)
    client = client or await place.start()
    await client.until_live()
    await wait_equal(place, exchange)
    assert await client.stop() == 0
    wrong = await differences(place, exchange)
    assert not wrong, (wrong[:10], client.lines[-20:])
    return await judge(await read_history(place.store, ACCOUNT), await exchange.books(), settled=True)


async def wait_equal(place: Place, exchange: Exchange) -> None:
    """Waits until the tables of a running client equal the books."""
    wrong: list[str] = ["not looked yet"]
    limit = clock.now() + SETTLE_S * 1000
    while wrong and clock.now() < limit:
        await clock.sleep(200)
        wrong = await differences(place, exchange)
    assert not wrong, wrong[:10]


async def differences(place: Place, exchange: Exchange) -> list[str]:
    """The tables beside the books, in words."""
    truth = msgspec.json.decode(await exchange.truth(), type=dict[str, object])
    async with open_reader(place.store) as reader:
        told = await compare_account(reader, ACCOUNT, truth)
    counts = {"missing": told.missing, "doubled": told.doubled, "invented": told.invented}
    return [*(f"{count} fills {what}" for what, count in counts.items() if count), *told.differences]
