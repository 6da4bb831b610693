"""Recovered fills in the shape of the stream, for programs that read the venue's own dicts."""

from __future__ import annotations

import json

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.venues.binance.kit import FILL, ORDER, decode, encoded, order_frame, the_only
from tests.unit.venues.binance.test_answers import TRADE, reading
from userstream.domain.events import Filled
from userstream.venues.binance.answers import read_row
from userstream.venues.binance.raw_messages import raw_message_of
from userstream.venues.binance.rows import TradeRow

RECOVERED = reading().fill(read_row(TRADE, TradeRow, "GET /x"))


def test_it_has_the_keys_of_the_streams_message_and_its_mark() -> None:
    raw = raw_message_of(RECOVERED)
    assert raw["_source"] == "recovery"
    assert raw.keys() == {"e", "E", "T", "o", "_source"}
    order = raw["o"]
    assert isinstance(order, dict)
    assert order.keys() == ORDER.keys()
    assert [type(order[key]) for key in ORDER] == [type(value) for value in ORDER.values()]
    told = {
        "s": "BTCUSDT",
        "S": "BUY",
        "x": "TRADE",
        "i": 3300012345,
        "t": 5200001,
        "l": "0.02",
        "L": "80999.5",
        "n": "0.323998",
        "N": "USDT",
    }
    assert {key: order[key] for key in told} == told


def test_the_decoder_reads_the_same_fill_from_it() -> None:
    raw = raw_message_of(RECOVERED)
    del raw["_source"]
    again = the_only(Filled, decode(encoded(raw)))
    names = set(Filled.__struct_fields__) - {"source", "as_of", "received_time"}
    assert {name: getattr(again, name) for name in names} == {name: getattr(RECOVERED, name) for name in names}


def test_what_is_unknown_is_left_out_or_nought() -> None:
    lite = the_only(Filled, decode(order_frame("n", "N", "rp", "m", **{key: FILL[key] for key in FILL if key not in ("n", "m")})))
    order = raw_message_of(msgspec.structs.replace(lite, position_side=None))["o"]
    assert isinstance(order, dict)
    assert not {"n", "N"} & order.keys()
    assert (order["rp"], order["ps"], order["m"]) == ("0", "BOTH", False)


@given(quantity=st.decimals(min_value="0.000001", max_value=10**9, places=6))
def test_amounts_are_plain_text(quantity: object) -> None:
    order = raw_message_of(msgspec.structs.replace(RECOVERED, quantity=quantity))["o"]
    assert isinstance(order, dict)
    assert "E" not in str(order["l"]) and json.dumps(order)
