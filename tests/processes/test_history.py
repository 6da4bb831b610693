"""The judge of histories can condemn: each law is broken once."""

from __future__ import annotations

from decimal import Decimal

import msgspec
import pytest

from tests.processes.history import FOLDED, BookFill, BookOrder, Books, History, judge
from tests.support.events import A_TIME, fill_completed, filled, gap_opened, gap_repaired, order_changed, snapshot_taken, stream_changed
from tests.support.records import place, record
from userstream.adapters.memory import MemoryProjection
from userstream.domain.events import Event, Filled
from userstream.ports import Record

BOOKS = Books(
    account="alice",
    time=A_TIME + 1_000,
    orders=[BookOrder(symbol="BTCUSDT", order_id=7, status="filled", filled_quantity=Decimal("0.3"))],
    fills=[
        BookFill(
            symbol="BTCUSDT",
            trade_id=trade,
            order_id=7,
            side="buy",
            price=Decimal(61_000),
            quantity=Decimal("0.1"),
            fee=Decimal("0.2"),
            time=A_TIME + trade,
        )
        for trade in (1, 2, 3)
    ],
)


def fill(trade: int, **fields: object) -> Filled:
    known = {"order_id": "7", "trade_id": str(trade), "price": "61000", "quantity": "0.1", "fee": "0.2", "transaction_time": A_TIME + trade}
    return filled(**known | fields)


def order(filled_quantity: str, status: str = "partially_filled", **fields: object) -> Event:
    return order_changed(**{"order_id": "7", "status": status, "filled_quantity": filled_quantity, "quantity": "0.3"} | fields)


def proof(until: int) -> Event:
    return snapshot_taken(started_time=A_TIME, proven_until=A_TIME + until)


def opened() -> Event:
    return stream_changed(state="syncing", event_time=A_TIME)


def written(*events: Event) -> list[Record]:
    """Each event in a record of its own."""
    return [record(event, sequence=sequence) for sequence, event in enumerate(events, 1)]


def good() -> list[Event]:
    return [opened(), order("0", "new"), fill(1), order("0.1"), fill(2), proof(3), fill(3), order("0.3", "filled"), proof(900)]


async def history_of(records: list[Record]) -> History:
    fold, stored = MemoryProjection(), place(records)
    await fold.apply("tables", stored)
    tables = {table: await fold.rows(table, limit=1_000) for table in FOLDED}
    return History(account="alice", records=stored, position=stored[-1].position, tables=tables, checkpoint=(0, ()))


async def findings_of(*events: Event, settled: bool = False) -> str:
    verdict = await judge(await history_of(written(*events)), BOOKS, settled=settled)
    return " ".join(verdict.findings)


async def test_a_good_history_is_sound() -> None:
    verdict = await judge(await history_of(written(*good())), BOOKS, settled=True)
    assert verdict.is_sound, verdict.findings
    assert (verdict.records, verdict.fills, verdict.lost, verdict.doubled, verdict.invented) == (9, 3, 0, 0, 0)


async def test_what_is_claimed_while_a_fill_is_missing_is_dishonest_even_if_it_comes_later() -> None:
    assert "dishonest" in await findings_of(opened(), fill(1), proof(3), fill(2), fill(3))
    assert "dishonest" in await findings_of(opened(), gap_opened(since=A_TIME), gap_repaired(since=A_TIME, until=A_TIME + 2), fill(1))
    assert "dishonest" not in await findings_of(opened(), fill(1), fill(2), proof(3), fill(3))
    assert "dishonest" not in await findings_of(opened(), gap_opened(since=A_TIME), proof(9), fill(1))


async def test_fills_are_lost_only_at_rest_and_since_the_certificate_began() -> None:
    assert "lost" not in await findings_of(opened(), fill(1), fill(2))
    assert "lost" in await findings_of(opened(), fill(1), fill(2), settled=True)
    later = stream_changed(state="syncing", event_time=A_TIME + 2)
    assert "lost" not in await findings_of(later, fill(2), fill(3), settled=True)


@pytest.mark.parametrize(
    ("told", "finding"),
    [
        ([fill(1), fill(1)], "doubled"),
        ([fill(9)], "invented"),
        ([fill(1, quantity="0.2")], "is told as"),
        ([fill(1, side="sell")], "is told as"),
        ([fill(1, fee="0.3")], "has fee"),
        ([fill_completed(order_id="7", trade_id="1", fee="0.2")], "alone or twice"),
        ([fill(1), fill_completed(order_id="7", trade_id="1", fee="0.2")], "alone or twice"),
        ([order("0.2"), order("0.1")], "back to"),
        ([order("0.3", "filled"), order("0.3", "canceled")], "back to"),
        ([order("0.4")], "in the books"),
        ([order("0.1", "canceled")], "in the books"),
        ([order("0.1", order_id="8")], "was invented"),
    ],
)
async def test_each_law_of_fills_and_orders_is_held(told: list[Event], finding: str) -> None:
    assert finding in await findings_of(opened(), *told)


async def test_a_fill_whose_rest_follows_is_sound() -> None:
    assert await findings_of(fill(1, fee=None), fill_completed(order_id="7", trade_id="1", fee="0.2")) == ""


async def test_sequences_and_positions_grow() -> None:
    history = await history_of(written(*good()))
    turned = msgspec.structs.replace(history, records=[history.records[1], history.records[0], *history.records[2:]])
    assert "comes after" in " ".join((await judge(turned, BOOKS)).findings)
    torn = record(fill(1), fill(2), sequence=1)
    later = msgspec.structs.replace(torn, sequence=2)
    assert "do not count on" in " ".join((await judge(await history_of([later]), BOOKS)).findings)


async def test_tables_that_are_ahead_behind_or_elsewhere_are_seen() -> None:
    history = await history_of(written(*good()))
    for position in (history.position - 1, history.position + 1):
        moved = msgspec.structs.replace(history, position=position)
        assert any("table" in finding for finding in (await judge(moved, BOOKS)).findings)
    poorer = msgspec.structs.replace(history, tables=history.tables | {"fills": history.tables["fills"][1:]})
    assert "table fills is not the fold of the journal: 1 rows absent" in (await judge(poorer, BOOKS)).findings[0]


async def test_a_checkpoint_that_knows_other_things_than_the_journal_is_seen() -> None:
    history = await history_of(written(*good()))
    for events, word in (((), ""), ((order("0.1"),), "open orders"), ((fill(1), fill(8)), "invents fill")):
        saved = msgspec.structs.replace(history, checkpoint=(9, events))
        assert word in " ".join((await judge(saved, BOOKS)).findings)
    assert (await judge(msgspec.structs.replace(history, checkpoint=(9, (fill(3),))), BOOKS)).is_sound
