"""What commands print of an event."""

from __future__ import annotations

import json
import re
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.events import balance_set, filled, order_changed, position_set, snapshot_taken
from userstream.domain.events import Event, FilledBefore, public_form
from userstream.entry.cli.forms import plain_form, plain_json
from userstream.kernel.ids import Millis, OrderId, Symbol

amounts = st.builds(lambda digits, exponent: Decimal(digits).scaleb(exponent), st.integers(-(10**25), 10**25), st.integers(-40, 40))


def written(event: Event) -> dict[str, Any]:
    form: dict[str, Any] = json.loads(msgspec.json.encode(plain_form(event)))
    assert json.loads(plain_json(event)) == form
    return form


@given(amounts, amounts)
def test_amounts_are_written_without_exponent_and_equal_in_value(first: Decimal, second: Decimal) -> None:
    form = written(filled(price=first, fee=second, realized_pnl=None))
    assert (Decimal(form["price"]), Decimal(form["fee"]), form["realized_pnl"]) == (first, second, None)
    assert all(re.fullmatch(r"-?\d+(\.\d+)?", form[name]) for name in ("price", "fee"))


@pytest.mark.parametrize("text", ["0.00000000", "-0.00000050", "0.0000001", "61250.10"])
def test_the_digits_that_the_venue_sent_are_kept(text: str) -> None:
    assert written(balance_set(total=text))["total"] == text


def test_amounts_within_a_list_are_written_so_too() -> None:
    before = FilledBefore(Symbol("BTCUSDT"), OrderId("1"), Decimal("0.00000000"), Millis(7))
    [told] = written(snapshot_taken(filled_before=(before,)))["filled_before"]
    assert told == {"symbol": "BTCUSDT", "order_id": "1", "quantity": "0.00000000", "before": 7}


@pytest.mark.parametrize(
    "event", [order_changed(), filled(), balance_set(), position_set(), snapshot_taken()], ids=lambda event: str(type(event).__name__)
)
def test_everything_else_is_as_in_the_public_form(event: Event) -> None:
    assert written(event) == json.loads(msgspec.json.encode(public_form(event)))
