"""Batches for PostgreSQL: every column has its place, a fill comes once, months are those of the calendar."""

from __future__ import annotations

import inspect
import re
from datetime import UTC, datetime

import asyncpg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.events import filled, order_changed, stream_changed
from tests.support.postgres import MADE
from tests.support.records import place, record
from userstream.adapters.postgres_migrations import load_steps
from userstream.adapters.postgres_tables import (
    LAST_TIME_MS,
    NOT_HERE,
    QUERIES,
    SAME_FILL_MS,
    clean_batch,
    joined_statement,
    listing_query,
    merge_fills,
    month_of,
    months_ahead,
    prepare_batch,
    split_records,
)
from userstream.adapters.tables import FILL_BLANKS, TABLES, Value

FILLED = [name for name in MADE if name != "coverage"]
FILL = TABLES["fills"].columns


@pytest.mark.parametrize("table", FILLED)
def test_a_statement_names_every_column_in_the_order_of_the_table(table: str) -> None:
    query = QUERIES[f"add_{table}"]
    columns = list(TABLES[table].columns)
    inserted, told = re.search(r"INSERT INTO \S+ AS known \(([^)]*)\)", query), re.search(r"AS told \(([^)]*)\)", query)
    assert inserted is not None and told is not None
    assert re.findall(r"\w+", inserted[1]) == [*columns, "journal"]
    assert re.findall(r"\w+", told[1]) == [*columns, "place"]
    assert re.findall(r"\$(\d+)::(\S+)\[\]", query) == [("1", f"userstream.told_{table}")]
    [script] = [step.script for step in load_steps() if f"CREATE TYPE userstream.told_{table} AS" in step.script]
    made = re.search(rf"CREATE TYPE userstream\.told_{table} AS \(([^;]*)\);", script)
    assert made is not None and re.findall(r"^    (\w+) (?:text|int|bigint)\b", made[1], re.M) == columns


@pytest.mark.parametrize("table", FILLED)
def test_what_can_be_replaced_is_replaced_whole(table: str) -> None:
    query = QUERIES[f"add_{table}"]
    changed = set(re.findall(r"(\w+) = (?:excluded\.|coalesce\(known\.)\1\b", query))
    if table in ("orders", "positions", "balances"):
        assert changed == {*TABLES[table].columns, "journal"} - set(TABLES[table].key)
    else:
        assert changed == (set(FILL_BLANKS) if table == "fills" else set())


def test_every_table_can_be_listed() -> None:
    assert set(TABLES) - NOT_HERE == {*MADE, "cursors"}
    assert listing_query("fills", one=True).endswith("WHERE account = $1 ORDER BY account, arrival DESC LIMIT $2")
    assert listing_query("cursors", one=True).endswith("WHERE journal = $1 ORDER BY reader LIMIT $2")
    assert " WHERE" not in listing_query("coverage", one=False)


def fill_row(**told: Value) -> tuple[Value, ...]:
    return tuple(told.get(name, {"account": "a", "trade_id": "1"}.get(name)) for name in FILL)


@given(fees=st.lists(st.none() | st.sampled_from(["1", "2"]), min_size=1, max_size=6))
def test_a_fill_told_often_is_one_row_with_the_first_known_value(fees: list[str | None]) -> None:
    [row] = merge_fills([fill_row(fee=fee, transaction_time=number) for number, fee in enumerate(fees)])
    told = dict(zip(FILL, row, strict=True))
    assert told["fee"] == next((fee for fee in fees if fee is not None), None)
    assert told["transaction_time"] == 0


def test_the_seven_days_of_the_statement_are_those_of_a_batch() -> None:
    assert QUERIES["add_fills"].count(str(SAME_FILL_MS)) == 2
    rows = [fill_row(transaction_time=time) for time in (0, SAME_FILL_MS, SAME_FILL_MS + 1)]
    assert merge_fills(rows) == [rows[0], rows[2]]


def test_other_fills_stay_other_rows() -> None:
    rows = [fill_row(trade_id=name, symbol=symbol) for name in "12" for symbol in ("X", "Y")]
    assert merge_fills(rows) == rows


@given(time=st.integers(0, LAST_TIME_MS - 1))
def test_a_month_begins_on_its_first_day_and_the_next_one_is_the_next(time: int) -> None:
    began, following = months_ahead(time)
    first, then = (datetime.fromtimestamp(told // 1000, UTC) for told in (began, following))
    assert (first.day, first.hour, first.minute, first.second) == (1, 0, 0, 0)
    assert began <= time < following
    assert (then.year * 12 + then.month) - (first.year * 12 + first.month) == 1


@pytest.mark.parametrize(("time", "month"), [(-5, 0), (0, 0), (1_760_000_000_000, 1_759_276_800_000), (10**18, LAST_TIME_MS)])
def test_times_that_no_exchange_has_lived_in_have_a_month_too(time: int, month: int) -> None:
    assert month_of(time) == month


def test_a_batch_is_rows_months_and_a_place_to_stand() -> None:
    october = 1_760_000_000_000
    records = place([record(order_changed()), record(filled(transaction_time=october), stream_changed(event_time=0), sequence=2)], 7)
    batch = prepare_batch("tables", 6, records)
    assert (batch.base, batch.reached, set(batch.rows)) == (6, 8, {"orders", "fills", "account_events"})
    assert batch.times == {0, 1_759_276_800_000}
    assert [len(batch.rows[name][0]) for name in ("orders", "fills")] == [len(TABLES[name].columns) for name in ("orders", "fills")]
    assert list(batch.coverage) == ["alice"]


@given(counts=st.lists(st.integers(0, 4), max_size=20), most=st.integers(1, 6))
def test_parts_hold_all_records_in_order_and_few_events(counts: list[int], most: int) -> None:
    records = place([record(*(filled() for _ in range(count)), sequence=1 + 5 * number) for number, count in enumerate(counts)])
    parts = list(split_records(records, most))
    assert [stored for part in parts for stored in part] == records
    assert all(part for part in parts)
    assert all(sum(len(stored.record.events) for stored in part[:-1]) < most for part in parts)


def test_what_the_database_cannot_hold_is_replaced_in_every_column() -> None:
    batch = prepare_batch("tables", 0, place([record(order_changed(client_order_id="a\0b\ud800", created_time=2**70, price="1.50"))]))
    cleaned = dict(zip(TABLES["orders"].columns, clean_batch(batch).rows["orders"][0], strict=True))
    assert (cleaned["client_order_id"], cleaned["created_time"], cleaned["price"]) == ("a\ufffdb?", 2**63 - 1, "1.50")


@pytest.mark.parametrize("tables", [(), ("fills",), ("balances", "movements", "orders"), tuple(FILLED)])
def test_one_statement_for_several_tables_numbers_every_column_once(tables: tuple[str, ...]) -> None:
    statement = joined_statement(tables)
    first = 7 if "fills" in tables else 5
    numbers = [int(number) for number in re.findall(r"\$(\d+)::userstream", statement)]
    assert numbers == list(range(first, first + len(tables)))
    assert {int(number) for number in re.findall(r"\$(\d+)", statement)} == {*range(1, first), *numbers}
    assert statement.count("AS (\n") >= len(tables) + 1
    assert statement.endswith("SELECT 1 / count(*) FROM moved")
    assert ";" not in re.sub("--.*", "", statement)


@pytest.mark.parametrize("tables", [(), ("fills",), ("balances", "movements", "orders"), tuple(FILLED)])
def test_the_certificates_come_after_all_tables_and_their_marks_are_counted(tables: tuple[str, ...]) -> None:
    plain, statement = joined_statement(tables), joined_statement(tables, with_coverage=True)
    last = max(int(number) for number in re.findall(r"\$(\d+)", plain))
    rows = [int(number) for number in re.findall(r"\$(\d+)::userstream", statement)]
    assert rows == [int(number) for number in re.findall(r"\$(\d+)::userstream", plain)]
    assert {int(number) for number in re.findall(r"\$(\d+)", statement)} == set(range(1, last + 11))
    assert statement.endswith(f"SELECT 1 / count(*) FROM moved {QUERIES['count_marks'].replace('$8', f'${last + 7}')}")


def test_the_longest_statement_stays_prepared() -> None:
    """Longer ones are planned anew each time."""
    limit = inspect.signature(asyncpg.connect).parameters["max_cacheable_statement_size"].default
    assert len(joined_statement(tuple(sorted(FILLED)), with_coverage=True).encode()) < limit
