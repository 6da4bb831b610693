"""A small paper exchange in a known state, and wishes in one line. Until the first 100 ms have passed its prices stand still."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Final, TypeVar

import pytest

from userstream.sim.books import (
    AccountHappened,
    AlgoHappened,
    Happening,
    Millis,
    NewAlgo,
    NewOrder,
    Order,
    OrderHappened,
    PositionSide,
    Refused,
    Side,
)
from userstream.sim.exchange import Exchange
from userstream.sim.instruments import perpetual

START: Final = Millis(1_790_000_000_000)
STEP_MS: Final = 100
BTC: Final = perpetual("BTC", "USDT", "80000", "0.1", "0.001", "1000")
ETH: Final = perpetual("ETH", "USDT", "3000", "0.01", "0.001", "10000")
BNB: Final = perpetual("BNB", "USDT", "900", "0.01", "0.01", "20000")
BTC_USDC: Final = perpetual("BTC", "USDC", "80000", "0.1", "0.001", "1000")
INSTRUMENTS: Final = (BTC, ETH, BNB, BTC_USDC)

HappeningT = TypeVar("HappeningT", bound=Happening)


def exact(*values: Decimal | int | str) -> tuple[Decimal, ...]:
    """Amounts to compare several at once."""
    return tuple(Decimal(value) for value in values)


def later(milliseconds: int) -> Millis:
    return Millis(START + milliseconds)


def open_exchange(*accounts: str, seed: int = 1, usdt: str = "100000", funding_interval_ms: int = 0) -> Exchange:
    """Alice and Bob with money, unless others are named."""
    exchange = Exchange(INSTRUMENTS, seed=seed, start_time=START, funding_interval_ms=funding_interval_ms)
    for account in accounts or ("alice", "bob"):
        exchange.open_account(account, {"USDT": Decimal(usdt)})
    return exchange


def limit(side: str, quantity: str, price: str, **fields: object) -> NewOrder:
    return _order(side, quantity, {"order_type": "limit", "price": Decimal(price), **fields})


def market(side: str, quantity: str, **fields: object) -> NewOrder:
    return _order(side, quantity, {"order_type": "market", **fields})


def _order(side: str, quantity: str, fields: dict[str, object]) -> NewOrder:
    build: Callable[..., NewOrder] = NewOrder
    return build(**{"symbol": "BTCUSDT", "side": Side(side), "quantity": Decimal(quantity), **fields})


def algo(order_type: str, side: str, **fields: object) -> NewAlgo:
    """A conditional order; amounts may be given as text."""
    build: Callable[..., NewAlgo] = NewAlgo
    amounts = {"quantity", "price", "trigger_price", "activation_price", "callback_rate"}
    exact = {name: Decimal(str(value)) if name in amounts else value for name, value in fields.items()}
    return build(**{"symbol": "BTCUSDT", "order_type": order_type, "side": Side(side), **exact})


def refusal(act: Callable[[], object]) -> str:
    """The rule by which the exchange refuses this."""
    with pytest.raises(Refused) as caught:
        act()
    return caught.value.rule


def amount(exchange: Exchange, account: str, symbol: str = "BTCUSDT", side: PositionSide = PositionSide.BOTH) -> Decimal:
    return exchange.position(account, symbol, side).amount


def wallet(exchange: Exchange, account: str, asset: str = "USDT") -> Decimal:
    return next(balance.wallet for balance in exchange.balances(account) if balance.asset == asset)


def available(exchange: Exchange, account: str, asset: str = "USDT") -> Decimal:
    return next(balance.available for balance in exchange.balances(account) if balance.asset == asset)


def orders_told(happenings: list[Happening], account: str = "alice") -> list[OrderHappened]:
    return [each for each in happenings if isinstance(each, OrderHappened) and each.account == account]


def accounts_told(happenings: list[Happening], account: str = "alice") -> list[AccountHappened]:
    return [each for each in happenings if isinstance(each, AccountHappened) and each.account == account]


def algos_told(happenings: list[Happening], account: str = "alice") -> list[AlgoHappened]:
    return [each for each in happenings if isinstance(each, AlgoHappened) and each.account == account]


def story(happenings: list[Happening], account: str = "alice") -> list[str]:
    """What was told about orders, in short: execution and status."""
    return [f"{each.execution} {each.order.status}" for each in orders_told(happenings, account)]


def hold(exchange: Exchange, account: str, quantity: str, symbol: str = "BTCUSDT", side: PositionSide = PositionSide.BOTH) -> None:
    """Give the account a position at the mark price, by a resting order that the outside takes. Short when negative."""
    size = Decimal(quantity)
    price = exchange.last_price(symbol) // exchange.instruments[symbol].tick_size * exchange.instruments[symbol].tick_size
    away = exchange.instruments[symbol].tick_size * (2 if size < 0 else -2)
    wish = _order("buy" if size > 0 else "sell", str(abs(size)), {"symbol": symbol, "price": price + away, "position_side": side})
    order: Order = exchange.place(account, wish, exchange.time)
    exchange.counter_fill(account, order.order_id, symbol, None, exchange.time, price=price)
    exchange.drain()
