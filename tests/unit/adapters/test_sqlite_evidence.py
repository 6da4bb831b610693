"""What the store's file says of an account: tables, the journal behind them, and whether somebody is writing."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from typing import Final

import pytest

from tests.support.clock import ManualClock
from tests.support.events import filled, mismatch, order_changed, position_set, snapshot_taken, stream_changed
from tests.support.records import record
from userstream.adapters.sqlite import SqliteStore
from userstream.adapters.sqlite_evidence import SqliteEvidence, writer_began, writer_number
from userstream.domain.events import Event, FilledBefore
from userstream.domain.evidence import Evidence
from userstream.kernel.errors import StoreError
from userstream.kernel.ids import AccountId, Millis, OrderId, Symbol
from userstream.runtime.pump import Pump

ALICE: Final = AccountId("alice")
STORY: Final = (
    stream_changed(state="live", received_time=1_000),
    order_changed(filled_quantity="0"),
    filled(),
    order_changed(filled_quantity="0.100"),
    order_changed(order_id="9", conditional=True),
    position_set(),
    mismatch(),
    snapshot_taken(),
)


class Writer:
    """A store that a test writes, with or without its tables."""

    def __init__(self, store: SqliteStore, clock: ManualClock, path: Path) -> None:
        self.store, self.clock, self.path = store, clock, path
        self.sequence = 0

    async def write(self, *events: Event, received_time: int = 2_000, tables: bool = True) -> None:
        self.store.append(record(*events, sequence=self.sequence + 1, received_time=received_time))
        self.sequence += len(events)
        await self.store.flush()
        if tables:
            pump = Pump(self.store, self.store, "tables", clock=self.clock)
            pump.start()
            await pump.drain()
            await pump.stop()

    async def evidence(self) -> Evidence:
        return await SqliteEvidence(self.path, self.clock).gather(ALICE)


@pytest.fixture
async def writer(tmp_path: Path) -> AsyncIterator[Writer]:
    clock = ManualClock()
    async with await SqliteStore.open(tmp_path / "a.db", clock) as store:
        yield Writer(store, clock, tmp_path / "a.db")


def as_plain(evidence: Evidence) -> dict[str, object]:
    plain = {name: getattr(evidence, name) for name in ("venue", "coverage", "fills", "orders", "legs", "growth", "words", "missing")}
    return plain | {"disputes": evidence.disputes.open}


async def test_tables_and_journal_say_the_same_however_far_the_tables_are(writer: Writer) -> None:
    await writer.write(*STORY, tables=False)
    from_journal = await writer.evidence()
    await writer.write(filled(trade_id="6001", order_id="2"))
    await writer.write(filled(trade_id="6002", order_id="2"), tables=False)
    evidence = await writer.evidence()
    assert sorted(evidence.fills) == [*from_journal.fills, ("BTCUSDT", "6001", "2"), ("BTCUSDT", "6002", "2")]
    expected = Evidence(ALICE)
    expected.take(STORY)
    expected.recall(STORY)
    assert as_plain(from_journal) == as_plain(expected)
    assert evidence.coverage == from_journal.coverage
    assert evidence.orders == from_journal.orders
    assert list(evidence.disputes.open) == [("position", "BTCUSDT both")]


async def test_what_was_filled_before_our_care_is_known_when_the_journal_is_gone(writer: Writer) -> None:
    anchor = FilledBefore(Symbol("BTCUSDT"), OrderId("8886774"), Decimal("0.2"), Millis(5))
    await writer.write(*STORY, snapshot_taken(filled_before=(anchor,)))
    with closing(sqlite3.connect(writer.path)) as connection, connection:
        connection.execute("DELETE FROM journal")
    evidence = await writer.evidence()
    assert evidence.filled_before == {(anchor.symbol, anchor.order_id): anchor}


async def test_a_row_that_vanished_is_missing(writer: Writer) -> None:
    await writer.write(*STORY)
    with sqlite3.connect(writer.path) as connection:
        connection.execute("DELETE FROM fills")
    connection.close()
    evidence = await writer.evidence()
    assert (list(evidence.fills), list(evidence.missing)) == ([], [("BTCUSDT", "5012", "8886774")])


async def test_a_value_that_is_not_known_counts_as_nothing(writer: Writer) -> None:
    await writer.write(*STORY)
    with sqlite3.connect(writer.path) as connection:
        connection.execute("UPDATE fills SET quantity = NULL, side = NULL, position_side = NULL")
    connection.close()
    [fill] = (await writer.evidence()).fills.values()
    assert (fill.quantity, fill.side, fill.position_side) == (Decimal(0), None, None)


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE fills SET quantity = 'much'",
        "UPDATE fills SET side = 'up'",
        "UPDATE orders SET filled_quantity = ''",
        "UPDATE positions SET amount = '1/2'",
        "UPDATE positions SET position_side = 'left'",
        "UPDATE account_events SET data = '{' WHERE kind = 'mismatch'",
    ],
)
async def test_values_that_we_never_write_are_told_in_one_line(writer: Writer, change: str) -> None:
    await writer.write(*STORY)
    with sqlite3.connect(writer.path) as connection:
        connection.execute(change)
    connection.close()
    with pytest.raises(StoreError, match="holds what was never written there"):
        await writer.evidence()


async def test_an_account_that_nobody_knows_is_empty(writer: Writer) -> None:
    evidence = await SqliteEvidence(writer.path, writer.clock).gather(AccountId("nobody"))
    assert as_plain(evidence) == as_plain(Evidence(AccountId("nobody")))
    assert not evidence.is_growing


# --- who writes ---


async def test_while_the_account_runs_the_streams_word_reaches_to_now(writer: Writer) -> None:
    began = writer_began(writer.path)
    assert began is not None
    await writer.write(*STORY, received_time=began)
    evidence = await writer.evidence()
    assert (evidence.is_growing, evidence.heard_until) == (True, writer.clock.wall())


async def test_whoever_writes_the_store_is_known_by_its_number_until_it_leaves(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    assert writer_number(path) == ""
    async with await SqliteStore.open(path, ManualClock()):
        assert writer_number(path) == str(os.getpid())
    assert writer_number(path) == ""


async def test_a_writer_that_came_later_does_not_vouch_for_an_account_that_it_does_not_run(writer: Writer) -> None:
    began = writer_began(writer.path)
    assert began is not None
    await writer.write(*STORY, received_time=began - 60_000)
    evidence = await writer.evidence()
    assert (evidence.is_growing, evidence.heard_until) == (False, began - 60_000)


async def test_an_account_that_was_stopped_does_not_grow(writer: Writer) -> None:
    began = writer_began(writer.path)
    await writer.write(*STORY, stream_changed(state="stopped"), received_time=began or 0)
    assert not (await writer.evidence()).is_growing


async def test_without_a_writer_the_last_record_is_the_end(tmp_path: Path) -> None:
    clock = ManualClock()
    async with await SqliteStore.open(tmp_path / "a.db", clock) as store:
        store.append(record(*STORY, received_time=7_000))
    assert writer_began(tmp_path / "a.db") is None
    evidence = await SqliteEvidence(tmp_path / "a.db", clock).gather(ALICE)
    assert (evidence.is_growing, evidence.heard_until, evidence.gathered) == (False, 7_000, clock.wall())
    (tmp_path / "a.db.lock").unlink()
    assert writer_began(tmp_path / "a.db") is None
