"""What holds on the spot books whatever their accounts and the world do."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import pairwise
from typing import Final

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.sim.spot.kit import BNB, BTC, ETH, ETH_BTC, START, check_books
from userstream.sim.books import AccountHappened, Balance, Execution, Happening, ListHappened, Millis, OrderStatus, Refused, Side
from userstream.sim.engine import FINAL
from userstream.sim.spot.books import NewList, NewSpotOrder, SpotOrderHappened, left_of, spot_order
from userstream.sim.spot.exchange import SpotExchange

ACCOUNTS: Final = ("alice", "bob")
SYMBOLS: Final = ("BTCUSDT", "ETHBTC")
OPENING: Final = {"USDT": Decimal(20_000), "BTC": Decimal("0.3"), "BNB": Decimal("0.05")}
KINDS: Final = ("limit", "limit", "limit", "limit_maker", "market", "stop_loss", "stop_loss_limit", "take_profit", "take_profit_limit")
MODES: Final = ("none", "expire_maker", "expire_taker", "expire_both", "decrement")
WHATS: Final = (
    *("place",) * 8,
    *("list", "list", "list", "amend", "amend", "cancel", "cancel_all", "cancel_list", "replace", "fill", "fill", "fill"),
    *("move_price", "move_price", "transfer", "lock", "random", "random", "random"),
)

Act = Callable[[SpotExchange, Millis], object]


@dataclass(frozen=True)
class Step:
    """One thing that somebody does, after waiting."""

    wait_ms: int
    what: str
    who: str
    symbol: str
    side: Side
    size: int  # in thousandths of the account's usual order
    offset: int  # in ten-thousandths of the price
    pick: int  # chooses among what there is
    kind: str
    time_in_force: str
    mode: str
    trails: bool


STEPS: Final = st.builds(
    Step,
    wait_ms=st.sampled_from([0, 0, 1, 99, 100, 250, 3000]),
    what=st.sampled_from(WHATS),
    who=st.sampled_from(ACCOUNTS),
    symbol=st.sampled_from(SYMBOLS),
    side=st.sampled_from(Side),
    size=st.integers(1, 3000),
    offset=st.one_of(st.integers(-5, 5), st.integers(-300, 300)),
    pick=st.integers(0, 7),
    kind=st.sampled_from(KINDS),
    time_in_force=st.sampled_from(["gtc", "gtc", "gtc", "ioc", "fok"]),
    mode=st.sampled_from(MODES),
    trails=st.booleans(),
)


def near(exchange: SpotExchange, symbol: str, offset: int) -> Decimal:
    tick = exchange.instruments[symbol].tick_size
    return max(exchange.last_price(symbol) * (10_000 + offset) / 10_000 // tick * tick, tick)


def wish(exchange: SpotExchange, step: Step, *, kind: str = "", side: Side | None = None, offset: int | None = None) -> NewSpotOrder:
    kind, away = kind or step.kind, step.offset if offset is None else offset
    unit = exchange.instruments[step.symbol].step_size
    worth = Decimal(step.size) / 10 if step.symbol == "BTCUSDT" else Decimal(step.size) / 500_000
    stops = kind.startswith(("stop", "take"))
    price = near(exchange, step.symbol, away)
    return NewSpotOrder(
        symbol=step.symbol,
        side=side or step.side,
        order_type=kind,
        time_in_force=step.time_in_force if kind == "limit" else "gtc",
        quantity=max(worth / price // unit * unit, unit),
        price=price if kind not in ("market", "stop_loss", "take_profit") else Decimal(0),
        stop_price=price if stops else Decimal(0),
        trailing_delta=50 if stops and step.trails else 0,
        self_trade_prevention=step.mode,
    )


def list_wish(exchange: SpotExchange, step: Step) -> NewList:
    side, far = step.side, max(abs(step.offset), 1)
    other = Side.SELL if side is Side.BUY else Side.BUY
    pair_side = side if step.pick % 3 == 0 else other
    taking, stopping = (far, -far) if pair_side is Side.SELL else (-far, far)
    maker = wish(exchange, step, kind="limit_maker", side=pair_side, offset=taking)
    stop = wish(exchange, step, kind="stop_loss_limit" if step.trails else "stop_loss", side=pair_side, offset=stopping)
    stop = stop.__class__(**{name: getattr(stop, name) for name in stop.__struct_fields__} | {"quantity": maker.quantity})
    pair = (maker, stop) if pair_side is Side.SELL else (stop, maker)
    first = wish(exchange, step, kind="limit")
    if step.pick % 3 == 0:
        return NewList(kind="oco", symbol=step.symbol, orders=pair)
    if step.pick % 3 == 1:
        return NewList(kind="oto", symbol=step.symbol, orders=(first, wish(exchange, step, side=other)))
    return NewList(kind="otoco", symbol=step.symbol, orders=(first, *pair))


def _on_order(exchange: SpotExchange, step: Step, now: Millis) -> object:
    """Something done to one of the account's open orders."""
    orders = [spot_order(order) for order in exchange.open_orders(step.who, step.symbol)]
    if not orders:
        return None
    order = orders[step.pick % len(orders)]
    unit = exchange.instruments[step.symbol].step_size
    part = max(order.quantity * step.size / 3000 // unit * unit, unit)
    match step.what:
        case "amend":
            return exchange.amend(step.who, step.symbol, order_id=order.order_id, quantity=part, now=now)
        case "cancel":
            return exchange.cancel(step.who, step.symbol, order_id=order.order_id, now=now)
        case "replace":
            return exchange.replace(step.who, step.symbol, wish(exchange, step), now, order_id=order.order_id, stop_on_failure=step.trails)
    return exchange.counter_fill(step.who, order.order_id, step.symbol, min(part, left_of(order)), now)


def _on_list(exchange: SpotExchange, step: Step, now: Millis) -> object:
    lists = [each for each in exchange.order_lists(step.who, open_only=True) if each.symbol == step.symbol]
    if not lists:
        return None
    return exchange.cancel_list(step.who, step.symbol, list_id=lists[step.pick % len(lists)].list_id, now=now)


def act(exchange: SpotExchange, step: Step, now: Millis) -> object:
    small = Decimal(step.size) / 100 * (1 if step.offset >= 0 else -1)
    match step.what:
        case "place":
            return exchange.place(step.who, wish(exchange, step), now)
        case "list":
            return exchange.place_list(step.who, list_wish(exchange, step), now)
        case "cancel_list":
            return _on_list(exchange, step, now)
        case "cancel_all":
            return exchange.cancel_all(step.who, step.symbol, now)
        case "move_price":
            exchange.move_price(step.symbol, near(exchange, step.symbol, step.offset), now)
        case "transfer":
            exchange.transfer(step.who, "USDT", small, now, reason="deposit" if small > 0 else "withdraw")
        case "lock":
            exchange.lock_externally(step.who, "BNB", small / 1000, now)
        case "random":
            exchange.trade_randomly(step.who, now)
        case _:
            return _on_order(exchange, step, now)
    return None


def play(steps: Sequence[Step]) -> tuple[SpotExchange, list[Happening]]:
    """Carry the steps out; after each of them the last news of every asset is what the books say."""
    exchange = SpotExchange((BTC, ETH, BNB, ETH_BTC), seed=5, start_time=START)
    for account in ACCOUNTS:
        exchange.open_account(account, OPENING)
    exchange.convert_fee_asset("bob", "BNB")
    told: list[Happening] = []
    shown: dict[tuple[str, str], Balance] = {}
    now = START
    for step in steps:
        now = Millis(now + step.wait_ms)
        before = exchange.balances(step.who), exchange.orders(step.who)
        exchange.advance(now)
        news = exchange.drain()
        if not news:
            before = exchange.balances(step.who), exchange.orders(step.who)
        try:
            act(exchange, step, now)
        except Refused:
            if not news:
                assert (exchange.balances(step.who), exchange.orders(step.who)) == before
        news += exchange.drain()
        told += news
        check_shown(exchange, shown, news)
    return exchange, told


def check_shown(exchange: SpotExchange, shown: dict[tuple[str, str], Balance], news: Sequence[Happening]) -> None:
    """Who follows the news alone sees the balances of the books."""
    for each in news:
        if isinstance(each, AccountHappened):
            shown |= {(each.account, balance.asset): balance for balance in each.balances}
    for account in ACCOUNTS:
        for balance in exchange.balances(account):
            known = shown.get((account, balance.asset))
            if known is not None:
                assert (known.wallet, known.available) == (balance.wallet, balance.available)
            else:
                assert balance.wallet == OPENING.get(balance.asset, 0)


@given(st.lists(STEPS, max_size=40))
@settings(max_examples=60, deadline=None)
def test_the_books_and_the_news_agree(steps: list[Step]) -> None:
    exchange, told = play(steps)
    held = {account: {each.asset: each.wallet - each.available for each in exchange.balances(account)} for account in ACCOUNTS}
    locks = [each for each in told if isinstance(each, AccountHappened) and each.reason == "external_lock"]
    for account in ACCOUNTS:
        outside = sum((each.deltas["BNB"] for each in locks if each.account == account), Decimal(0))
        assert held[account].get("BNB", Decimal(0)) >= outside >= 0
    if not locks:
        check_books(exchange, OPENING)
    check_orders(exchange, told)
    check_lists(exchange, told)


def check_orders(exchange: SpotExchange, told: Sequence[Happening]) -> None:
    """Execution ids rise, a fill is told once, nothing follows an end, and what is told last is what the books say."""
    orders = [each for each in told if isinstance(each, SpotOrderHappened)]
    assert all(one.execution_id < two.execution_id for one, two in pairwise(orders))
    ended: set[int] = set()
    for each in orders:
        assert each.order.order_id not in ended
        if each.order.status in FINAL:
            ended.add(each.order.order_id)
    last = {each.order.order_id: each.order for each in orders if each.execution is not Execution.REJECTED}
    for account in ACCOUNTS:
        known = {order.order_id: order for order in map(spot_order, exchange.orders(account))}
        assert {number for number, order in last.items() if order.account == account} == set(known)
        for number, order in known.items():
            filled = [fill for fill in exchange.fills(account) if fill.order_id == number]
            assert order.filled_quantity == sum((fill.quantity for fill in filled), Decimal(0)) == last[number].filled_quantity
            assert order.filled_quote == sum((fill.quote_quantity for fill in filled), Decimal(0))
            assert (order.status, order.quantity) == (last[number].status, last[number].quantity)
            assert (left_of(order) == 0) or order.status is not OrderStatus.FILLED
    fills = [(each.account, each.order.symbol, each.fill.trade_id, each.order.order_id) for each in orders if each.fill is not None]
    assert len(fills) == len(set(fills)) == sum(len(exchange.fills(account)) for account in ACCOUNTS)


def check_lists(exchange: SpotExchange, told: Sequence[Happening]) -> None:
    """Of a pair only one order ever trades; a list is done when all its orders are, and that is told once."""
    done = [each.list_id for each in told if isinstance(each, ListHappened) and each.status_type == "all_done"]
    assert len(done) == len(set(done))
    for account in ACCOUNTS:
        for each in exchange.order_lists(account):
            orders = {order_id: exchange.order(account, each.symbol, order_id=order_id) for order_id in each.order_ids}
            assert sum(bool(orders[order_id].filled_quantity) for order_id in each.pair) <= 1
            assert each.is_done == all(order.status in FINAL for order in orders.values()) == (each.list_id in done)
            if each.first is not None and orders[each.first].status is not OrderStatus.FILLED:
                assert not any(order.filled_quantity for order_id, order in orders.items() if order_id != each.first)
