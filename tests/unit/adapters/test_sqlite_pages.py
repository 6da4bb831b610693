"""Pages of history: everything once, in order, whatever the size of a page; and only what was asked for."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.clock import ManualClock
from tests.support.events import A_TIME, filled, margin_called
from userstream.adapters.sqlite import SqliteStore, open_reader
from userstream.adapters.sqlite_pages import SqlitePages
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
