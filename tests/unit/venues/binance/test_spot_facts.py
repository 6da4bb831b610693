"""Spot's messages as facts: which amounts, ids and reasons a report says, and what is no fill."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.venues.binance.kit import ALICE, RECEIVED, encoded
from tests.unit.venues.binance.spot_kit import SPOT, VENUE_TIME
from userstream.domain.events import BalanceLocked, BalanceMoved, Event, Filled, OrderChanged, Unrecognized
from userstream.venues.binance.spot_decoding import SpotDecoder
from userstream.venues.binance.spot_facts import average_price, callback_rate

REPORT: Final[Mapping[str, object]] = {
    "e": "executionReport",
    "E": VENUE_TIME,
    "s": "ETHUSDT",
    "c": "own-1",
    "S": "BUY",
    "o": "LIMIT",
    "f": "GTC",
    "q": "2",
    "p": "2875.10",
    "P": "0",
    "F": "0",
    "g": -1,
    "C": "",
    "x": "NEW",
    "X": "NEW",
    "r": "NONE",
    "i": 17,
    "l": "0",
    "z": "0",
    "L": "0",
    "n": "0",
    "N": None,
    "T": VENUE_TIME,
    "t": -1,
    "I": 8641984001,
    "w": True,
    "m": False,
    "M": True,
    "O": VENUE_TIME,
    "Z": "0",
    "Y": "0",
    "Q": "0",
    "V": "EXPIRE_MAKER",
}
TRADE: Final[Mapping[str, object]] = {
    "x": "TRADE",
    "X": "PARTIALLY_FILLED",
    "l": "0.5",
    "z": "0.5",
    "L": "2875",
    "Z": "1437.5",
    "Y": "1437.5",
    "t": 77001,
    "n": "0.0005",
    "N": "ETH",
}
AMOUNTS: Final = st.decimals("0.00000001", "1000000", places=8)


def told(*changes: Mapping[str, object], **fields: object) -> tuple[Event, ...]:
    message: dict[str, object] = dict(REPORT)
    for change in changes:
        message |= change
    return SpotDecoder(ALICE, SPOT).decode(encoded({"subscriptionId": 0, "event": message | fields}), RECEIVED)


def order(*changes: Mapping[str, object], **fields: object) -> OrderChanged:
    found = [event for event in told(*changes, **fields) if isinstance(event, OrderChanged)]
    assert len(found) == 1
    return found[0]


@given(quantity=AMOUNTS, price=AMOUNTS, fee=AMOUNTS, before=AMOUNTS, trade_id=st.integers(0, 1 << 62))
def test_a_fill_comes_before_the_orders_new_state_and_says_the_same(
    quantity: Decimal, price: Decimal, fee: Decimal, before: Decimal, trade_id: int
) -> None:
    sums = {"z": f"{before + quantity:f}", "Z": f"{(before + quantity) * price:f}"}
    fill, changed = told(TRADE, sums, l=f"{quantity:f}", L=f"{price:f}", n=f"{fee:f}", t=trade_id)
    assert isinstance(fill, Filled) and isinstance(changed, OrderChanged)
    assert (fill.quantity, fill.price, fill.fee, fill.fee_asset) == (quantity, price, fee, "ETH")
    assert (
        (fill.trade_id, fill.order_id, fill.client_order_id) == (str(trade_id), "17", "own-1") == (str(trade_id), changed.order_id, "own-1")
    )
    assert changed.filled_quantity == before + quantity
    assert changed.average_price is not None and abs(changed.average_price - price) < Decimal("0.00000001")


@pytest.mark.parametrize(
    "fields", [{"l": "0"}, {"t": -1}, {"x": "EXPIRED", "X": "EXPIRED"}, {"x": "TRADE_PREVENTION", "X": "EXPIRED_IN_MATCH"}]
)
def test_what_has_no_quantity_or_no_trade_is_no_fill(fields: Mapping[str, object]) -> None:
    assert [type(event) for event in told(TRADE, fields)] == [OrderChanged]


def test_an_allocation_has_an_id_of_its_own_kind() -> None:
    [fill, _] = told(TRADE, t=-1, b="ONE_PARTY_TRADE_REPORT", a=5)
    assert isinstance(fill, Filled) and fill.trade_id.endswith("5") and fill.trade_id != "5"


def test_after_a_cancellation_the_order_keeps_its_own_id_and_after_an_amendment_has_the_new_one() -> None:
    assert order(x="CANCELED", X="CANCELED", c="cancels", C="own-1").client_order_id == "own-1"
    assert order(x="REPLACED", c="own-2", C="own-1").client_order_id == "own-2"


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({}, ""),
        ({"r": "INSUFFICIENT_BALANCES"}, "insufficient balances"),
        ({"r": "-2010"}, "code -2010"),
        ({"eR": "OCO_TRIGGER"}, "oco trigger"),
        ({"eR": "OCO_TRIGGER", "r": "INSUFFICIENT_BALANCES"}, "oco trigger"),
    ],
)
def test_the_reason_of_an_end(fields: Mapping[str, object], reason: str) -> None:
    assert order(fields).reason == reason


@pytest.mark.parametrize(("field", "word"), [("r", "BRAND_NEW"), ("eR", "NEVER_HEARD_OF")])
def test_a_reason_that_nobody_knows_is_kept_as_it_is_and_told(field: str, word: str) -> None:
    changed, news = told({field: word})
    assert isinstance(changed, OrderChanged) and changed.reason == word.lower()
    assert isinstance(news, Unrecognized) and news.name == f"word executionReport.{field}={word}"


def test_a_report_says_what_only_some_orders_have() -> None:
    changed = order(d=250, D=VENUE_TIME, F="0.5", g=2001, v=3, A="0.25", j=1, J=1_000_000)
    assert (changed.callback_rate, changed.activated, changed.iceberg_quantity) == (Decimal("2.5"), True, Decimal("0.5"))
    assert (changed.order_list_id, changed.prevented_match_id, changed.prevented_quantity) == ("2001", "3", Decimal("0.25"))


@given(value=st.decimals("-1", "1000000", places=4), quantity=st.decimals("0", "1000", places=4))
def test_an_average_is_what_was_paid_a_unit(value: Decimal, quantity: Decimal) -> None:
    found = average_price(value, quantity)
    assert (found is None) == (value < 0 or not quantity)
    assert found is None or abs(found * quantity - value) < Decimal("0.0000001")


@given(st.none() | st.integers(1, 10_000))
def test_rates_are_per_cent(delta: int | None) -> None:
    assert callback_rate(delta) == (None if delta is None else Decimal(delta) / 100)


@given(st.decimals("-1000", "1000", places=8), st.integers(1_700_000_000_000, 1_800_000_000_000), st.sampled_from((1, 1_000)))
def test_cash_and_locks_are_told_as_they_come_in_either_unit(delta: Decimal, time: int, unit: int) -> None:
    for name, kind in (("balanceUpdate", BalanceMoved), ("externalLockUpdate", BalanceLocked)):
        event = {"e": name, "E": (time + 1) * unit, "a": "NEO", "d": f"{delta:f}", "T": time * unit}
        [fact] = SpotDecoder(ALICE, SPOT).decode(encoded({"subscriptionId": 0, "event": event}), RECEIVED)
        assert isinstance(fact, BalanceMoved | BalanceLocked) and type(fact) is kind
        assert (fact.asset, fact.delta, fact.transaction_time, fact.event_time) == ("NEO", delta, time, time + 1)
