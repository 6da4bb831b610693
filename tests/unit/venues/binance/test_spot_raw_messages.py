"""Recovered fills in the shape of Spot's stream, for programs that read the venue's own dicts."""

from __future__ import annotations

import json

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from tests.support.events import filled
from tests.unit.venues.binance.kit import ALICE, RECEIVED, the_only
from tests.unit.venues.binance.spot_kit import SPOT
from userstream.domain.events import Filled
from userstream.venues.binance.spot_decoding import SpotDecoder
from userstream.venues.binance.spot_raw_messages import spot_raw_message_of


@given(
    trade_id=st.integers(0, 10**12).map(str) | st.integers(0, 10**9).map("A:{}".format),
    side=st.sampled_from(["buy", "sell"]),
    price=st.decimals("0.00000001", "900000", places=8),
    quantity=st.decimals("0.00000001", "900000", places=8),
    fee=st.none() | st.decimals("-1", "9", places=8),
    maker=st.booleans(),
)
def test_it_means_the_same_fill_to_a_reader_of_the_stream(**fields: object) -> None:
    told = {name: value if value is None or isinstance(value, bool) else str(value) for name, value in fields.items()}
    fee_asset = None if told["fee"] is None else "BNB"
    fill = filled(**told, fee_asset=fee_asset, order_id="17", position_side=None, realized_pnl=None, account=ALICE, venue=SPOT)
    raw = spot_raw_message_of(fill)
    assert raw.pop("_source") == "recovery"
    decoder = SpotDecoder(ALICE, SPOT)
    again = the_only(Filled, decoder.decode(json.dumps(raw).encode(), RECEIVED))
    assert msgspec.structs.replace(again, received_time=fill.received_time, event_time=fill.event_time) == fill
    assert set(decoder.drift) <= {"word executionReport.o=", "word executionReport.f="}
