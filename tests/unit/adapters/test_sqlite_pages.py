"""Pages of history: everything once, in order, whatever the size of a page; and only what was asked for."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.clock import ManualClock
from tests.support.events import A_TIME, filled, margin_called, order_changed
from userstream.adapters.sqlite import SqliteStore, open_reader
from userstream.adapters.sqlite_pages import SqlitePages
from userstream.adapters.sqlite_reader import SqliteReader
from userstream.domain.events import Event
from userstream.kernel.ids import AccountId, Millis
from userstream.ports import Record, Selection

TRADES = 23


async def fill_store(path: Path) -> None:
    events: list[Event] = [
        filled(
            account=("alice", "bob")[number % 2],
            symbol=("BTCUSDT", "ETHUSDT")[number % 3 == 0],
            trade_id=str(number),
            transaction_time=A_TIME + number,
            sequence=number + 1,
        )
        for number in range(TRADES)
    ]
    events.append(margin_called(account="alice", sequence=100))
    async with await SqliteStore.open(path, ManualClock()) as store:
        for event in events:
            store.append(Record(event.account, event.sequence, Millis(A_TIME), 1, b"{}", (event,)))
        await store.flush()
        await store.apply("tables", await store.read(after=0, limit=1_000))


async def read_all(pages: SqlitePages, selection: Selection, table: str = "fills") -> list[dict[str, object]]:
    rows: list[dict[str, object]] = []
    place: int | None = None
    while True:
        fields = {name: getattr(selection, name) for name in ("account", "symbol", "since", "until", "limit")}
        page = await pages.page(table, Selection(**fields, before=place))
        rows += page.rows
        place = page.next_place
        if place is None:
            return rows


def check_order(rows: list[dict[str, object]], chosen: list[int]) -> None:
    """Each chosen trade once; those of an account newest first (of several accounts, one commit may bring the one before the other)."""
    told = [int(str(row["trade_id"])) for row in rows]
    assert sorted(told) == chosen
    for account in ("alice", "bob"):
        own = [int(str(row["trade_id"])) for row in rows if row["account"] == account]
        assert own == sorted(own, reverse=True)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(limit=st.integers(1, TRADES + 2))
async def test_pages_of_any_size_give_everything_once_newest_first(tmp_path: Path, limit: int) -> None:
    path = tmp_path / "a.db"
    if not path.exists():
        await fill_store(path)
    pages = SqlitePages(open_reader(path))
    try:
        rows = await read_all(pages, Selection(limit=limit))
    finally:
        await pages.close()
    check_order(rows, list(range(TRADES)))


@pytest.mark.parametrize(
    ("selection", "chosen"),
    [
        (Selection(account=AccountId("alice")), lambda number: number % 2 == 0),
        (Selection(symbol="ETHUSDT"), lambda number: number % 3 == 0),
        (Selection(since=Millis(A_TIME + 5), until=Millis(A_TIME + 9)), lambda number: 5 <= number < 9),
        (Selection(account=AccountId("bob"), symbol="BTCUSDT"), lambda number: number % 2 == 1 and number % 3),
        (Selection(account=AccountId("x' OR 1=1 --")), lambda number: False),
    ],
)
async def test_only_what_was_asked_for(tmp_path: Path, selection: Selection, chosen: object) -> None:
    assert callable(chosen)
    await fill_store(tmp_path / "a.db")
    pages = SqlitePages(open_reader(tmp_path / "a.db"))
    rows = await read_all(pages, selection)
    check_order(rows, [number for number in range(TRADES) if chosen(number)])
    assert len(await read_all(pages, Selection(), "margin_calls")) == 1
    for table in ("positions", "nothing"):
        with pytest.raises(ValueError, match="table"):
            await pages.page(table, Selection())
    with pytest.raises(ValueError, match="symbol"):
        await pages.page("account_events", Selection(symbol="BTCUSDT"))
    await pages.close()


@pytest.mark.parametrize("table", ["orders", "fills", "movements", "margin_calls"])
@pytest.mark.parametrize(
    ("selection", "index"),
    [
        (Selection(account=AccountId("alice")), "{table}_of_account (account=?)"),
        (Selection(account=AccountId("alice"), before=50), "{table}_of_account (account=? AND rowid<?)"),
        (Selection(account=AccountId("alice"), since=Millis(5)), "{table}_by_time (account=? AND transaction_time>?)"),
        (
            Selection(account=AccountId("alice"), since=Millis(5), until=Millis(9), before=50),
            "{table}_by_time (account=? AND transaction_time>? AND transaction_time<?)",
        ),
    ],
)
async def test_an_account_is_read_by_an_index_and_others_are_not(tmp_path: Path, table: str, selection: Selection, index: str) -> None:
    await fill_store(tmp_path / "a.db")
    reader = SqliteReader(tmp_path / "a.db", threads=1)
    pages, told = SqlitePages(reader), list[str]()
    try:
        await reader.call(lambda connection: connection.set_trace_callback(told.append))
        await pages.page(table, selection)
        [plan] = await reader.call(lambda connection: [connection.execute(f"EXPLAIN QUERY PLAN {told[-1]}").fetchall()])
    finally:
        await pages.close()
    words = [str(step[3]) for step in plan]
    wanted = index.format(table=table)
    if table == "margin_calls":
        # few enough to be sorted: one index for both
        wanted = wanted.replace("_of_account", "_by_time").replace(" AND rowid<?", "")
    assert any(word == f"SEARCH {table} USING INDEX {wanted}" for word in words), words


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(limit=st.integers(1, 6), bursts=st.lists(st.integers(0, 4), max_size=8), late=st.booleans())
async def test_pages_hold_still_while_rows_come_in_and_orders_change(
    tmp_path_factory: pytest.TempPathFactory, limit: int, bursts: list[int], late: bool
) -> None:
    """What was there when the reading began is told once, in order, and nothing that came later is, however old it says it is."""
    path = tmp_path_factory.mktemp("pages") / "a.db"
    async with await SqliteStore.open(path, ManualClock()) as store:
        writer = Orders(store)
        await writer.write(range(12))
        pages = SqlitePages(open_reader(path))
        try:
            told, place = list[str](), None
            for burst in [*bursts, *[0] * 12]:
                page = await pages.page("orders", Selection(account=AccountId("alice"), before=place, limit=limit))
                told += [str(row["order_id"]) for row in page.rows]
                if (place := page.next_place) is None:
                    break
                await writer.write([*range(100 + writer.sequence, 100 + writer.sequence + burst), *range(12)[:burst]], late=late)
        finally:
            await pages.close()
    assert told == [str(number) for number in reversed(range(12))]


class Orders:
    """Writes orders of one account: new ones, or changes of those that are there; late ones say that they are old."""

    def __init__(self, store: SqliteStore) -> None:
        self._store, self.sequence, self._position = store, 0, 0

    async def write(self, numbers: Iterable[int], *, late: bool = False) -> None:
        for number in numbers:
            self.sequence += 1
            time = Millis(A_TIME - self.sequence if late else A_TIME + self.sequence)
            event = order_changed(account="alice", order_id=str(number), sequence=self.sequence, transaction_time=time)
            self._store.append(Record(event.account, event.sequence, Millis(A_TIME), 1, b"{}", (event,)))
        await self._store.flush()
        records = await self._store.read(after=self._position, limit=1_000)
        await self._store.apply("tables", records)
        if records:
            self._position = records[-1].position
