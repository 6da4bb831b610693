"""What every projection promises: the same suite over all of them, and the same tables from all of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, Protocol

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.clock import ManualClock
from tests.support.events import (
    BUILDERS,
    balance_moved,
    balance_set,
    fill_completed,
    filled,
    gap_opened,
    gap_repaired,
    margin_called,
    order_changed,
    position_set,
    snapshot_taken,
    stream_changed,
    unrecognized,
)
from tests.support.postgres import address_of, borrow_database, give_back
from tests.support.records import histories, place, record
from userstream.adapters.clock import SystemClock
from userstream.adapters.memory import MemoryProjection
from userstream.adapters.postgres import PostgresProjection
from userstream.adapters.postgres_process import PostgresProcess
from userstream.adapters.sqlite import SqliteStore
from userstream.adapters.tables import TABLES
from userstream.domain.events import PRIVATE, BalanceMoved, BalanceSet, Event, Filled, MarginCalled, OrderChanged, PositionSet
from userstream.entry.storage import WRITER
from userstream.kernel.ids import AccountId
from userstream.kernel.secret import Secret
from userstream.ports import Projection, Record, StateReader, StoredRecord

ALICE: Final = AccountId("alice")
MADE: Final = [name for name in TABLES if name not in ("cursors", "checkpoints")]


class Tables(Projection, StateReader, Protocol): ...


async def make_memory(folder: Path) -> Tables:
    return MemoryProjection()


async def make_sqlite(folder: Path) -> Tables:
    return await SqliteStore.open(folder / "tables.db", ManualClock())


class OwnDatabase(PostgresProjection):
    """A projection with a database of its own, as long as it lives."""

    def __init__(self, url: str) -> None:
        super().__init__(address_of(url), ManualClock(), journal="one")
        self.url = url


class OwnProcess(PostgresProcess):
    """One that another process fills; its rows are read from here."""

    def __init__(self, url: str) -> None:
        super().__init__(WRITER, SystemClock(), Secret(url), None, journal="one", migrate=True)
        self._tables = PostgresProjection(address_of(url), ManualClock(), journal="one")
        self.url = url

    async def rows(self, table: str, account: AccountId | None = None, *, limit: int = 1000) -> list[dict[str, object]]:
        return await self._tables.rows(table, account, limit=limit)

    async def close(self) -> None:
        await self._tables.close()
        await super().close()


async def make_postgres(folder: Path) -> Tables:
    return OwnDatabase(await borrow_database())


async def make_process(folder: Path) -> Tables:
    return OwnProcess(await borrow_database())


async def end(tables: Tables) -> None:
    if isinstance(tables, SqliteStore | OwnDatabase | OwnProcess):
        await tables.close()
    if isinstance(tables, OwnDatabase | OwnProcess):
        await give_back(tables.url)


MAKERS: Final = {"memory": make_memory, "sqlite": make_sqlite, "postgres": make_postgres, "postgres-process": make_process}
Maker = Callable[[Path], Awaitable[Tables]]
EACH: Final = [pytest.param(make, id=name, marks=[pytest.mark.postgres] if "postgres" in name else []) for name, make in MAKERS.items()]
each_maker = pytest.mark.parametrize("make", EACH)


@pytest.fixture(params=EACH)
async def tables(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Tables]:
    made: Tables = await request.param(tmp_path)
    yield made
    await end(made)


async def tell(tables: Tables, *events: Event, first: int = 1) -> None:
    """Each event in a record of its own; positions and sequences go on from `first`."""
    records = [record(event, account=event.account, sequence=number) for number, event in enumerate(events, first)]
    await tables.apply("tables", place(records, first))


async def all_rows(tables: Tables) -> dict[str, list[dict[str, object]]]:
    return {name: await tables.rows(name, limit=100_000) for name in MADE}


async def test_a_new_reader_stands_at_the_beginning(tables: Tables) -> None:
    assert await tables.position("tables") == 0
    await tell(tables, filled(), filled(trade_id="2"))
    assert (await tables.position("tables"), await tables.position("another")) == (2, 0)
    assert await tables.rows("cursors") == [{"reader": "tables", "position": 2}]


async def test_records_at_or_below_the_position_are_ignored(tables: Tables) -> None:
    await tell(tables, order_changed(order_id="1"), order_changed(order_id="2"))
    await tables.apply("tables", place([record(order_changed(order_id="3"), sequence=8)], 2))
    assert [row["order_id"] for row in await tables.rows("orders")] == ["2", "1"]
    await tables.apply("tables", [])
    assert await tables.position("tables") == 2


async def test_an_order_row_says_all_that_the_event_says(tables: Tables) -> None:
    await tell(tables, order_changed(price="0.00000000", stop_price="0.000000010", reduce_only=True, activated=False, status="canceled"))
    [row] = await tables.rows("orders", ALICE)
    assert row["price"] == "0.00000000"
    assert row["stop_price"] == "0.000000010"
    assert (row["quantity"], row["average_price"], row["client_order_id"], row["origin"]) == ("0.300", None, "bot-1", "own")
    assert (row["reduce_only"], row["post_only"], row["conditional"], row["activated"]) == (1, 0, 0, 0)
    assert (row["status"], row["position_side"], row["source"], row["sequence"]) == ("canceled", "both", "stream", 1)
    assert list(row) == list(TABLES["orders"].columns)


async def test_the_newest_word_about_an_order_stays_and_finished_orders_too(tables: Tables) -> None:
    await tell(tables, order_changed(), order_changed(status="filled", filled_quantity="0.300"), order_changed(order_id="2"))
    assert [(row["order_id"], row["status"], row["sequence"]) for row in await tables.rows("orders")] == [
        ("2", "new", 3),
        ("8886774", "filled", 2),
    ]


async def test_a_later_batch_replaces_what_an_earlier_one_said(tables: Tables) -> None:
    await tell(tables, order_changed(), position_set(amount="1"), balance_set(total="5"))
    await tell(tables, order_changed(status="canceled"), position_set(amount="2"), balance_set(total="6"), first=4)
    [order], [position], [balance] = [await tables.rows(name) for name in ("orders", "positions", "balances")]
    assert (order["status"], position["amount"], balance["total"]) == ("canceled", "2", "6")
    late = [record(order_changed(status="new"), sequence=2), record(balance_set(total="4"), sequence=3)]
    await tables.apply("tables", place(late, 7))
    assert [await tables.rows(name) for name in ("orders", "positions", "balances")] == [[order], [position], [balance]]


async def test_a_conditional_order_is_another_order_than_the_one_with_its_number(tables: Tables) -> None:
    await tell(tables, order_changed(status="filled"), order_changed(conditional=True, status="new"))
    assert {(row["conditional"], row["status"]) for row in await tables.rows("orders")} == {(0, "filled"), (1, "new")}


async def test_a_fill_is_completed_and_never_changed(tables: Tables) -> None:
    await tell(tables, filled(fee=None, fee_asset=None, realized_pnl=None, maker=None, position_side=None))
    [row] = await tables.rows("fills")
    assert (row["fee"], row["fee_asset"], row["realized_pnl"], row["maker"], row["position_side"]) == (None,) * 5
    await tell(tables, fill_completed(fee="1.20", realized_pnl=None, maker=False), first=2)
    await tell(tables, fill_completed(fee="9.99", realized_pnl="3.5", maker=True), filled(price="1", fee="7"), first=3)
    [row] = await tables.rows("fills")
    assert (row["fee"], row["fee_asset"], row["realized_pnl"], row["maker"]) == ("1.20", "USDT", "3.5", 0)
    assert (row["price"], row["position_side"], row["sequence"]) == ("61250.10", "both", 1)


async def test_a_completion_that_came_first_is_the_same_fill(tables: Tables) -> None:
    await tell(tables, fill_completed(fee="1.20"), filled(fee=None))
    [row] = await tables.rows("fills")
    assert (row["fee"], row["price"], row["quantity"], row["client_order_id"], row["origin"]) == (
        "1.20",
        "61250.10",
        "0.100",
        "bot-1",
        "own",
    )


async def test_the_same_trade_id_of_another_symbol_or_account_is_another_fill(tables: Tables) -> None:
    await tell(tables, filled(), filled(symbol="ETHUSDT"), filled(account="bob"), filled(venue="binance-spot"), filled(price="1"))
    assert len(await tables.rows("fills")) == 4
    assert len(await tables.rows("fills", AccountId("bob"))) == 1


async def test_positions_and_balances_are_what_was_said_last(tables: Tables) -> None:
    await tell(tables, position_set(amount="1"), balance_set(total="5", available="4"), position_set(amount="0"), balance_set(total="6"))
    await tell(tables, position_set(position_side="short", amount="-2"), balance_set(asset="BNB", total="0.5"), first=5)
    assert [(row["position_side"], row["amount"]) for row in await tables.rows("positions", ALICE)] == [("both", "0"), ("short", "-2")]
    balances = [(row["asset"], row["total"], row["available"]) for row in await tables.rows("balances", ALICE)]
    assert balances == [("BNB", "0.5", None), ("USDT", "6", None)]


async def test_a_movement_with_an_id_counts_once_and_without_one_each_time(tables: Tables) -> None:
    await tell(tables, balance_moved(movement_id="7"), balance_moved(movement_id="7"), balance_moved(), balance_moved())
    assert [row["movement"] for row in await tables.rows("movements")] == ["#4", "#3", "USDT|funding_fee|7"]


async def test_other_events_are_kept_with_their_words(tables: Tables) -> None:
    await tell(tables, *(build() for build in BUILDERS))
    kinds = [row["kind"] for row in await tables.rows("account_events")]
    assert kinds[:3] == ["unrecognized", "mismatch", "snapshot_taken"]
    assert {"stream_changed", "gap_opened", "gap_repaired", "account_config_changed", "strategy_changed", "trigger_rejected"} < set(kinds)
    assert [row["symbol"] for row in await tables.rows("margin_calls", ALICE)] == ["BTCUSDT"]


async def test_a_margin_warning_keeps_its_level_and_its_status(tables: Tables) -> None:
    await tell(tables, margin_called(symbol="", position_side="both", margin_level="1.240", status="margin_call"), margin_called())
    futures, margin = await tables.rows("margin_calls", ALICE)
    assert (margin["margin_level"], margin["status"]) == ("1.240", "margin_call")
    assert (futures["margin_level"], futures["status"]) == (None, "")


async def test_an_order_of_a_list_keeps_its_list_and_what_was_prevented(tables: Tables) -> None:
    listed = order_changed(order_list_id="2001", iceberg_quantity="0.10", prevented_quantity="0.050", prevented_match_id="7")
    await tell(tables, order_changed(), listed)
    [row] = await tables.rows("orders", ALICE)
    assert (row["order_list_id"], row["iceberg_quantity"], row["prevented_quantity"], row["prevented_match_id"]) == (
        "2001", "0.10", "0.050", "7"
    )  # fmt: skip


@pytest.mark.parametrize(
    ("table", "kind"),
    [
        ("orders", OrderChanged),
        ("fills", Filled),
        ("positions", PositionSet),
        ("balances", BalanceSet),
        ("movements", BalanceMoved),
        ("margin_calls", MarginCalled),
    ],
)
async def test_no_field_of_a_fact_is_left_out_of_its_table(tables: Tables, table: str, kind: type[Event]) -> None:
    await tell(tables, *(build() for build in BUILDERS if type(build()) is kind))
    [row, *_] = await tables.rows(table)
    assert set(kind.__struct_fields__) - PRIVATE <= set(row)


async def test_a_text_that_looks_like_an_amount_is_left_alone(tables: Tables) -> None:
    await tell(tables, unrecognized(name='"price":"1E-9"', sample="5E-7"), order_changed(client_order_id="5E-7"))
    [event] = await tables.rows("account_events")
    assert '"sample":"5E-7"' in str(event["data"])
    assert '\\"price\\":\\"1E-9\\"' in str(event["data"])
    [order] = await tables.rows("orders")
    assert order["client_order_id"] == "5E-7"


async def test_the_certificate_follows_the_feed(tables: Tables) -> None:
    await tell(tables, stream_changed(state="syncing", event_time=100), snapshot_taken(started_time=110, proven_until=105))
    await tell(tables, gap_opened(since=200), stream_changed(state="syncing", event_time=230), first=3)
    await tell(tables, gap_repaired(since=200, until=240), snapshot_taken(started_time=245, proven_until=240), first=5)
    spans = [(row["since"], row["until"], row["state"]) for row in await tables.rows("coverage", ALICE)]
    assert spans == [(240, None, "STREAM_ONLY"), (200, 240, "REPAIRED"), (100, 200, "PROVEN")]


async def test_limits_and_accounts_choose_rows(tables: Tables) -> None:
    await tell(tables, *(filled(trade_id=str(number), account="bob" if number % 2 else "alice") for number in range(10)))
    assert [row["trade_id"] for row in await tables.rows("fills", ALICE, limit=2)] == ["8", "6"]
    assert [row["account"] for row in await tables.rows("fills", limit=6)] == ["alice"] * 5 + ["bob"]
    assert await tables.rows("fills", AccountId("nobody")) == []


async def test_a_table_that_does_not_exist_is_a_mistake_with_a_hint(tables: Tables) -> None:
    with pytest.raises(ValueError, match="did you mean 'orders'"):
        await tables.rows("order")


def stored(history: Sequence[Record]) -> list[StoredRecord]:
    return place(list(history), 5)


@each_maker
@given(history=histories(), data=st.data())
@settings(max_examples=40)
def test_a_beginning_and_then_the_rest_make_the_same_tables_as_all_at_once(make: Maker, history: list[Record], data: st.DataObject) -> None:
    places = stored(history)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(places)), max_size=3)))

    async def check(folder: Path) -> None:
        whole, parts = await make(folder), MemoryProjection()
        await whole.apply("tables", places)
        for begin, until in zip([0, *cuts], [*cuts, len(places)], strict=True):
            await parts.apply("tables", places[max(begin - 1, 0) : until])
        assert await all_rows(whole) == await all_rows(parts)
        assert await whole.position("tables") == await parts.position("tables")
        await end(whole)

    with TemporaryDirectory() as folder:
        asyncio.run(check(Path(folder)))


@each_maker
@given(history=histories(), again=st.integers(0, 12))
@settings(max_examples=40)
def test_the_whole_journal_once_more_changes_nothing(make: Maker, history: list[Record], again: int) -> None:
    async def check(folder: Path) -> None:
        tables = await make(folder)
        await tables.apply("tables", stored(history))
        before = await all_rows(tables)
        await tables.apply("tables", stored(history))
        await tables.apply("from the beginning", stored(history)[:again])
        await tables.apply("from the beginning", stored(history))
        assert await all_rows(tables) == before
        await end(tables)

    with TemporaryDirectory() as folder:
        asyncio.run(check(Path(folder)))


@each_maker
@given(history=histories(max_size=20))
@settings(max_examples=40)
def test_every_store_makes_the_same_tables(make: Maker, history: list[Record]) -> None:
    async def check(folder: Path) -> None:
        memory, other = await make_memory(folder), await make(folder)
        for tables in (memory, other):
            await tables.apply("tables", stored(history))
        found = await all_rows(other)
        assert await all_rows(memory) == found
        assert all(isinstance(value, str | int | None) for rows in found.values() for row in rows for value in row.values())
        await end(other)

    with TemporaryDirectory() as folder:
        asyncio.run(check(Path(folder)))
