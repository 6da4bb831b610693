"""The row of the registry."""

from __future__ import annotations

from tests.unit.venues.binance.kit import ALICE, RECEIVED, order_frame, place
from userstream.kernel.ids import Millis
from userstream.venues.binance import USDM
from userstream.venues.binance.futures import FuturesSession
from userstream.venues.binance.rest import FuturesDialect


def test_the_places_of_the_venue() -> None:
    assert (USDM.real.rest_url, USDM.real.ws_url) == ("https://fapi.binance.com", "wss://fstream.binance.com")
    assert USDM.test is not None
    assert (USDM.test.rest_url, USDM.test.ws_url) == ("https://testnet.binancefuture.com", "wss://fstream.binancefuture.com")
    assert (USDM.weight_limit_per_minute, USDM.used_weight_header) == (2_400, "x-mbx-used-weight-1m")


def test_its_factories_make_its_parts() -> None:
    assert isinstance(USDM.make_session(place(), 1, Millis(0)), FuturesSession)
    assert isinstance(USDM.make_dialect(place()), FuturesDialect)
    [event] = USDM.make_decoder(ALICE).decode(order_frame(), RECEIVED)
    assert (event.account, event.venue) == (ALICE, "binance-usdm")
    assert USDM.raw_message_of is not None
