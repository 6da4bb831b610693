"""Inverse contracts: profit, fees, funding, margin and liquidation in coins; and one position mode for two exchanges."""

from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from userstream.sim.books import AccountHappened, MarginCallHappened, Millis, NewOrder, OrderHappened, PositionSide, Refused, Side
from userstream.sim.exchange import Exchange
from userstream.sim.instruments import DEFAULT_INSTRUMENTS, DEFAULT_INVERSE, DELIVERY_OF_DECEMBER
from userstream.sim.ledger import money

START = Millis(1_790_000_000_000)
SYMBOL, QUARTER = "BTCUSD_PERP", "BTCUSD_261225"
COINS = {"BTC": Decimal(2), "ETH": Decimal(50)}


def open_exchange(seed: int = 0, coins: dict[str, Decimal] | None = None) -> Exchange:
    exchange = Exchange(DEFAULT_INVERSE, seed=seed, start_time=START, tells_all_positions=True)
    exchange.open_account("alice", COINS if coins is None else coins)
    return exchange


def limit(side: Side, price: str, quantity: int, **changes: object) -> NewOrder:
    return NewOrder(symbol=SYMBOL, side=side, quantity=Decimal(quantity), price=Decimal(price), **changes)  # type: ignore[arg-type]


def fill(exchange: Exchange, side: Side, price: str, quantity: int, now: int = START) -> None:
    """Trade at exactly this price: the order rests and the outside takes it."""
    away = Decimal(price) + (-500 if side is Side.BUY else 500)
    order = exchange.place("alice", limit(side, f"{away:f}", quantity), Millis(now))
    exchange.counter_fill("alice", order.order_id, SYMBOL, None, Millis(now), price=Decimal(price))


def wallet(exchange: Exchange, asset: str = "BTC") -> Decimal:
    return next(each.wallet for each in exchange.balances("alice") if each.asset == asset)


def test_profit_and_fee_are_paid_in_the_coin() -> None:
    exchange = open_exchange()
    fill(exchange, Side.BUY, "80000", 80)
    fill(exchange, Side.SELL, "81000", 80)
    first, second = exchange.fills("alice")
    assert (first.fee, first.fee_asset, first.quote_quantity) == (Decimal("0.00002000"), "BTC", Decimal(8000))
    assert second.realized_pnl == money(80 * 100 * (1 / Decimal(80000) - 1 / Decimal(81000)))
    assert wallet(exchange) == 2 - first.fee - second.fee + second.realized_pnl


def test_the_average_price_of_an_order_is_that_of_its_coins() -> None:
    exchange = open_exchange()
    order = exchange.place("alice", limit(Side.BUY, "80000", 30), START)
    exchange.counter_fill("alice", order.order_id, SYMBOL, Decimal(10), START, price=Decimal(60000))
    exchange.counter_fill("alice", order.order_id, SYMBOL, Decimal(20), START, price=Decimal(80000))
    found = exchange.order("alice", SYMBOL, order_id=order.order_id)
    assert found.average_price == money(Decimal(30) / (Decimal(10) / 60000 + Decimal(20) / 80000))
    position = exchange.position("alice", SYMBOL, PositionSide.BOTH)
    assert position.entry_price == found.average_price
    assert position.amount == 30


def test_open_orders_are_told_in_coins_and_leave_nothing_behind() -> None:
    exchange = open_exchange()
    orders = [exchange.place("alice", limit(Side.BUY, f"{79000 + place * 7}", 7 + place), START) for place in range(5)]
    news = [each for each in exchange.drain() if isinstance(each, OrderHappened)]
    assert news[0].bid_notional == money(Decimal(700) / 79000)
    for order in orders:
        exchange.cancel("alice", SYMBOL, order_id=order.order_id, now=START)
    assert [each for each in exchange.drain() if isinstance(each, OrderHappened)][-1].bid_notional == 0
    assert next(each for each in exchange.balances("alice") if each.asset == "BTC").available == 2


def test_funding_is_paid_in_the_coin_and_not_on_a_contract_that_is_delivered() -> None:
    exchange = open_exchange()
    fill(exchange, Side.BUY, "81000", 81)
    before = wallet(exchange)
    exchange.fund(SYMBOL, Decimal("0.0001"), START)
    mark = exchange.mark_price(SYMBOL)
    assert wallet(exchange) - before == money(-Decimal(8100) / mark * Decimal("0.0001"))
    exchange.drain()
    exchange.advance(Millis(START + 9 * 3_600_000))
    funded = {each.symbol for each in exchange.income("alice") if each.income_type == "funding_fee"}
    assert funded == {SYMBOL}


def test_news_show_all_positions_the_account_ever_had() -> None:
    exchange = open_exchange()
    fill(exchange, Side.BUY, "81000", 1)
    exchange.place("alice", NewOrder(symbol="ETHUSD_PERP", side=Side.BUY, order_type="market", quantity=Decimal(1)), START)
    *_, last = (each for each in exchange.drain() if isinstance(each, AccountHappened))
    assert [each.symbol for each in last.positions] == ["ETHUSD_PERP", SYMBOL]
    assert [each.asset for each in last.balances] == ["ETH"]


def test_a_fall_calls_and_then_liquidates_a_long_in_coins() -> None:
    exchange = open_exchange(coins={"BTC": Decimal("0.1")})
    exchange.set_leverage("alice", SYMBOL, 50, START)
    fill(exchange, Side.BUY, "81000", 1000)
    price = exchange.position("alice", SYMBOL, PositionSide.BOTH).liquidation_price
    assert 60000 < price < 81000
    exchange.drain()
    exchange.move_price(SYMBOL, Decimal(int(price * Decimal("1.0005"))), Millis(START + 1))
    assert any(isinstance(each, MarginCallHappened) for each in exchange.drain())
    exchange.move_price(SYMBOL, Decimal(int(price)) - 10, Millis(START + 2))
    assert exchange.position("alice", SYMBOL, PositionSide.BOTH).amount == 0
    assert exchange.orders("alice")[-1].client_order_id.startswith("autoclose-")
    assert wallet(exchange) >= 0


def test_a_contract_is_delivered_at_its_date() -> None:
    exchange = Exchange(DEFAULT_INVERSE, start_time=Millis(DELIVERY_OF_DECEMBER - 1000), funding_interval_ms=0)
    exchange.open_account("alice", COINS)
    exchange.place("alice", NewOrder(symbol=QUARTER, side=Side.BUY, order_type="market", quantity=Decimal(3)), exchange.time)
    exchange.advance(Millis(DELIVERY_OF_DECEMBER + 1))
    assert exchange.position("alice", QUARTER, PositionSide.BOTH).amount == 0
    assert exchange.orders("alice")[-1].client_order_id.startswith("delivery_autoclose-")


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10_000), st.booleans())
def test_whatever_a_trader_does_the_wallets_are_their_cash_lines_and_the_positions_their_fills(seed: int, hedged: bool) -> None:
    exchange, now = open_exchange(seed), int(START)
    if hedged:
        exchange.set_hedge_mode("alice", True, START)
    for _ in range(120):
        now += 700
        exchange.trade_randomly("alice", Millis(now))
    for asset, opening in COINS.items():
        assert wallet(exchange, asset) == opening + sum(each.amount for each in exchange.income("alice") if each.asset == asset)
    for position in exchange.positions("alice", all=True):
        signs = {Side.BUY: 1, Side.SELL: -1}
        fills = [each for each in exchange.fills("alice", position.symbol) if each.position_side is position.position_side]
        assert position.amount == sum(signs[each.side] * each.quantity for each in fills)
    assert len(exchange.fills("alice")) > 5


# --- one mode for two exchanges ------------------------------------------------------------------------------------------


def bound() -> tuple[Exchange, Exchange]:
    linear, inverse = Exchange(DEFAULT_INSTRUMENTS, start_time=START), open_exchange()
    linear.open_account("bob", {"USDT": Decimal(10_000)})
    linear.bind("bob", inverse, "alice")
    return linear, inverse


@pytest.mark.parametrize("from_inverse", [False, True])
def test_the_position_mode_is_one_setting(from_inverse: bool) -> None:
    linear, inverse = bound()
    if from_inverse:
        inverse.set_hedge_mode("alice", True, START)
    else:
        linear.set_hedge_mode("bob", True, START)
    assert linear.settings("bob").hedge_mode
    assert inverse.settings("alice").hedge_mode


def test_an_open_order_or_position_at_the_other_exchange_forbids_the_change() -> None:
    linear, inverse = bound()
    order = inverse.place("alice", limit(Side.BUY, "80000", 1), START)
    with pytest.raises(Refused) as refused:
        linear.set_hedge_mode("bob", True, START)
    assert refused.value.rule == "mode_change_open_orders"
    inverse.counter_fill("alice", order.order_id, SYMBOL, None, START)
    with pytest.raises(Refused) as refused:
        linear.set_hedge_mode("bob", True, START)
    assert refused.value.rule == "mode_change_open_positions"
    assert not linear.settings("bob").hedge_mode
