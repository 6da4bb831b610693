"""Whoever folds the frames of a venue has its books: nothing is told wrong, nothing is left out."""

from collections.abc import Callable
from decimal import Decimal
from typing import TypeVar

import msgspec
import pytest

from tests.unit.sim.coinm_kit import VENUE as COINM
from tests.unit.sim.coinm_kit import CoinmDesk
from tests.unit.sim.coinm_kit import owner as coinm_owner
from tests.unit.sim.kit import open_house
from tests.unit.sim.margin_kit import VENUE as MARGIN
from tests.unit.sim.margin_kit import MarginDesk, TokenCaller, user
from userstream.sim.actions import parse_action
from userstream.sim.performing import perform

Kind = TypeVar("Kind")
FINAL = {"FILLED", "CANCELED", "EXPIRED", "EXPIRED_IN_MATCH", "REJECTED"}


class Fold:
    """What a listener knows: orders by id, fills by pair and trade id, wallets, positions, debts."""

    def __init__(self) -> None:
        self.orders: dict[int, tuple[str, str]] = {}
        self.fills: set[tuple[str, int]] = set()
        self.wallets: dict[str, Decimal] = {}
        self.positions: dict[str, Decimal] = {}
        self.debts: dict[str, Decimal] = {}

    @property
    def open(self) -> set[int]:
        return {order_id for order_id, (status, _) in self.orders.items() if status not in FINAL}


class Envelope(msgspec.Struct):
    """The members of an event of contracts that a fold needs."""

    e: str
    o: msgspec.Raw = msgspec.Raw(b"null")
    a: msgspec.Raw = msgspec.Raw(b"null")


class Report(msgspec.Struct):
    i: int
    s: str
    X: str
    z: str
    t: int


class AccountPosition(msgspec.Struct):
    B: list[dict[str, str]]


class Liability(msgspec.Struct):
    a: str
    t: str
    p: Decimal
    i: Decimal


class FuturesAccount(msgspec.Struct):
    B: list[dict[str, str]]
    P: list[dict[str, str]]


def fold_coinm(fold: Fold, frame: dict[str, object]) -> None:
    update = read(frame, Envelope)
    if update.e == "ORDER_TRADE_UPDATE":
        order = msgspec.json.decode(update.o, type=Report)
        fold.orders[order.i] = (order.X, order.z)
        if order.t:
            assert (order.s, order.t) not in fold.fills
            fold.fills.add((order.s, order.t))
    elif update.e == "ACCOUNT_UPDATE":
        account = msgspec.json.decode(update.a, type=FuturesAccount)
        fold.wallets |= {row["a"]: Decimal(row["wb"]) for row in account.B}
        fold.positions |= {row["s"]: Decimal(row["pa"]) for row in account.P}


def fold_margin(fold: Fold, frame: dict[str, object]) -> None:
    match frame["e"]:
        case "executionReport":
            report = read(frame, Report)
            fold.orders[report.i] = (report.X, report.z)
            if report.t >= 0:
                assert (report.s, report.t) not in fold.fills
                fold.fills.add((report.s, report.t))
        case "outboundAccountPosition":
            fold.wallets |= {row["a"]: Decimal(row["f"]) + Decimal(row["l"]) for row in read(frame, AccountPosition).B}
        case "USER_LIABILITY_CHANGE":
            change = read(frame, Liability)
            sign = -1 if change.t == "REPAY" else 1
            fold.debts[change.a] = fold.debts.get(change.a, Decimal(0)) + sign * (change.p + change.i)


def read(frame: dict[str, object], kind: type[Kind]) -> Kind:
    return msgspec.json.decode(msgspec.json.encode(frame), type=kind)


def play(desk: CoinmDesk | MarginDesk, hear: Callable[[], None], seconds: int = 60) -> None:
    for second in range(seconds):
        desk.pass_time(1000)
        if second % 20 == 10:
            action = parse_action("transfer", {"account": desk.account, "asset": "BTC", "amount": "0.5"})
            perform(action, desk.house, desk.clock.now())
        hear()
    perform(parse_action("pause_trading", {}), desk.house, desk.clock.now())
    desk.pass_time(50)
    hear()


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_listener_of_coinm_knows_orders_fills_wallets_and_positions(seed: int) -> None:
    house, clock, _ = open_house(venues=(COINM,), accounts=(coinm_owner(),), rate=30.0, seed=seed)
    desk, fold = CoinmDesk(house, clock, "paper-1").stream(), Fold()

    def hear() -> None:
        for frame in desk.heard():
            fold_coinm(fold, frame)

    play(desk, hear)
    compare_coinm(fold, desk)
    assert len(fold.fills) > 20


def test_a_listener_of_coinm_knows_what_the_exchange_itself_does() -> None:
    house, clock, _ = open_house(venues=(COINM,), accounts=(coinm_owner(),))
    desk, fold = CoinmDesk(house, clock, "paper-1").stream(), Fold()
    for symbol, price in (("BTCUSD_PERP", "80000.0"), ("ETHUSD_PERP", "2800.00"), ("BTCUSD_261225", "80100.0")):
        desk.fill(symbol=symbol, price=price, quantity="40")
    for name, fields in (
        ("fund", {"symbol": "BTCUSD_PERP", "rate": "0.0003"}),
        ("adl", {"account": desk.account, "symbol": "BTCUSD_PERP", "quantity": "10"}),
        ("liquidate", {"account": desk.account, "symbol": "BTCUSD_PERP"}),
        ("settle", {"symbol": "BTCUSD_261225"}),
        ("move_price", {"symbol": "ETHUSD_PERP", "price": "1900"}),
        ("transfer", {"account": desk.account, "asset": "ETH", "amount": "-1.5"}),
    ):
        perform(parse_action(name, fields), house, clock.now())
        desk.publish()
    for frame in desk.heard():
        fold_coinm(fold, frame)
    compare_coinm(fold, desk)
    assert len(fold.fills) == 6


def compare_coinm(fold: Fold, desk: CoinmDesk) -> None:
    books = desk.contracts
    assert fold.open == {order.order_id for order in books.open_orders(desk.account)}
    assert fold.fills == {(fill.symbol, fill.trade_id) for fill in books.fills(desk.account)}
    truth = {each.asset: each.wallet for each in books.balances(desk.account)}
    assert {asset: truth[asset] for asset in fold.wallets} == fold.wallets
    held = {each.symbol: each.amount for each in books.positions(desk.account) if each.amount}
    assert {symbol: amount for symbol, amount in fold.positions.items() if amount} == held


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_listener_of_margin_knows_orders_fills_wallets_and_debts(seed: int) -> None:
    house, clock, _ = open_house(venues=(MARGIN,), accounts=(user(),), rate=30.0, seed=seed)
    desk, fold = MarginDesk(house, clock, "paper-1"), Fold()
    client, risk = TokenCaller(desk), desk.listen_to_risk()
    client.number(desk.token())

    def hear() -> None:
        for frame in (*client.heard(), *desk.heard(risk)):
            fold_margin(fold, frame)

    play(desk, hear)
    compare_margin(fold, desk)
    assert len(fold.fills) > 20
    assert desk.books.loans(desk.account)


@pytest.mark.parametrize("price", ["60000", "50000", "20000"])
def test_a_listener_of_margin_knows_a_liquidation(price: str) -> None:
    house, clock, _ = open_house(venues=(MARGIN,), accounts=(user(),))
    desk, fold = MarginDesk(house, clock, "paper-1"), Fold()
    client, risk = TokenCaller(desk), desk.listen_to_risk()
    client.number(desk.token())
    desk.borrow("USDT", "80000")
    desk.market(quantity="1.1")
    desk.limit(side="SELL", price="90000", quantity="0.5")
    perform(parse_action("move_price", {"symbol": "BTCUSDT", "price": price}), house, clock.now())
    desk.publish()
    for frame in (*client.heard(), *desk.heard(risk)):
        fold_margin(fold, frame)
    compare_margin(fold, desk)
    assert bool(desk.books.debts(desk.account)) == (price == "60000")


def compare_margin(fold: Fold, desk: MarginDesk) -> None:
    books = desk.books
    assert fold.open == {order.order_id for order in books.open_orders(desk.account)}
    assert fold.fills == {(fill.symbol, fill.trade_id) for fill in books.fills(desk.account)}
    truth = {each.asset: each.wallet for each in books.balances(desk.account)}
    assert {asset: truth[asset] for asset in fold.wallets} == fold.wallets
    assert {asset: owed for asset, owed in fold.debts.items() if owed} == {debt.asset: debt.total for debt in books.debts(desk.account)}
