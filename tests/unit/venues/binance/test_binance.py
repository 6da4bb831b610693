"""The rows of the registry."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final, get_args

import msgspec
import pytest

from tests.unit.venues.binance.kit import ALICE, COINM, RECEIVED, order_frame, place
from userstream.kernel.ids import Millis, VenueName
from userstream.venues import binance
from userstream.venues.binance.coin_messages import CoinMessage
from userstream.venues.binance.futures import FuturesSession
from userstream.venues.binance.margin_risk import RiskMessage
from userstream.venues.binance.messages import AnyMessage
from userstream.venues.binance.rest import FuturesDialect
from userstream.venues.binance.spot_messages import SpotMessage
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


GOLDEN: Final = Path(__file__).resolve().parents[3] / "golden"
MARGIN_HAS_NOT: Final = frozenset({"externalLockUpdate"})
"""Margin's trade events are those of Spot without this one (Binance margin, 4.4)."""


def names_of(*kinds: type[msgspec.Struct]) -> set[str]:
    return {str(kind.__struct_config__.tag) for kind in kinds}


def recorded_names(folder: str) -> set[str]:
    """The names of the messages that are recorded for a product, wrapped or not."""
    names: set[str] = set()
    for path in (GOLDEN / folder).glob("*.json"):
        for case in json.loads(path.read_text(encoding="utf-8"))["cases"]:
            frame: Any = case["frame"]
            message = frame.get("event") or frame.get("data") or frame if isinstance(frame, dict) else None
            if isinstance(message, dict) and isinstance(message.get("e"), str) and case["events"]:
                names.add(message["e"])
    return names


@pytest.mark.parametrize(
    ("folder", "names"),
    [
        ("binance_usdm", names_of(*get_args(AnyMessage))),
        ("binance_coinm", names_of(*get_args(CoinMessage))),
        ("binance_spot", names_of(*get_args(SpotMessage))),
        ("binance_margin", names_of(*get_args(SpotMessage)) - MARGIN_HAS_NOT),
        ("binance_margin_risk", names_of(*get_args(RiskMessage))),
    ],
)
def test_every_message_of_every_product_has_a_recorded_payload(folder: str, names: set[str]) -> None:
    assert names and names - recorded_names(folder) == set()


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


@pytest.mark.parametrize("spec", [binance.USDM, binance.COINM, binance.SPOT, binance.MARGIN, binance.RISK], ids=lambda spec: str(spec.name))
def test_a_decoder_stamps_the_product_that_it_is_of(spec: VenueSpec) -> None:
    [told] = spec.make_decoder(ALICE).decode(b"nothing", RECEIVED)
    assert (told.venue, told.account) == (spec.name, ALICE)
