"""What a program says is read; what else it prints harms nothing."""

from __future__ import annotations

from decimal import Decimal

import pytest

from userstream.entry.chaos.sightings import Sightings, state_of


def test_each_kind_of_line_is_kept_where_it_belongs() -> None:
    sightings = Sightings()
    for line in (
        b'{"kind":"ready","at_ms":1}',
        b'{"kind":"fill","at_ms":2,"symbol":"B","trade_id":"7","order_id":"1","price":"1.5","quantity":"2"}\n',
        b'{"kind":"order","at_ms":3,"symbol":"B","order_id":"1","status":"new","filled":"0"}',
        b'{"kind":"order","at_ms":4,"symbol":"B","order_id":"1","status":"closed","filled":"2"}',
        b'{"kind":"position","at_ms":5,"symbol":"B","side":"both","amount":"-2"}',
        b'{"kind":"trouble","at_ms":6,"words":"cut"}',
    ):
        sightings.take(line)
    [fill] = sightings.fills
    assert (fill.key, fill.price, fill.quantity, fill.at_ms) == (("B", "7", "1"), Decimal("1.5"), Decimal(2), 2)
    assert (sightings.is_ready, sightings.troubles, sightings.noise) == (True, ["cut"], 0)
    assert (sightings.orders, sightings.legs) == ({("B", "1"): ("filled", Decimal(2))}, {("B", "both"): Decimal(-2)})
    assert sightings.saw(("B", "7", "1"))
    assert not sightings.saw(("B", "8", "1"))


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"\xff\n",
        b"connecting ...\n",
        b'{"kind":"other","at_ms":1}',
        b"[]",
        b'{"kind":"fill","at_ms":1,"price":"much"}',
        b'{"kind":"ready"}',
    ],
)
def test_what_is_no_sightings_is_counted_and_left(line: bytes) -> None:
    sightings = Sightings()
    sightings.take(line)
    assert (sightings.noise, sightings.fills, sightings.is_ready) == (1, [], False)


def test_clients_have_their_own_words_for_the_same_state() -> None:
    assert {state_of(word) for word in ("new", "partially_filled", "open", "PENDING_NEW")} == {"open"}
    assert {state_of(word) for word in ("filled", "closed")} == {"filled"}
    assert {state_of(word) for word in ("canceled", "expired", "expired_in_match", "rejected")} == {"ended"}
    assert state_of("a new word") == "a new word"
