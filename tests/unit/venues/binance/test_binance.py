"""The rows of the registry."""

from __future__ import annotations

import pytest

from tests.unit.venues.binance.kit import ALICE, COINM, RECEIVED, order_frame, place
from userstream.kernel.ids import Millis, VenueName
from userstream.venues import binance
from userstream.venues.binance.futures import FuturesSession
from userstream.venues.binance.rest import FuturesDialect
from userstream.wire.session import Call
from userstream.wire.venue import VenueSpec

ROWS = pytest.mark.parametrize("spec", [binance.USDM, binance.COINM], ids=lambda spec: str(spec.name))


@pytest.mark.parametrize(
    ("spec", "real", "test"),
    [
        (
            binance.USDM,
            ("https://fapi.binance.com", "wss://fstream.binance.com", "wss://ws-fapi.binance.com/ws-fapi/v1"),
            ("https://testnet.binancefuture.com", "wss://fstream.binancefuture.com", "wss://testnet.binancefuture.com/ws-fapi/v1"),
        ),
        (
            binance.COINM,
            ("https://dapi.binance.com", "wss://dstream.binance.com", "wss://ws-dapi.binance.com/ws-dapi/v1"),
            ("https://testnet.binancefuture.com", "wss://dstream.binancefuture.com", "wss://testnet.binancefuture.com/ws-dapi/v1"),
        ),
    ],
)
def test_the_places_of_each_product(spec: VenueSpec, real: tuple[str, str, str], test: tuple[str, str, str]) -> None:
    assert (spec.real.rest_url, spec.real.ws_url, spec.real.ws_api_url) == real
    assert spec.test is not None
    assert (spec.test.rest_url, spec.test.ws_url, spec.test.ws_api_url) == test


def test_both_products_share_one_budget() -> None:
    assert binance.USDM.budget == binance.COINM.budget != ""
    for spec in (binance.USDM, binance.COINM):
        assert (spec.weight_limit_per_minute, spec.used_weight_header) == (2_400, "x-mbx-used-weight-1m")


@ROWS
def test_their_factories_make_their_parts(spec: VenueSpec) -> None:
    prefix = {"binance-usdm": "/fapi/", COINM: "/dapi/"}[spec.name]
    session = spec.make_session(place(venue=spec.name), 1, Millis(0))
    assert isinstance(session, FuturesSession)
    [call] = session.open(Millis(0))
    assert isinstance(call, Call) and call.request.target.reveal() == f"{prefix}v1/listenKey"
    assert isinstance(spec.make_dialect(place(venue=spec.name)), FuturesDialect)
    [event] = spec.make_decoder(ALICE).decode(order_frame(), RECEIVED)
    assert (event.account, event.venue) == (ALICE, VenueName(spec.name))
    assert spec.raw_message_of is not None
