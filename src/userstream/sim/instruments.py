"""The contracts of the paper exchange and the rules an order's numbers must keep (Binance USD-M, 6.3 and 6.4)."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Final

from userstream.sim.books import BUY, ZERO, Instrument, Millis, Refused, Side
from userstream.sim.contracts import Contract

PRICE_BAND_UP: Final = Decimal("1.05")
PRICE_BAND_DOWN: Final = Decimal("0.95")

_CLIENT_ID: Final = re.compile(r"[.A-Z:/a-z0-9_-]{1,36}")
_RESERVED_PREFIXES: Final = ("autoclose-", "adl_autoclose", "settlement_autoclose-", "delivery_autoclose-")


def perpetual(base: str, quote: str, start_price: str, tick: str, step: str, max_quantity: str) -> Instrument:
    """A linear contract with the usual limits: 5 quote units at least, a tenth of the largest limit order for market orders."""
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
        min_notional=Decimal(5),
        start_price=Decimal(start_price),
    )


DEFAULT_INSTRUMENTS: Final = (
    perpetual("BTC", "USDT", "81000", "0.1", "0.001", "1000"),
    perpetual("ETH", "USDT", "2850", "0.01", "0.001", "10000"),
    perpetual("BNB", "USDT", "910", "0.01", "0.01", "20000"),
    perpetual("SOL", "USDT", "138", "0.01", "0.01", "100000"),
    perpetual("XRP", "USDT", "2.15", "0.0001", "0.1", "10000000"),
    perpetual("DOGE", "USDT", "0.15", "0.00001", "1", "50000000"),
    perpetual("BTC", "USDC", "81000", "0.1", "0.001", "1000"),
)


def inverse(base: str, size: str, start_price: str, tick: str, suffix: str = "PERP", delivery_time: int = 0) -> Instrument:
    """A contract that is worth `size` dollars in the coin (Binance COIN-M, 4.2 and 6.6). There is no least notional: one contract is it."""
    return Instrument(
        symbol=f"{base}USD_{suffix}",
        base=base,
        quote="USD",
        margin_asset=base,
        tick_size=Decimal(tick),
        step_size=Decimal(1),
        min_quantity=Decimal(1),
        max_quantity=Decimal(1_000_000),
        max_market_quantity=Decimal(60_000),
        min_notional=ZERO,
        start_price=Decimal(start_price),
        contract=Contract(Decimal(size)),
        delivery_time=Millis(delivery_time),
    )


DELIVERY_OF_DECEMBER: Final = 1_798_185_600_000  # 2026-12-25 08:00 UTC
DEFAULT_INVERSE: Final = (
    inverse("BTC", "100", "81000", "0.1"),
    inverse("ETH", "10", "2850", "0.01"),
    inverse("BNB", "10", "910", "0.01"),
    inverse("SOL", "10", "138", "0.01"),
    inverse("XRP", "10", "2.15", "0.0001"),
    inverse("DOGE", "10", "0.15", "0.00001"),
    inverse("BTC", "100", "81600", "0.1", "261225", DELIVERY_OF_DECEMBER),
)


TOO_LARGE: Final = Decimal(10) ** 15


def is_multiple(value: Decimal, unit: Decimal) -> bool:
    return value % unit == ZERO


def is_amount(value: Decimal) -> bool:
    """Whether the value is a number at all, and of a size that exact arithmetic can carry."""
    return value.is_finite() and abs(value) < TOO_LARGE


def check_price(instrument: Instrument, price: Decimal) -> None:
    """The price is positive and a multiple of the tick, else Refused("bad_tick")."""
    if not is_amount(price) or price <= ZERO or not is_multiple(price, instrument.tick_size):
        raise Refused("bad_tick", f"price {price} is not a positive multiple of {instrument.tick_size}")


def check_quantity(instrument: Instrument, quantity: Decimal, *, market: bool) -> None:
    """The quantity is within the limits and a multiple of the step; the limit for market orders is smaller."""
    largest = instrument.max_market_quantity if market else instrument.max_quantity
    if not is_amount(quantity):
        raise Refused("bad_step", "quantity is not a usable number")
    if quantity < instrument.min_quantity:
        raise Refused("quantity_too_small", f"quantity {quantity} is below {instrument.min_quantity}")
    if quantity > largest:
        raise Refused("quantity_too_large", f"quantity {quantity} is above {largest}")
    if not is_multiple(quantity, instrument.step_size):
        raise Refused("bad_step", f"quantity {quantity} is not a multiple of {instrument.step_size}")


def check_notional(instrument: Instrument, price: Decimal, quantity: Decimal) -> None:
    """The order is worth enough. Orders that only reduce are exempt and must not be checked."""
    if price * quantity < instrument.min_notional:
        raise Refused("min_notional", f"notional {price * quantity} is below {instrument.min_notional}")


def price_limit(side: Side, mark_price: Decimal) -> Decimal:
    """The worst price that an order of this side may pay: 5% beyond the mark price."""
    return mark_price * (PRICE_BAND_UP if side is BUY else PRICE_BAND_DOWN)


def check_price_band(side: Side, price: Decimal, mark_price: Decimal) -> None:
    limit = price_limit(side, mark_price)
    if price > limit if side is BUY else price < limit:
        raise Refused("percent_price", f"price {price} is beyond {limit}")


def check_client_id(client_id: str) -> None:
    """Well-formed, at most 36 characters, and none of the prefixes that mark the exchange's own orders."""
    if not _CLIENT_ID.fullmatch(client_id) or client_id.startswith(_RESERVED_PREFIXES):
        raise Refused("bad_client_order_id", "client order id is malformed or reserved")
