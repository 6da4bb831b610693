from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

import msgspec
import pytest

from tests.support.events import BUILDERS, balance_set, filled, order_changed
from userstream.domain.events import Event, Frame, public_form, stamp

COMMON = {"kind", "account", "venue", "event_time", "received_time", "sequence", "source"}


@pytest.mark.parametrize("build", BUILDERS)
def test_every_event_is_written_and_read_back_the_same(build: Callable[..., Event]) -> None:
    event = build()
    for written, read in (
        (msgspec.json.encode(event), msgspec.json.decode),
        (msgspec.msgpack.encode(event), msgspec.msgpack.decode),
    ):
        assert read(written, type=Event) == event


@pytest.mark.parametrize("build", BUILDERS)
def test_an_event_is_a_fact_that_nobody_changes(build: Callable[..., Event]) -> None:
    with pytest.raises(AttributeError):
        build().sequence = 5  # type: ignore[misc]


@pytest.mark.parametrize("build", BUILDERS)
def test_the_public_form_has_every_field_and_its_kind(build: Callable[..., Event]) -> None:
    form = public_form(build())
    assert next(iter(form)) == "kind"
    assert set(form) >= COMMON
    assert "as_of" not in form
    assert msgspec.json.decode(msgspec.json.encode(form))["kind"] == form["kind"]


def test_the_kinds_are_the_public_words() -> None:
    assert {str(public_form(build())["kind"]) for build in BUILDERS} >= {
        "order_changed",
        "filled",
        "fill_completed",
        "balance_set",
        "balance_moved",
        "position_set",
        "margin_called",
        "account_config_changed",
        "gap_opened",
        "gap_repaired",
        "snapshot_taken",
        "mismatch",
        "unrecognized",
    }


def test_what_the_venue_did_not_say_is_shown_as_unknown_not_as_zero() -> None:
    assert public_form(filled(fee=None))["fee"] is None
    assert public_form(order_changed())["stop_price"] is None


def test_amounts_stay_exact_when_written() -> None:
    exact = Decimal("0.123456789012345678")
    assert msgspec.json.decode(msgspec.json.encode(balance_set(total=str(exact))), type=Event).total == exact


def test_a_stamped_event_has_its_place_and_its_bytes() -> None:
    event = filled()
    assert event.raw() is None
    stamp(event, 7, Frame.of(b'{"e":"ORDER_TRADE_UPDATE"}'))
    assert (event.sequence, event.raw()) == (7, b'{"e":"ORDER_TRADE_UPDATE"}')
    assert b"ORDER_TRADE_UPDATE" not in msgspec.json.encode(event)
    assert "frame" not in public_form(event)
    assert event == filled(sequence=7, frame=Frame.of(b"other bytes"))


def test_a_fact_of_our_own_making_has_no_bytes() -> None:
    event = filled()
    stamp(event, 7, None)
    assert event.raw() is None
