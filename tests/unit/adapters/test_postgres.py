"""PostgreSQL as a store of tables, beyond what every projection promises: journals side by side, months, rights, time limits."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any, Final, cast

import asyncpg
import pytest

from tests.support.clock import ManualClock
from tests.support.events import (
    balance_moved,
    balance_set,
    fill_completed,
    filled,
    gap_opened,
    gap_repaired,
    order_changed,
    snapshot_taken,
    stream_changed,
)
from tests.support.postgres import address_of, borrow_database, drop_database, execute, give_back, make_database, make_migrated
from tests.support.records import place, record
from userstream.adapters.postgres import PostgresProjection, PostgresSettings
from userstream.adapters.postgres_address import SERVER_SETTINGS, Connection
from userstream.adapters.postgres_tables import joined_statement, prepare_batch, write_batch
from userstream.domain.coverage import Coverage, fold_coverage
from userstream.domain.events import Event
from userstream.kernel.errors import StoreError

pytestmark = pytest.mark.postgres

DAY_MS: Final = 24 * 3600 * 1000


def ms(year: int, month: int, day: int = 1) -> int:
    return int(datetime(year, month, day, tzinfo=UTC).timestamp()) * 1000


@pytest.fixture
async def url() -> AsyncIterator[str]:
    borrowed = await borrow_database()
    yield borrowed
    await give_back(borrowed)


@pytest.fixture
async def tables(url: str) -> AsyncIterator[PostgresProjection]:
    async with PostgresProjection(address_of(url), ManualClock(), journal="one") as made:
        yield made


async def tell(tables: PostgresProjection, *events: Event, first: int = 1) -> None:
    records = [record(event, account=event.account, sequence=number) for number, event in enumerate(events, first)]
    await tables.apply("tables", place(records, first))


async def ask(url: str, query: str) -> list[object]:
    connection = await asyncpg.connect(url)
    try:
        return [row[0] for row in await connection.fetch(query)]
    finally:
        await connection.close()


# --- what a turn costs


async def test_hundreds_of_accounts_that_begin_or_lose_their_feeds_together_cost_few_statements(url: str) -> None:
    asked: list[str] = []

    def listen(connection: asyncpg.Connection[asyncpg.Record]) -> None:
        connection.add_query_logger(lambda query: asked.append(query.query))

    names = [f"account-{number:03}" for number in range(60)]
    async with PostgresProjection(address_of(url), ManualClock(), journal="one", on_connection=listen) as tables:
        await tell(tables, *(snapshot_taken(account=name) for name in names))
        asked.clear()
        await tell(tables, *(gap_opened(account=name, since=1_500 + place) for place, name in enumerate(names)), first=61)
        assert len(asked) == 2, asked
        spans = await tables.rows("coverage")
    for place_of, name in enumerate(names):
        history: list[Event] = [snapshot_taken(account=name, sequence=1), gap_opened(account=name, since=1_500 + place_of, sequence=2)]
        expected = fold_coverage(Coverage(), history)
        told = [(row["since"], row["until"], row["state"]) for row in reversed(spans) if row["account"] == name]
        assert told == [(span.since, span.until, str(span.state)) for span in expected.spans]


async def test_spans_that_stay_as_they_are_are_not_written_again(url: str, tables: PostgresProjection) -> None:
    await tell(tables, gap_opened(since=1_000), gap_repaired(since=1_000, until=2_000), snapshot_taken(), gap_opened(since=9_000))
    before = await ask(url, "SELECT concat(since, ' ', until, ' ', xmin) FROM userstream.coverage ORDER BY since")
    await tell(tables, gap_opened(since=12_000), first=5)
    after = await ask(url, "SELECT concat(since, ' ', until, ' ', xmin) FROM userstream.coverage ORDER BY since")
    assert before != [] and set(before[:-1]) <= set(after)


async def test_a_turn_of_some_hundred_events_waits_for_no_thread(url: str, tables: PostgresProjection) -> None:
    asked = CountingThreads()
    asyncio.get_running_loop().set_default_executor(asked)
    await tables.position("tables")
    await tell(tables, *(filled(trade_id=str(number)) for number in range(150)))
    assert asked.works == 0
    await tell(tables, *(filled(trade_id=str(number)) for number in range(150, 450)), first=151)
    assert asked.works == 1 and len(await tables.rows("fills")) == 450


async def test_a_fill_is_looked_for_in_the_months_where_it_can_be_and_in_no_other() -> None:
    url = await make_migrated()
    connection = await asyncpg.connect(url, server_settings=dict(SERVER_SETTINGS))
    try:
        months = ", ".join(str(ms(year, month)) for year in (2024, 2025) for month in range(1, 13))
        await connection.execute(f"SELECT userstream.make_partitions(ARRAY[{months}])")
        await connection.execute(f"PREPARE turn AS {joined_statement(('fills',))}")
        words = f"EXPLAIN EXECUTE turn('one', 'tables', 0, 1, {ms(2025, 5, 3)}, {ms(2025, 5, 20)}, '{{}}')"
        plan = "\n".join(row[0] for row in await connection.fetch(words))
    finally:
        await connection.close()
        await drop_database(url)
    assert set(re.findall(r"on fills_(\w+)", plan)) == {"2025_05"}, plan


async def test_a_fill_completed_over_the_end_of_a_month_is_one_row(tables: PostgresProjection) -> None:
    end = ms(2025, 5, 1)
    await tell(tables, filled(transaction_time=end - 5, fee=None, fee_asset=None))
    await tell(tables, filled(transaction_time=end + 5, fee="0.5", fee_asset="BNB"), first=2)
    await tell(tables, filled(transaction_time=end + 7 * DAY_MS, fee="0.7"), first=3)
    rows = await tables.rows("fills")
    assert sorted((row["transaction_time"], row["fee"]) for row in rows) == [(end - 5, "0.5"), (end + 7 * DAY_MS, "0.7")]


class CountingThreads(ThreadPoolExecutor):
    """Counts what the event loop gives away."""

    def __init__(self) -> None:
        super().__init__(1)
        self.works = 0

    def submit(self, *arguments: Any, **named: Any) -> Any:
        self.works += 1
        return super().submit(*arguments, **named)


# --- several journals


async def test_a_new_journal_begins_at_its_own_beginning_and_its_news_win(url: str, tables: PostgresProjection) -> None:
    await tell(tables, *(balance_set(total=str(number), received_time=1_000) for number in range(1, 8)))
    async with PostgresProjection(address_of(url), ManualClock(), journal="two") as other:
        assert await other.position("tables") == 0
        await tell(other, balance_set(total="99", received_time=2_000))
        assert [row["total"] for row in await other.rows("balances")] == ["99"]
        assert (await other.position("tables"), await tables.position("tables")) == (1, 7)
        await tell(tables, balance_set(total="8", received_time=1_500), first=8)
        assert [row["total"] for row in await tables.rows("balances")] == ["99"]


async def test_events_of_two_journals_with_one_number_are_two_events(url: str, tables: PostgresProjection) -> None:
    async with PostgresProjection(address_of(url), ManualClock(), journal="two") as other:
        for one in (tables, other):
            await tell(one, stream_changed(), balance_moved(), balance_moved(movement_id="7"), filled())
    counts = [len(await tables.rows(name)) for name in ("account_events", "movements", "fills")]
    assert counts == [2, 3, 1]


async def test_two_writers_for_one_journal_do_not_overtake_each_other(url: str, tables: PostgresProjection) -> None:
    await tell(tables, filled(trade_id="1"))
    async with PostgresProjection(address_of(url), ManualClock(), journal="one") as other:
        await tell(other, filled(trade_id="2"), first=2)
        with pytest.raises(StoreError, match="has been moved by somebody else"):
            await tell(tables, filled(trade_id="2"), first=2)
        await tell(tables, filled(trade_id="2"), filled(trade_id="3"), first=2)
    assert [row["trade_id"] for row in await tables.rows("fills")] == ["3", "2", "1"]


class Interrupted:
    """A connection; after it has read, somebody else's turn comes."""

    def __init__(self, connection: Connection, turn: Callable[[], Awaitable[None]]) -> None:
        self.execute, self._fetch, self._turn = connection.execute, connection.fetch, turn

    async def fetch(self, query: str, *values: object) -> list[asyncpg.Record]:
        found = await self._fetch(query, *values)
        await self._turn()
        return found


async def write_while(url: str, turn: Callable[[], Awaitable[None]], base: int, *events: Event) -> None:
    """The events as a batch of the journal "one", while somebody else takes a turn between its reading and its writing."""
    records = place([record(event, account=event.account, sequence=number) for number, event in enumerate(events, base + 1)], base + 1)
    connection = await asyncpg.connect(url, server_settings=dict(SERVER_SETTINGS))
    try:
        await write_batch(cast("Connection", Interrupted(connection, turn)), "one", prepare_batch("tables", base, records))
    finally:
        await connection.close()


@pytest.mark.parametrize("known_before", [True, False], ids=["known before", "new to both"])
async def test_a_certificate_that_another_journal_moves_meanwhile_undoes_the_turn(
    url: str, tables: PostgresProjection, known_before: bool
) -> None:
    before: list[Event] = [gap_opened(since=1_000)] if known_before else [filled()]
    await tell(tables, *before)
    async with PostgresProjection(address_of(url), ManualClock(), journal="two") as other:

        async def repair() -> None:
            await tell(other, gap_opened(since=1_500), gap_repaired(since=1_000, until=2_000))

        with pytest.raises((StoreError, asyncpg.UniqueViolationError), match=r"certificate of an account|coverage_pkey"):
            await write_while(url, repair, 1, balance_set(), gap_opened(since=1_500))
    assert await tables.rows("balances") == [] and await tables.position("tables") == 1
    await tell(tables, balance_set(), gap_opened(since=3_000), first=2)
    spans = [(row["since"], row["until"], row["state"]) for row in await tables.rows("coverage")]
    assert spans[0] == (3_000, None, "KNOWN_GAP") and [state for *_, state in spans].count("REPAIRED") == 1


async def test_a_turn_of_another_journal_that_leaves_the_certificate_alone_undoes_nothing(url: str, tables: PostgresProjection) -> None:
    await tell(tables, gap_opened(since=1_000))
    async with PostgresProjection(address_of(url), ManualClock(), journal="two") as other:

        async def fill() -> None:
            await tell(other, filled())

        await write_while(url, fill, 1, gap_repaired(since=1_000, until=2_000))
    assert await tables.position("tables") == 2
    assert [(row["until"], row["state"]) for row in await tables.rows("coverage")][-1] == (2_000, "REPAIRED")


# --- months


async def test_rows_of_any_month_find_a_place_and_the_next_month_is_ready(url: str, tables: PostgresProjection) -> None:
    times = [0, ms(2024, 1, 31) + DAY_MS - 1, ms(2024, 2), ms(2024, 12, 31), ms(2031, 5), -1, ms(2100, 1), 2**62]
    await tell(tables, *(filled(trade_id=str(place), transaction_time=time) for place, time in enumerate(times)))
    assert sorted(int(str(row["transaction_time"])) for row in await tables.rows("fills")) == sorted(times)
    parts = set(await ask(url, "SELECT relid::text FROM pg_partition_tree('userstream.fills') WHERE isleaf"))
    wanted = ["1970_01", "2024_01", "2024_02", "2024_12", "2025_01", "2031_05", "2031_06"]
    assert {f"userstream.fills_{name}" for name in [*wanted, "before", "beyond"]} <= parts
    assert await ask(url, "SELECT count(*) FROM userstream.fills_2024_02") == [1]


async def test_what_grows_is_analyzed_lightly_each_new_month_too(url: str, tables: PostgresProjection) -> None:
    """As PostgreSQL has it by itself, each look at a young table takes half a second of a core, once a minute."""
    await tell(tables, filled(transaction_time=ms(2031, 5)))
    query = "SELECT DISTINCT coalesce(attstattarget, -1) FROM pg_attribute WHERE attnum > 0 AND attrelid = 'userstream.{}'::regclass"
    for table in ("orders", "movements", "fills", "fills_2031_05", "fills_beyond", "account_events", "account_events_2031_06"):
        assert await ask(url, query.format(table)) == [10], table


async def test_a_month_that_was_taken_away_is_made_again(url: str, tables: PostgresProjection) -> None:
    await tell(tables, filled(transaction_time=ms(2023, 3)))
    await execute(url, "DROP TABLE userstream.fills_2023_03")
    with pytest.raises(StoreError, match="no partition of relation"):
        await tell(tables, filled(transaction_time=ms(2023, 3)), first=2)
    await tell(tables, filled(transaction_time=ms(2023, 3)), first=2)
    assert len(await tables.rows("fills")) == 1


@pytest.mark.parametrize("delta", [-7 * DAY_MS, -1, 0, 1, 7 * DAY_MS])
async def test_a_fill_told_again_with_another_time_is_the_same_fill(tables: PostgresProjection, delta: int) -> None:
    first = ms(2024, 6)
    await tell(tables, filled(fee=None, transaction_time=first))
    await tell(tables, fill_completed(fee="1.5", transaction_time=first + delta), first=2)
    [row] = await tables.rows("fills")
    assert (row["fee"], row["transaction_time"]) == ("1.5", first)


async def test_a_trade_id_that_an_exchange_gives_out_anew_is_another_fill(tables: PostgresProjection) -> None:
    await tell(tables, filled(transaction_time=ms(2024, 6)), filled(transaction_time=ms(2025, 6)))
    await tell(tables, filled(transaction_time=ms(2025, 6) + 1), filled(transaction_time=ms(2026, 6)), first=3)
    assert len(await tables.rows("fills")) == 3


# --- values


async def test_a_text_that_the_database_cannot_hold_stops_nothing(tables: PostgresProjection) -> None:
    await tell(tables, order_changed(client_order_id="a\0b"), filled())
    [order] = await tables.rows("orders")
    assert order["client_order_id"] == "a\ufffdb"
    assert await tables.position("tables") == 2


async def test_amounts_are_numbers_to_the_database_and_keep_their_digits(url: str, tables: PostgresProjection) -> None:
    await tell(tables, filled(trade_id="1", fee="0.10"), filled(trade_id="2", fee="0.000000000000000000000000000000205"))
    assert await ask(url, "SELECT sum(fee)::text FROM userstream.fills") == ["0.100000000000000000000000000000205"]
    assert [row["fee"] for row in await tables.rows("fills")] == ["0.000000000000000000000000000000205", "0.10"]


# --- rights, forms, limits


async def test_whoever_has_the_writers_role_can_do_all_that_a_writer_does(url: str) -> None:
    role = "userstream_test_bot"
    await execute(url, f"DROP ROLE IF EXISTS {role}", f"CREATE ROLE {role} LOGIN", f"GRANT userstream_writer TO {role}")
    async with PostgresProjection(address_of(url.replace("postgres@", f"{role}@")), ManualClock(), journal="one") as bot:
        await tell(bot, order_changed(), filled(transaction_time=ms(2022, 8)), stream_changed(), balance_set(), balance_moved())
        assert len(await bot.rows("fills")) == 1
    await execute(url, f"DROP ROLE {role}")


async def test_an_empty_database_is_filled_on_the_first_visit_unless_that_is_not_wanted() -> None:
    url = await make_database()
    async with PostgresProjection(address_of(url), ManualClock(), journal="one", settings=PostgresSettings(migrate=False)) as careful:
        with pytest.raises(StoreError, match="holds no tables yet: run userstream db migrate"):
            await careful.position("tables")
    async with PostgresProjection(address_of(url), ManualClock(), journal="one") as tables:
        await tell(tables, filled())
        assert await tables.position("tables") == 1
    await drop_database(url)


async def test_a_database_that_does_not_exist_is_trouble_with_advice(url: str) -> None:
    missing = url.replace("/userstream_test", "/no_such")
    with pytest.raises(StoreError, match="does not exist: create the database first"):
        await PostgresProjection(address_of(missing), ManualClock(), journal="one").position("tables")


async def test_a_turn_that_takes_too_long_is_given_up_and_made_again_once(url: str) -> None:
    clock = ManualClock()
    connections: list[object] = []
    limits = PostgresSettings(limit_ms=1_000)
    tables = PostgresProjection(address_of(url), clock, journal="one", settings=limits, on_connection=connections.append)
    await tell(tables, filled(trade_id="1"))
    holder = await asyncpg.connect(url)
    holding = holder.transaction()
    await holding.start()
    await holder.execute("LOCK TABLE userstream.fills IN ACCESS EXCLUSIVE MODE")
    turn = asyncio.ensure_future(tell(tables, filled(trade_id="2"), first=2))
    await wait_for_waiters(url)
    await clock.advance(1_000)
    with pytest.raises(StoreError, match="PostgreSQL at"):
        await turn
    await holding.rollback()
    await holder.close()
    await tell_until_it_is_there(tables, filled(trade_id="2"), filled(trade_id="3"))
    assert [row["trade_id"] for row in await tables.rows("fills")] == ["3", "2", "1"]
    assert len(connections) >= 2
    await tables.close()


async def test_a_new_connection_that_stands_before_a_lock_is_given_up_after_the_limit_too(url: str) -> None:
    clock = ManualClock(wall=ms(2041, 5))
    tables = PostgresProjection(address_of(url), clock, journal="one", settings=PostgresSettings(limit_ms=1_000))
    holder = await asyncpg.connect(url)
    await holder.execute("SELECT pg_advisory_lock(8463219774521934)")
    asked = asyncio.ensure_future(tables.position("tables"))
    await wait_for_waiters(url)
    await clock.advance(1_000)
    with pytest.raises(StoreError, match="closed in the middle"):
        await asked
    await holder.close()
    # The server goes on with what was given up, perhaps while the next connection makes the same parts.
    for _ in range(100):
        with contextlib.suppress(StoreError):
            assert await tables.position("tables") == 0
            break
    else:
        raise AssertionError("no connection any more")
    await tables.close()


async def test_whoever_is_closed_while_a_connection_opens_keeps_none(url: str) -> None:
    clock = ManualClock(wall=ms(2042, 5))
    opened: list[object] = []
    tables = PostgresProjection(address_of(url), clock, journal="one", on_connection=opened.append)
    holder = await asyncpg.connect(url)
    await holder.execute("SELECT pg_advisory_lock(8463219774521934)")
    asked = asyncio.ensure_future(tables.position("tables"))
    await wait_for_waiters(url)
    await tables.close()
    await holder.close()
    with pytest.raises(StoreError, match="closed by ourselves"):
        await asked
    assert (opened, "not connected" in repr(tables)) == ([], True)


async def tell_until_it_is_there(tables: PostgresProjection, *events: Event) -> None:
    """As a pump does: what was given up may be finished by the server nevertheless, before or after it is told again."""
    for _ in range(100):
        if await tables.position("tables") == 1 + len(events):
            return
        with contextlib.suppress(StoreError):
            await tell(tables, *events, first=2)
    raise AssertionError("never written")


async def wait_for_waiters(url: str) -> None:
    """Until somebody stands before a lock in this database."""
    while await ask(url, "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'") == [0]:
        await asyncio.sleep(0.001)


async def test_a_cancelled_turn_leaves_nothing_half_done(url: str, tables: PostgresProjection) -> None:
    await tell(tables, filled(trade_id="1"))
    holder = await asyncpg.connect(url)
    holding = holder.transaction()
    await holding.start()
    await holder.execute("LOCK TABLE userstream.account_events IN ACCESS EXCLUSIVE MODE")
    turn = asyncio.ensure_future(tell(tables, filled(trade_id="2"), stream_changed(), first=2))
    await wait_for_waiters(url)
    turn.cancel()
    with pytest.raises(asyncio.CancelledError):
        await turn
    await holding.rollback()
    await holder.close()
    await tell_until_it_is_there(tables, filled(trade_id="2"), stream_changed())
    assert [len(await tables.rows(name)) for name in ("fills", "account_events")] == [2, 1]


async def test_what_was_closed_stays_closed(tables: PostgresProjection) -> None:
    await tables.position("tables")
    assert "connected" in repr(tables)
    await tables.close()
    await tables.close()
    with pytest.raises(StoreError, match="closed by ourselves"):
        await tables.position("tables")
