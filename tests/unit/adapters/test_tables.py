"""Events as rows."""

from __future__ import annotations

from decimal import Decimal
from typing import get_args

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.events import BUILDERS, balance_set, filled, order_changed, position_set
from tests.support.records import some_event
from userstream.adapters.sql import load_migrations, load_queries, split_script
from userstream.adapters.tables import TABLES, encode_event, find_table, row_of, sort_into_tables
from userstream.domain.events import Event, stamp
from userstream.kernel.amount import plain_amount


def test_every_kind_of_event_has_a_home() -> None:
    homes = sort_into_tables(build() for build in BUILDERS)
    assert sum(len(events) for events in homes.values()) == len(get_args(Event)) == len(BUILDERS)
    assert set(homes) < set(TABLES)


@given(some_event("alice"))
def test_rows_hold_text_and_whole_numbers_only_in_the_order_of_the_columns(event: Event) -> None:
    [(table, [kept])] = sort_into_tables([event]).items()
    row = dict(zip(TABLES[table].columns, row_of(table, kept), strict=True))
    assert {type(value) for value in row.values()} <= {str, int, type(None)}
    for column, value in row.items():
        original = getattr(event, column, None)
        if isinstance(original, Decimal):
            assert "E" not in str(value)
            assert Decimal(str(value)) == original
            assert Decimal(str(value)).as_tuple().exponent == original.as_tuple().exponent
        elif original is not None:
            assert value == original


@given(some_event("alice"))
def test_the_json_of_an_event_reads_back_as_the_event(event: Event) -> None:
    assert msgspec.json.decode(encode_event(event), type=Event) == event


@given(st.decimals(allow_nan=False, allow_infinity=False, places=12) | st.decimals(allow_nan=False, allow_infinity=False))
def test_amounts_keep_their_value_and_lose_their_exponent(amount: Decimal) -> None:
    text = plain_amount(amount)
    assert "E" not in text
    assert Decimal(text) == amount


@pytest.mark.parametrize(
    ("text", "plain"), [("0.00000000", "0.00000000"), ("0.000000010", "0.000000010"), ("1.50", "1.50"), ("1E+3", "1000")]
)
def test_amounts_are_written_as_they_came(text: str, plain: str) -> None:
    assert plain_amount(Decimal(text)) == plain


def test_of_a_batch_only_the_newest_of_each_register_is_written_and_every_fill() -> None:
    events: list[Event] = []
    for sequence in range(1, 4):
        events += [order_changed(), position_set(), balance_set(), filled(trade_id=str(sequence))]
    for sequence, event in enumerate(events, 1):
        stamp(event, sequence, None)
    kept = {table: [event.sequence for event in batch] for table, batch in sort_into_tables(events).items()}
    assert kept == {"fills": [4, 8, 12], "orders": [9], "positions": [10], "balances": [11]}


def test_an_older_event_later_in_the_batch_does_not_win() -> None:
    newer, older = order_changed(status="filled"), order_changed(status="new")
    stamp(newer, 8, None)
    stamp(older, 7, None)
    assert sort_into_tables([newer, older])["orders"] == [newer]


def test_an_unknown_table_is_answered_with_the_nearest() -> None:
    with pytest.raises(ValueError, match=r"no table 'fill'; did you mean 'fills'"):
        find_table("fill")


@pytest.mark.parametrize("table", ["orders", "fills", "positions", "balances", "movements", "margin_calls", "account_events"])
def test_the_queries_name_the_columns_in_the_order_of_the_rows(table: str) -> None:
    query = load_queries("projection.sql")[f"add_{table}"]
    named = query[query.index("(") + 1 : query.index(")")].replace(",", " ").split()
    assert tuple(named) == TABLES[table].columns


def test_scripts_are_cut_into_statements() -> None:
    assert list(split_script("-- a; comment\nCREATE TABLE a (x);\n\nCREATE TABLE b (y DEFAULT ';');\n-- end\n")) == [
        "-- a; comment\nCREATE TABLE a (x);",
        "CREATE TABLE b (y DEFAULT ';');",
    ]
    with pytest.raises(ValueError, match="no end"):
        list(split_script("CREATE TABLE a (x)"))
    assert len(load_migrations()) >= 1
