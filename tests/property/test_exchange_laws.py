"""What holds on the paper exchange whatever its accounts and the world do."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import pairwise
from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.paper import BNB, BTC, ETH, START, algo, later
from userstream.sim.books import (
    ZERO,
    AccountHappened,
    AlgoHappened,
    AlgoOrder,
    Balance,
    Execution,
    Fill,
    Happening,
    Millis,
    NewOrder,
    Order,
    OrderHappened,
    Position,
    PositionSide,
    Refused,
    Side,
)
from userstream.sim.engine import FINAL, is_open, remaining
from userstream.sim.exchange import Exchange
from userstream.sim.ledger import money, signed

ONE_WAY: Final = ("alice", "bob")
HEDGED: Final = "carol"
ACCOUNTS: Final = (*ONE_WAY, HEDGED)
SYMBOLS: Final = ("BTCUSDT", "ETHUSDT")
OPENING: Final = {"USDT": Decimal(20000), "BNB": Decimal("0.05")}

Act = Callable[[Exchange, Millis], object]


@dataclass(frozen=True)
class Step:
    """One thing that somebody does, after waiting."""

    wait_ms: int
    what: str
    who: str
    symbol: str
    side: Side
    size: int  # in steps of the contract
    offset: int  # in ticks from the last price
    pick: int  # chooses among what there is
    words: tuple[str, str, str]  # order type, time in force, self-trade prevention
    flag: bool


WHATS: Final = (
    *("place",) * 8,
    *("amend", "amend", "cancel", "cancel_all", "counter_fill", "counter_fill", "algo", "algo", "cancel_algo", "countdown"),
    *("move_price", "move_price", "fund", "liquidate", "deleverage", "settle", "transfer", "leverage", "margin_type", "margin"),
    *("random", "random", "random", "call"),
)
STEPS: Final = st.builds(
    Step,
    wait_ms=st.sampled_from([0, 0, 1, 99, 100, 250, 3000]),
    what=st.sampled_from(WHATS),
    who=st.sampled_from(ACCOUNTS),
    symbol=st.sampled_from(SYMBOLS),
    side=st.sampled_from(Side),
    size=st.one_of(st.sampled_from([1, 2, 3]), st.integers(1, 3000)),
    offset=st.one_of(st.integers(-3, 3), st.integers(-400, 400)),
    pick=st.integers(0, 7),
    words=st.tuples(
        st.sampled_from(["limit", "limit", "limit", "market"]),
        st.sampled_from(["gtc", "gtc", "gtc", "ioc", "fok", "gtx", "gtd"]),
        st.sampled_from(["none", "expire_taker", "expire_maker", "expire_both"]),
    ),
    flag=st.booleans(),
)
GAMES: Final = st.one_of(st.lists(STEPS, max_size=15), st.lists(STEPS, min_size=25, max_size=80))


def opened(seed: int = 5) -> Exchange:
    exchange = Exchange((BTC, ETH, BNB), seed=seed, start_time=START, funding_interval_ms=20_000)
    for account in ACCOUNTS:
        exchange.open_account(account, OPENING)
    exchange.set_hedge_mode(HEDGED, True, START)
    exchange.convert_fee_asset("bob", "BNB")
    return exchange


def leg_side(step: Step) -> PositionSide:
    if step.who != HEDGED:
        return PositionSide.BOTH
    return PositionSide.LONG if step.flag else PositionSide.SHORT


def price_of(exchange: Exchange, step: Step) -> Decimal:
    return exchange.last_price(step.symbol) + exchange.instruments[step.symbol].tick_size * step.offset


def size_of(exchange: Exchange, step: Step) -> Decimal:
    return exchange.instruments[step.symbol].step_size * step.size


def pick(step: Step, orders: list[Order]) -> Order:
    if not orders:
        raise Refused("unknown_order")
    return orders[step.pick % len(orders)]


def place(exchange: Exchange, step: Step, now: Millis) -> None:
    order_type, time_in_force, prevention = step.words
    wish = NewOrder(
        symbol=step.symbol,
        side=step.side,
        position_side=leg_side(step),
        order_type=order_type,
        time_in_force="gtc" if order_type == "market" else time_in_force,
        quantity=size_of(exchange, step),
        price=ZERO if order_type == "market" else price_of(exchange, step),
        client_order_id=f"own-{step.pick}" if step.pick < 2 else "",
        reduce_only=step.flag and step.who != HEDGED and step.pick > 2,
        good_till_time=Millis(now + 600_001),
        self_trade_prevention=prevention,
    )
    exchange.place(step.who, wish, now)


def place_algo(exchange: Exchange, step: Step, now: Millis) -> None:
    kind = ("stop", "stop_market", "take_profit", "take_profit_market", "trailing_stop_market")[step.pick % 5]
    closing = step.flag and kind in {"stop_market", "take_profit_market"}
    trailing = kind == "trailing_stop_market"
    wish = algo(
        kind,
        step.side,
        symbol=step.symbol,
        position_side=leg_side(step),
        quantity=ZERO if closing else size_of(exchange, step),
        price=price_of(exchange, step) if kind in {"stop", "take_profit"} else ZERO,
        trigger_price=ZERO if trailing else price_of(exchange, step),
        callback_rate="0.1" if trailing else ZERO,
        close_position=closing,
        working_type="mark_price" if step.flag else "contract_price",
    )
    exchange.place_algo(step.who, wish, now)


def amend(exchange: Exchange, step: Step, now: Millis) -> None:
    order = pick(step, exchange.open_orders(step.who, step.symbol))
    quantity = size_of(exchange, step) if step.flag else None
    exchange.amend(
        step.who, step.symbol, order_id=order.order_id, side=None, quantity=quantity, price=price_of(exchange, step), modify_id="", now=now
    )


def cancel(exchange: Exchange, step: Step, now: Millis) -> None:
    order = pick(step, exchange.open_orders(step.who))
    exchange.cancel(step.who, order.symbol, order_id=order.order_id, now=now)


def counter_fill(exchange: Exchange, step: Step, now: Millis) -> None:
    order = pick(step, exchange.open_orders(step.who, step.symbol))
    quantity = min(size_of(exchange, step), remaining(order)) if step.flag else None
    exchange.counter_fill(step.who, order.order_id, step.symbol, quantity, now)


def cancel_algo(exchange: Exchange, step: Step, now: Millis) -> None:
    waiting = exchange.algo_orders(step.who, open_only=True)
    if waiting:
        exchange.cancel_algo(step.who, algo_id=waiting[step.pick % len(waiting)].algo_id, now=now)


def move_price(exchange: Exchange, step: Step, now: Millis) -> None:
    far = exchange.instruments[step.symbol].tick_size * step.offset * (30 if step.flag else 1)
    exchange.move_price(step.symbol, exchange.last_price(step.symbol) + far, now)


DEEDS: Final[dict[str, Callable[[Exchange, Step, Millis], object]]] = {
    "place": place,
    "amend": amend,
    "cancel": cancel,
    "cancel_all": lambda exchange, step, now: exchange.cancel_all(step.who, step.symbol, now),
    "counter_fill": counter_fill,
    "algo": place_algo,
    "cancel_algo": cancel_algo,
    "countdown": lambda exchange, step, now: exchange.set_countdown(step.who, step.symbol, step.size, now),
    "move_price": move_price,
    "fund": lambda exchange, step, now: exchange.fund(step.symbol, Decimal(step.offset) / 100_000, now),
    "liquidate": lambda exchange, step, now: exchange.liquidate(step.who, step.symbol, leg_side(step), now),
    "deleverage": lambda exchange, step, now: exchange.auto_deleverage(step.who, step.symbol, leg_side(step), now, size_of(exchange, step)),
    "settle": lambda exchange, step, now: exchange.settle(step.symbol, now) if step.pick == 7 else None,
    "transfer": lambda exchange, step, now: exchange.transfer(
        step.who, "USDT", Decimal(step.offset), now, reason="deposit" if step.offset > 0 else "withdraw"
    ),
    "leverage": lambda exchange, step, now: exchange.set_leverage(step.who, step.symbol, step.size % 130, now),
    "margin_type": lambda exchange, step, now: exchange.set_margin_type(step.who, step.symbol, "isolated" if step.flag else "cross", now),
    "margin": lambda exchange, step, now: exchange.add_isolated_margin(step.who, step.symbol, leg_side(step), Decimal(step.offset), now),
    "random": lambda exchange, step, now: exchange.trade_randomly(step.who, now),
    "call": lambda exchange, step, now: exchange.margin_call(step.who, now),
}


def play(exchange: Exchange, steps: Iterable[Step]) -> list[Happening]:
    """Carry the game out; a refused step must leave no trace."""
    told: list[Happening] = []
    now = START
    for step in steps:
        now = Millis(now + step.wait_ms)
        exchange.advance(now)
        told += exchange.drain()
        try:
            DEEDS[step.what](exchange, step, now)
        except Refused:
            assert exchange.drain() == []
        told += exchange.drain()
    return told


@dataclass
class Witness:
    """Keeps its own books from nothing but what the exchange tells."""

    orders: dict[tuple[str, int], Order] = field(default_factory=dict)
    fills: list[tuple[Fill, Execution]] = field(default_factory=list)
    amounts: dict[tuple[str, str, PositionSide], Decimal] = field(default_factory=dict)
    positions: dict[tuple[str, str, PositionSide], Position] = field(default_factory=dict)
    balances: dict[tuple[str, str], Balance] = field(default_factory=dict)
    algos: dict[int, AlgoOrder] = field(default_factory=dict)

    def hear(self, happening: Happening) -> None:
        match happening:
            case OrderHappened():
                self._hear_order(happening)
            case AccountHappened():
                for balance in happening.balances:
                    self.balances[balance.account, balance.asset] = balance
                for position in happening.positions:
                    self.positions[position.account, position.symbol, position.position_side] = position
            case AlgoHappened():
                self.algos[happening.algo.algo_id] = happening.algo
            case _:
                return

    def _hear_order(self, happening: OrderHappened) -> None:
        order, key = happening.order, (happening.account, happening.order.order_id)
        before = self.orders.get(key)
        assert (before is None) == (happening.execution is Execution.NEW)
        assert before is None or is_open(before), "an ended order came back"
        assert (happening.fill is not None) == (happening.execution in {Execution.TRADE, Execution.CALCULATED})
        self.orders[key] = order
        if happening.fill is not None:
            self._hear_fill(order, before, happening.fill, happening.execution)
        worth = self._worth(order.account, order.symbol)
        assert (happening.bid_notional, happening.ask_notional) == (worth[Side.BUY], worth[Side.SELL])

    def _hear_fill(self, order: Order, before: Order | None, fill: Fill, execution: Execution) -> None:
        assert before is not None
        assert order.filled_quantity == before.filled_quantity + fill.quantity
        assert order.filled_quote == before.filled_quote + fill.quote_quantity
        key = (fill.account, fill.symbol, fill.position_side)
        held = self.amounts.get(key, ZERO)
        self.amounts[key] = held + signed(fill.side, fill.quantity)
        if order.reduce_only:
            assert held * self.amounts[key] >= 0 and abs(self.amounts[key]) < abs(held), "a reducing order opened something"
        if fill.position_side is PositionSide.LONG:
            assert self.amounts[key] >= 0
        if fill.position_side is PositionSide.SHORT:
            assert self.amounts[key] <= 0
        self.fills.append((fill, execution))

    def _worth(self, account: str, symbol: str) -> dict[Side, Decimal]:
        worth = {Side.BUY: ZERO, Side.SELL: ZERO}
        for order in self.orders.values():
            if order.account == account and order.symbol == symbol and is_open(order):
                worth[order.side] += order.price * remaining(order)
        return worth


def witness(told: Iterable[Happening]) -> Witness:
    heard = Witness()
    for happening in told:
        heard.hear(happening)
    return heard


@given(GAMES)
def test_orders_are_the_sum_of_their_fills(steps: list[Step]) -> None:
    exchange = opened()
    play(exchange, steps)
    for account in ACCOUNTS:
        fills = exchange.fills(account)
        for order in exchange.orders(account):
            own = [fill for fill in fills if fill.order_id == order.order_id]
            assert sum((fill.quantity for fill in own), ZERO) == order.filled_quantity <= order.quantity
            assert sum((fill.quote_quantity for fill in own), ZERO) == order.filled_quote
            assert all(fill.client_order_id == order.client_order_id and fill.side is order.side for fill in own)
            if own:
                assert order.average_price == money(order.filled_quote / order.filled_quantity)


@given(GAMES)
def test_positions_are_the_sum_of_the_fills_and_wallets_of_the_income(steps: list[Step]) -> None:
    exchange = opened()
    play(exchange, steps)
    for account in ACCOUNTS:
        for position in exchange.positions(account, all=True):
            own = [fill for fill in exchange.fills(account, position.symbol) if fill.position_side is position.position_side]
            assert position.amount == sum((signed(fill.side, fill.quantity) for fill in own), ZERO)
            assert position.realized_pnl == sum((fill.realized_pnl for fill in own), ZERO)
        for balance in exchange.balances(account):
            lines = [line for line in exchange.income(account) if line.asset == balance.asset]
            assert balance.wallet == OPENING[balance.asset] + sum((line.amount for line in lines), ZERO)
            isolated = sum((each.isolated_wallet for each in exchange.positions(account, all=True)), ZERO)
            assert balance.cross_wallet == balance.wallet - (isolated if balance.asset == "USDT" else ZERO)


@given(GAMES)
def test_what_is_told_rebuilds_the_books(steps: list[Step]) -> None:
    exchange = opened()
    heard = witness(play(exchange, steps))
    for account in ACCOUNTS:
        assert [order for (owner, _), order in heard.orders.items() if owner == account] == exchange.orders(account)
        assert [fill for fill, _ in heard.fills if fill.account == account] == exchange.fills(account)
        assert [each for each in heard.algos.values() if each.account == account] == exchange.algo_orders(account)
        for position in exchange.positions(account, all=True):
            key = (account, position.symbol, position.position_side)
            told = heard.positions.get(key)
            assert heard.amounts.get(key, ZERO) == position.amount
            if told is not None:
                names = ("amount", "entry_price", "break_even_price", "realized_pnl", "isolated_wallet", "margin_type", "updated_time")
                assert [getattr(told, name) for name in names] == [getattr(position, name) for name in names]
        for balance in exchange.balances(account):
            last = heard.balances.get((account, balance.asset))
            assert (last.wallet if last else OPENING[balance.asset]) == balance.wallet
            assert last is None or last.cross_wallet == balance.cross_wallet


@given(GAMES)
def test_ids_are_unique_and_grow_and_each_trade_has_at_most_two_opposite_halves(steps: list[Step]) -> None:
    exchange = opened()
    told = play(exchange, steps)
    created = [each.order.order_id for each in told if isinstance(each, OrderHappened) and each.execution is Execution.NEW]
    assert created == sorted(set(created))
    assert all(number > 10**9 for number in created)
    for symbol in SYMBOLS:
        fills = [fill for fill, _ in witness(told).fills if fill.symbol == symbol]
        numbers = [fill.trade_id for fill in fills]
        assert numbers == sorted(numbers)
        for one, two in pairwise(fills):
            if one.trade_id == two.trade_id:
                assert (one.price, one.quantity) == (two.price, two.quantity)
                assert (one.side, one.maker) != (two.side, two.maker) and one.side is not two.side
        assert all(numbers.count(number) <= 2 for number in numbers)


@given(GAMES)
def test_times_never_go_back_and_each_execution_is_followed_by_its_account_news(steps: list[Step]) -> None:
    told = play(opened(), steps)
    assert [each.time for each in told] == sorted(each.time for each in told)
    for place_in_line, each in enumerate(told):
        if isinstance(each, OrderHappened) and each.fill is not None:
            follower = told[place_in_line + 1]
            assert isinstance(follower, AccountHappened)
            assert (follower.account, follower.time, follower.reason) == (each.account, each.time, "order")
            assert [position.position_side for position in follower.positions] == [each.fill.position_side]


@given(GAMES, st.integers(0, 3))
def test_the_same_seed_and_the_same_calls_give_the_same_books(steps: list[Step], seed: int) -> None:
    one, two = opened(seed), opened(seed)
    assert play(one, steps) == play(two, steps)
    for account in ACCOUNTS:
        assert one.balances(account) == two.balances(account)
        assert one.positions(account) == two.positions(account)


@given(GAMES, st.lists(st.integers(1, 900), max_size=20))
def test_time_may_pass_in_any_portions(steps: list[Step], portions: list[int]) -> None:
    whole, parts = opened(), opened()
    assert play(whole, steps) == play(parts, steps)
    start = whole.time
    for portion in portions:
        parts.advance(Millis(parts.time + portion))
    whole.advance(Millis(start + sum(portions)))
    assert whole.drain() == parts.drain()
    assert whole.mark_price("BTCUSDT") == parts.mark_price("BTCUSDT")


@given(GAMES)
def test_nothing_open_is_left_where_it_could_trade_or_has_nothing_to_reduce(steps: list[Step]) -> None:
    exchange = opened()
    play(exchange, steps)
    for symbol in SYMBOLS:
        orders = [order for account in ACCOUNTS for order in exchange.open_orders(account, symbol)]
        bids = [order for order in orders if order.side is Side.BUY]
        asks = [order for order in orders if order.side is Side.SELL]
        assert not any(bid.price >= ask.price for bid in bids for ask in asks)
        assert all(order.status not in FINAL and remaining(order) > 0 for order in orders)
    for account in ONE_WAY:
        for order in exchange.open_orders(account):
            if order.reduce_only:
                held = exchange.position(account, order.symbol, PositionSide.BOTH).amount
                assert held * signed(order.side, Decimal(1)) < 0


@pytest.mark.slow
@settings(max_examples=5)
@given(st.integers(0, 10_000))
def test_a_long_day_of_random_trading_keeps_all_books(seed: int) -> None:
    exchange = opened(seed)
    told: list[Happening] = []
    for minute in range(300):
        for account in ACCOUNTS:
            exchange.trade_randomly(account, later(minute * 777))
        told += exchange.drain()
    heard = witness(told)
    for account in ACCOUNTS:
        assert [order for (owner, _), order in heard.orders.items() if owner == account] == exchange.orders(account)
        assert len(exchange.fills(account)) > 50
        for balance in exchange.balances(account):
            lines = [line for line in exchange.income(account) if line.asset == balance.asset]
            assert balance.wallet == OPENING[balance.asset] + sum((line.amount for line in lines), ZERO)
