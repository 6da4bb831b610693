"""Binance: the private feeds and REST languages of its products. Pure; knows no other venue."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final

import msgspec

from userstream.kernel.ids import AccountId, VenueName
from userstream.venues.binance.decoding import Decoder
from userstream.venues.binance.errors import pause_ms
from userstream.venues.binance.frames import is_reply
from userstream.venues.binance.futures import FuturesSession
from userstream.venues.binance.margin import MarginSession
from userstream.venues.binance.products import COIN_M, MARGIN_RISK, USD_M, FuturesProduct
from userstream.venues.binance.raw_messages import raw_message_of
from userstream.venues.binance.rest import FuturesDialect
from userstream.venues.binance.risk_rest import RiskDialect
from userstream.venues.binance.spot import SpotSession
from userstream.venues.binance.spot_decoding import SpotDecoder
from userstream.venues.binance.spot_raw_messages import spot_raw_message_of
from userstream.venues.binance.spot_rest import SpotDialect
from userstream.venues.binance.switchboard import MARGIN_SHARING, SPOT_SHARING
from userstream.venues.binance.wallet_books import CROSS_BOOKS, isolated_books
from userstream.wire.venue import AccountPlace, Endpoints, VenueSpec

FUTURES_BUDGET: Final = "binance-futures"
SPOT_NAME: Final = VenueName("binance-spot")
MARGIN_NAME: Final = VenueName("binance-margin")
RISK_NAME: Final = VenueName("binance-margin-risk")
MARGIN_BUDGET: Final = "binance-sapi"
SPOT_HOSTS: Final = (*(f"api{number}.binance.com" for number in range(1, 5)), "api-gcp.binance.com")
"""Beside api.binance.com; the weight of an address is counted over all (Binance Spot, 1)."""


def _decoder_of(product: FuturesProduct) -> Callable[[AccountId], Decoder]:
    return lambda account: Decoder(account, product.name, product.feed.language)


def _spot_decoder(account: AccountId) -> SpotDecoder:
    return SpotDecoder(account, SPOT_NAME)


def _margin_decoder(account: AccountId) -> SpotDecoder:
    return SpotDecoder(account, MARGIN_NAME)


def _risk_decoder(account: AccountId) -> Decoder:
    return Decoder(account, RISK_NAME, MARGIN_RISK.language)


def _margin_dialect(place: AccountPlace) -> SpotDialect:
    pair = place.isolated_symbol
    if not pair:
        return SpotDialect(place, CROSS_BOOKS)
    return SpotDialect(msgspec.structs.replace(place, symbols=(pair,)), isolated_books(pair))


def _futures(product: FuturesProduct, title: str, real: Endpoints, test: Endpoints) -> VenueSpec:
    """A futures product. The test network's limits are wider; the real ones hold there too (Binance USD-M, 1.1). Weight is shared by both
    products since the integration (Binance COIN-M, 1.3)."""
    return VenueSpec(
        name=product.name,
        title=title,
        real=real,
        test=test,
        weight_limit_per_minute=2_400,
        budget=FUTURES_BUDGET,
        pause_of=pause_ms,
        used_weight_header="x-mbx-used-weight-1m",
        make_session=partial(FuturesSession, feed=product.feed),
        make_dialect=partial(FuturesDialect, product=product),
        make_decoder=_decoder_of(product),
        raw_message_of=raw_message_of,
        is_reply=is_reply,
    )


# Binance USD-M, 1 and 1.1.
USDM: Final = _futures(
    USD_M,
    "Binance USD-M futures",
    real=Endpoints(
        rest_url="https://fapi.binance.com",
        ws_url="wss://fstream.binance.com",
        ws_api_url="wss://ws-fapi.binance.com/ws-fapi/v1",
    ),
    test=Endpoints(
        rest_url="https://testnet.binancefuture.com",
        ws_url="wss://fstream.binancefuture.com",
        ws_api_url="wss://testnet.binancefuture.com/ws-fapi/v1",
    ),
)
# Binance COIN-M, 1 and 1.1.
COINM: Final = _futures(
    COIN_M,
    "Binance COIN-M futures",
    real=Endpoints(
        rest_url="https://dapi.binance.com",
        ws_url="wss://dstream.binance.com",
        ws_api_url="wss://ws-dapi.binance.com/ws-dapi/v1",
    ),
    test=Endpoints(
        rest_url="https://testnet.binancefuture.com",
        ws_url="wss://dstream.binancefuture.com",
        ws_api_url="wss://testnet.binancefuture.com/ws-dapi/v1",
    ),
)

# Binance Spot, 1 and 1.1. There is no socket but that of the WebSocket API.
SPOT: Final = VenueSpec(
    name=SPOT_NAME,
    title="Binance Spot",
    real=Endpoints(rest_url="https://api.binance.com", ws_url="", ws_api_url="wss://ws-api.binance.com:443/ws-api/v3"),
    other_real_hosts=SPOT_HOSTS,
    test=Endpoints(
        rest_url="https://testnet.binance.vision",
        ws_url="",
        ws_api_url="wss://ws-api.testnet.binance.vision/ws-api/v3",
    ),
    weight_limit_per_minute=6_000,
    pause_of=pause_ms,
    used_weight_header="x-mbx-used-weight-1m",
    make_session=SpotSession,
    make_dialect=SpotDialect,
    make_decoder=_spot_decoder,
    raw_message_of=spot_raw_message_of,
    is_reply=is_reply,
    has_microseconds=True,
    sharing=SPOT_SHARING,
)

# Binance margin, 1 and 2.4: Spot's socket, books of its own below /sapi, which is not served on any test network (1.1).
MARGIN: Final = VenueSpec(
    name=MARGIN_NAME,
    title="Binance margin",
    real=Endpoints(rest_url="https://api.binance.com", ws_url="", ws_api_url="wss://ws-api.binance.com:443/ws-api/v3"),
    other_real_hosts=SPOT_HOSTS,
    test=None,
    weight_limit_per_minute=12_000,
    budget=MARGIN_BUDGET,
    pause_of=pause_ms,
    used_weight_header="x-sapi-used-ip-weight-1m",
    make_session=MarginSession,
    make_dialect=_margin_dialect,
    make_decoder=_margin_decoder,
    has_isolated_accounts=True,
    sharing=MARGIN_SHARING,
    host_of=SPOT_NAME,
    has_microseconds=True,
    raw_message_of=spot_raw_message_of,
    is_reply=is_reply,
)

# Binance margin, 1 and 2.5: the cross account's warnings come by a socket of their own, and so it is an account of its own here.
RISK: Final = VenueSpec(
    name=RISK_NAME,
    title="Binance margin, warnings of the cross account",
    real=Endpoints(rest_url="https://api.binance.com", ws_url="wss://margin-stream.binance.com"),
    other_real_hosts=SPOT_HOSTS,
    test=None,
    weight_limit_per_minute=12_000,
    budget=MARGIN_BUDGET,
    pause_of=pause_ms,
    used_weight_header="x-sapi-used-ip-weight-1m",
    make_session=partial(FuturesSession, feed=MARGIN_RISK),
    make_dialect=RiskDialect,
    host_of=SPOT_NAME,
    is_reply=is_reply,
    make_decoder=_risk_decoder,
)
