"""A small spot exchange in a known state, and wishes in one line. Until the first 100 ms have passed its prices stand still."""

from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from typing import Final

import pytest

from userstream.sim.books import AccountHappened, Balance, Happening, ListHappened, Millis, Refused, Side
from userstream.sim.engine import is_open
from userstream.sim.spot.books import NewList, NewSpotOrder, SpotOrder, SpotOrderHappened, spot_order
from userstream.sim.spot.exchange import SpotExchange
from userstream.sim.spot.instruments import pair

START: Final = Millis(1_790_000_000_000)
BTC: Final = pair("BTC", "USDT", "80000", "0.01", "0.00001", "9000")
ETH: Final = pair("ETH", "USDT", "3000", "0.01", "0.0001", "9000")
BNB: Final = pair("BNB", "USDT", "900", "0.01", "0.001", "90000")
ETH_BTC: Final = pair("ETH", "BTC", "0.03750", "0.00001", "0.001", "100000", "0.0001")
PAIRS: Final = (BTC, ETH, BNB, ETH_BTC)
OPENING: Final = {"USDT": Decimal(100_000), "BTC": Decimal(2), "BNB": Decimal(10)}
AMOUNTS: Final = frozenset({"quantity", "price", "stop_price", "quote_quantity", "iceberg_quantity"})


def later(milliseconds: int) -> Millis:
    return Millis(START + milliseconds)


def open_exchange(*accounts: str, seed: int = 1, balances: Mapping[str, Decimal] = OPENING) -> SpotExchange:
    """Alice and Bob with money, unless others are named."""
    exchange = SpotExchange(PAIRS, seed=seed, start_time=START)
    for account in accounts or ("alice", "bob"):
        exchange.open_account(account, balances)
    return exchange


def wish(order_type: str, side: str, **fields: object) -> NewSpotOrder:
    """An order on BTCUSDT; amounts may be given as text."""
    build: Callable[..., NewSpotOrder] = NewSpotOrder
    exact = {name: Decimal(str(value)) if name in AMOUNTS else value for name, value in fields.items()}
    return build(**{"symbol": "BTCUSDT", "order_type": order_type, "side": Side(side), **exact})


def limit(side: str, quantity: str, price: str, **fields: object) -> NewSpotOrder:
    return wish("limit", side, quantity=quantity, price=price, **fields)


def market(side: str, quantity: str, **fields: object) -> NewSpotOrder:
    return wish("market", side, quantity=quantity, **fields)


def stop(side: str, quantity: str, at: str, **fields: object) -> NewSpotOrder:
    return wish("stop_loss", side, quantity=quantity, stop_price=at, **fields)


def sell_pair(quantity: str = "1", above: str = "82000", below: str = "79000") -> tuple[NewSpotOrder, NewSpotOrder]:
    """Take a profit above the market, or stop a loss below it."""
    return wish("limit_maker", "sell", quantity=quantity, price=above), stop("sell", quantity, below)


def buy_pair(quantity: str = "1", above: str = "82000", below: str = "79000") -> tuple[NewSpotOrder, NewSpotOrder]:
    return stop("buy", quantity, above), wish("limit_maker", "buy", quantity=quantity, price=below)


def oco(orders: tuple[NewSpotOrder, NewSpotOrder], **fields: str) -> NewList:
    return NewList(kind="oco", symbol="BTCUSDT", orders=orders, **fields)


def oto(first: NewSpotOrder, second: NewSpotOrder) -> NewList:
    return NewList(kind="oto", symbol="BTCUSDT", orders=(first, second))


def otoco(first: NewSpotOrder, others: tuple[NewSpotOrder, NewSpotOrder]) -> NewList:
    return NewList(kind="otoco", symbol="BTCUSDT", orders=(first, *others))


def refusal(act: Callable[[], object]) -> str:
    """The rule by which the exchange refuses this."""
    with pytest.raises(Refused) as caught:
        act()
    return caught.value.rule


def money(exchange: SpotExchange, account: str, asset: str) -> tuple[Decimal, Decimal]:
    """What is free and what is locked."""
    found = next((each for each in exchange.balances(account) if each.asset == asset), Balance(account=account, asset=asset))
    return found.available, found.wallet - found.available


def exact(*values: str | int) -> tuple[Decimal, ...]:
    return tuple(Decimal(value) for value in values)


def orders_told(happenings: Iterable[Happening], account: str = "alice") -> list[SpotOrderHappened]:
    return [each for each in happenings if isinstance(each, SpotOrderHappened) and each.account == account]


def story(happenings: Iterable[Happening], account: str = "alice") -> list[str]:
    """What was told of orders and lists, in short."""
    told = []
    for each in happenings:
        if each.account == account and isinstance(each, SpotOrderHappened):
            told.append(f"{each.order.order_type} {each.execution} {each.order.status}")
        elif each.account == account and isinstance(each, ListHappened):
            told.append(f"{each.contingency} {each.status_type}")
    return told


def listed(exchange: SpotExchange, list_id: int, account: str = "alice") -> list[SpotOrder]:
    """The orders of a list as they stand."""
    found = exchange.order_list(account, list_id=list_id)
    return [exchange.order(account, found.symbol, order_id=order_id) for order_id in found.order_ids]


def check_books(exchange: SpotExchange, opening: Mapping[str, Decimal] = OPENING) -> None:
    """What holds always: nothing is negative, what is locked is what open orders lock, and a wallet is the sum of its lines."""
    for account in exchange.accounts():
        locked: dict[str, Decimal] = {}
        for order in map(spot_order, exchange.orders(account)):
            instrument = exchange.instruments[order.symbol]
            asset = instrument.quote if order.side is Side.BUY else instrument.base
            locked[asset] = locked.get(asset, Decimal(0)) + order.locked
            assert order.locked >= 0
            assert is_open(order) or order.locked == 0
        lines: dict[str, Decimal] = {}
        for line in exchange.income(account):
            lines[line.asset] = lines.get(line.asset, Decimal(0)) + line.amount
        for balance in exchange.balances(account):
            assert balance.available >= 0
            assert balance.wallet - balance.available == locked.get(balance.asset, 0)
            assert balance.wallet == opening.get(balance.asset, 0) + lines.get(balance.asset, 0)


def check_news(exchange: SpotExchange, happenings: Iterable[Happening]) -> None:
    """Every asset that changed was told last as it stands now."""
    told = {(each.account, balance.asset): balance for each in happenings if isinstance(each, AccountHappened) for balance in each.balances}
    for (account, asset), balance in told.items():
        assert next(each for each in exchange.balances(account) if each.asset == asset) == balance
