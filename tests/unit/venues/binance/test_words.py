"""The tables of words: whole, and only with words of the common vocabulary."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from userstream.domain.words import Origin
from userstream.venues.binance.words import (
    ACCOUNT_REASONS,
    ALGO_EXECUTIONS,
    ALGO_STATUSES,
    EXECUTION_TYPES,
    EXPIRY_REASONS,
    FILLING,
    FINISHED,
    INCOME_TYPES,
    LIQUIDATION,
    ORDER_TYPES,
    ORIGINS,
    POST_ONLY,
    STATUS_ORIGINS,
    STATUSES,
    STRATEGY_REASONS,
    TIMES_IN_FORCE,
    TRADE_INCOMES,
    TRAILING,
    origin_of,
)


@pytest.mark.parametrize(
    ("client_order_id", "origin"),
    [
        ("svc7-000123", Origin.OWN),
        ("x-broker1", Origin.OWN),
        ("", Origin.OWN),
        ("autoclose-1790000700000", Origin.LIQUIDATION),
        ("adl_autoclose", Origin.ADL),
        ("adl_autoclose-5", Origin.ADL),
        ("settlement_autoclose-1", Origin.SETTLEMENT),
        ("delivery_autoclose-1", Origin.SETTLEMENT),
        ("web_abc", Origin.EXTERNAL),
        ("ios_abc", Origin.EXTERNAL),
        ("android_abc", Origin.EXTERNAL),
        ("electron_abc", Origin.EXTERNAL),
        ("my-web_abc", Origin.OWN),
        ("autoclose", Origin.OWN),
    ],
)
def test_the_prefix_tells_who_made_an_order(client_order_id: str, origin: Origin) -> None:
    assert origin_of(client_order_id) is origin


@given(st.text(max_size=36))
def test_a_prefix_counts_whatever_follows(rest: str) -> None:
    for prefix, origin in ORIGINS.items():
        assert origin_of(prefix + rest) is origin


def test_no_prefix_hides_another() -> None:
    assert not [(one, other) for one in ORIGINS for other in ORIGINS if one != other and other.startswith(one)]


def test_tables_that_go_together_agree() -> None:
    assert STATUS_ORIGINS.keys() < STATUSES.keys()
    assert ALGO_EXECUTIONS.keys() == {*ALGO_STATUSES, FINISHED}
    assert EXECUTION_TYPES.keys() > FILLING
    assert TIMES_IN_FORCE.keys() > POST_ONLY
    assert INCOME_TYPES.keys() > TRADE_INCOMES
    assert {TRAILING, LIQUIDATION} < ORDER_TYPES.keys()


def test_words_of_ours_are_lower_case_and_never_empty() -> None:
    for table in (ORDER_TYPES, TIMES_IN_FORCE, EXECUTION_TYPES, ACCOUNT_REASONS, INCOME_TYPES, ALGO_EXECUTIONS):
        assert all(ours == theirs.lower() and ours for theirs, ours in table.items())
    assert all(EXPIRY_REASONS.values())
    assert sorted(STRATEGY_REASONS) == list(range(8001, 8016))
