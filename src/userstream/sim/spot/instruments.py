"""The pairs of the spot books and the rules an order's numbers must keep (Binance Spot, 6.3 and 6.4).

Tick times step has at most 8 decimals in every pair, so quote amounts are exact.
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Final

from userstream.sim.books import ZERO, Instrument, Refused, Side
from userstream.sim.instruments import is_amount, is_multiple

FEE: Final = Decimal("0.001")
MIN_PRICE_SHARE: Final = Decimal("0.2")  # bounds of a limit price, as shares of the last price
MAX_PRICE_SHARE: Final = Decimal(5)
MAX_NOTIONAL: Final = Decimal(9_000_000)
MAX_OPEN_ORDERS: Final = 200
MAX_STOP_ORDERS: Final = 5
MAX_ICEBERG_PARTS: Final = 50
MAX_LISTS: Final = 20
MAX_AMENDMENTS: Final = 10
LEAST_TRAILING: Final = 10
LARGEST_TRAILING: Final = 2000

_CLIENT_ID: Final = re.compile(r"[a-zA-Z0-9_-]{1,36}")


def pair(base: str, quote: str, start_price: str, tick: str, step: str, max_quantity: str, min_notional: str = "5") -> Instrument:
    """A pair with the usual limits: a tenth of the largest limit order for market orders, 0.1% fee for maker and taker."""
    largest = Decimal(max_quantity)
    return Instrument(
        symbol=base + quote,
        base=base,
        quote=quote,
        margin_asset=quote,
        tick_size=Decimal(tick),
        step_size=Decimal(step),
        min_quantity=Decimal(step),
        max_quantity=largest,
        max_market_quantity=(largest / 10 // Decimal(step)) * Decimal(step),
        min_notional=Decimal(min_notional),
        maker_fee=FEE,
        taker_fee=FEE,
        start_price=Decimal(start_price),
    )


DEFAULT_PAIRS: Final = (
    pair("BTC", "USDT", "81000", "0.01", "0.00001", "9000"),
    pair("ETH", "USDT", "2850", "0.01", "0.0001", "9000"),
    pair("BNB", "USDT", "910", "0.01", "0.001", "90000"),
    pair("ETH", "BTC", "0.03518", "0.00001", "0.001", "100000", "0.0001"),
    pair("BNB", "BTC", "0.011235", "0.000001", "0.01", "100000", "0.0001"),
    pair("SOL", "USDC", "138", "0.01", "0.001", "90000"),
    pair("BTC", "USDC", "81000", "0.01", "0.00001", "9000"),
)

NO_MARGIN: Final = frozenset({"BNBBTC"})
"""Pairs that are traded on spot only; the venue has hundreds of them."""


def has_margin(symbol: str) -> bool:
    """Whether margin accounts may trade the pair."""
    return symbol not in NO_MARGIN


def check_price(instrument: Instrument, price: Decimal) -> None:
    """The price is positive and a multiple of the tick, else Refused("bad_tick")."""
    if not is_amount(price) or price <= ZERO or not is_multiple(price, instrument.tick_size):
        raise Refused("bad_tick", f"price {price} is not a positive multiple of {instrument.tick_size}")


def check_price_band(side: Side, price: Decimal, last: Decimal) -> None:
    """The price is not absurdly far from the last one; the bounds are equal for both sides here."""
    del side
    if not last * MIN_PRICE_SHARE <= price <= last * MAX_PRICE_SHARE:
        raise Refused("percent_price", f"price {price} is too far from {last}")


def check_quantity(instrument: Instrument, quantity: Decimal, *, market: bool) -> None:
    """The quantity is within the limits and a multiple of the step; a market order has a smaller limit besides."""
    if not is_amount(quantity) or not instrument.min_quantity <= quantity <= instrument.max_quantity:
        raise Refused("bad_lot", f"quantity must be from {instrument.min_quantity} to {instrument.max_quantity}")
    if not is_multiple(quantity, instrument.step_size):
        raise Refused("bad_lot", f"quantity {quantity} is not a multiple of {instrument.step_size}")
    if market and quantity > instrument.max_market_quantity:
        raise Refused("bad_market_lot", f"quantity of a market order must not be above {instrument.max_market_quantity}")


def check_notional(instrument: Instrument, price: Decimal, quantity: Decimal, *, market: bool) -> None:
    """The order is worth enough, and a limit order not too much."""
    worth = price * quantity
    if worth < instrument.min_notional or (worth > MAX_NOTIONAL and not market):
        raise Refused("min_notional", f"notional {worth} must be from {instrument.min_notional} to {MAX_NOTIONAL}")


def check_iceberg(instrument: Instrument, iceberg: Decimal, quantity: Decimal, time_in_force: str) -> None:
    """The visible part is a lot of its own, and there are not too many parts. Only for orders that rest."""
    if not iceberg:
        return
    if time_in_force not in {"gtc", "gtx"}:
        raise Refused("iceberg_not_gtc", "an iceberg order must be GTC")
    check_quantity(instrument, iceberg, market=False)
    if iceberg > quantity or quantity / iceberg > MAX_ICEBERG_PARTS:
        raise Refused("iceberg_parts", f"an iceberg order has from 1 to {MAX_ICEBERG_PARTS} parts")


def check_trailing(trailing_delta: int) -> None:
    """In hundredths of a percent; 0 means that the order does not trail."""
    if trailing_delta and not LEAST_TRAILING <= trailing_delta <= LARGEST_TRAILING:
        raise Refused("trailing_delta", f"trailing delta must be from {LEAST_TRAILING} to {LARGEST_TRAILING}")


def check_client_id(client_id: str) -> None:
    """Well-formed and at most 36 characters (Binance Spot, 6.4)."""
    if not _CLIENT_ID.fullmatch(client_id):
        raise Refused("bad_client_order_id", "client order id is malformed")
