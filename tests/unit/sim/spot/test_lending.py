"""Borrowing, paying back, levels, interest by the hour and forced liquidation."""

from decimal import Decimal

import pytest

from userstream.sim.books import AccountHappened, Fill, LiabilityHappened, MarginLevelHappened, Millis, OrderStatus, Refused, Side
from userstream.sim.spot.books import NewSpotOrder
from userstream.sim.spot.exchange import SpotExchange
from userstream.sim.spot.instruments import DEFAULT_PAIRS
from userstream.sim.spot.lending import NO_DEBT

START = Millis(1_790_000_000_000)
HOUR_MS = 3_600_000
ALICE, PAIR = "alice", "alice.BTCUSDT"


def open_exchange(usdt: int = 10_000) -> SpotExchange:
    exchange = SpotExchange(DEFAULT_PAIRS, start_time=START)
    exchange.open_margin_account(ALICE, {"USDT": Decimal(usdt)})
    exchange.drain()
    return exchange


def buy(quantity: str, **changes: object) -> NewSpotOrder:
    return NewSpotOrder(symbol="BTCUSDT", side=Side.BUY, order_type="market", quantity=Decimal(quantity), **changes)  # type: ignore[arg-type]


def sell(quantity: str, **changes: object) -> NewSpotOrder:
    return NewSpotOrder(symbol="BTCUSDT", side=Side.SELL, order_type="market", quantity=Decimal(quantity), **changes)  # type: ignore[arg-type]


def free(exchange: SpotExchange, account: str, asset: str) -> Decimal:
    return next((each.available for each in exchange.balances(account) if each.asset == asset), Decimal(0))


def owed(exchange: SpotExchange, account: str = ALICE) -> dict[str, Decimal]:
    return {debt.asset: debt.total for debt in exchange.debts(account)}


def refused(exchange: SpotExchange, account: str, asset: str, amount: str) -> str:
    with pytest.raises(Refused) as wrong:
        exchange.borrow(account, asset, Decimal(amount), START)
    return wrong.value.rule


def test_borrowing_gives_the_money_and_notes_the_debt() -> None:
    exchange = open_exchange()
    exchange.borrow(ALICE, "USDT", Decimal(5000), START)
    assert free(exchange, ALICE, "USDT") == 15_000
    assert owed(exchange) == {"USDT": Decimal("5000.0625")}
    kinds = [type(each) for each in exchange.drain()]
    assert kinds == [AccountHappened, LiabilityHappened]


@pytest.mark.parametrize(
    ("account", "asset", "amount", "rule"),
    [
        (ALICE, "USDT", "20001", "borrow_too_much"),
        (ALICE, "USDT", "0", "bad_amount"),
        (ALICE, "USDT", "0.000000001", "bad_amount"),
        (ALICE, "XYZ", "1", "asset_not_lent"),
        ("alice.spot", "USDT", "1", "no_margin_account"),
    ],
)
def test_what_is_not_lent(account: str, asset: str, amount: str, rule: str) -> None:
    exchange = open_exchange()
    assert refused(exchange, account, asset, amount) == rule
    assert exchange.drain() == []


def test_a_cross_account_may_owe_two_thirds_and_an_isolated_one_four_fifths() -> None:
    exchange = open_exchange()
    exchange.margin_account(ALICE, "BTCUSDT")
    exchange.move_between(ALICE, PAIR, "USDT", Decimal(1000), START)
    assert exchange.lending.borrowable(exchange.margin_of(ALICE), "USDT") == 18_000
    assert exchange.lending.borrowable(exchange.margin_of(PAIR), "USDT") == 4000
    assert refused(exchange, PAIR, "ETH", "0.1") == "asset_not_lent"


def test_the_level_is_assets_over_debts() -> None:
    exchange = open_exchange()
    assert exchange.lending.level(exchange.margin_of(ALICE)) == NO_DEBT
    exchange.borrow(ALICE, "USDT", Decimal(10_000), START)
    assert exchange.lending.level(exchange.margin_of(ALICE)) == Decimal(20_000) / Decimal("10000.125")


def test_only_what_leaves_the_level_high_may_leave_the_account() -> None:
    exchange = open_exchange()
    exchange.borrow(ALICE, "USDT", Decimal(8000), START)
    owner = exchange.margin_of(ALICE)
    most = exchange.lending.transferable(owner, "USDT")
    assert most == 18_000 - 2 * Decimal("8000.1")
    with pytest.raises(Refused) as wrong:
        exchange.move_between(ALICE, "alice.spot", "USDT", most + 1, START)
    assert wrong.value.rule == "balance_insufficient"
    exchange.move_between(ALICE, "alice.spot", "USDT", most, START)
    assert free(exchange, "alice.spot", "USDT") == most
    assert exchange.lending.level(owner) == 2


def test_paying_back_all_ends_the_debt() -> None:
    exchange = open_exchange()
    exchange.borrow(ALICE, "USDT", Decimal(1000), START)
    line = exchange.repay(ALICE, "USDT", None, START)
    assert (line.principal, line.interest, line.owed) == (Decimal(1000), Decimal("0.0125"), Decimal(0))
    assert owed(exchange) == {}
    for amount, rule in ((Decimal(1), "nothing_owed"), (None, "nothing_owed")):
        with pytest.raises(Refused) as wrong:
            exchange.repay(ALICE, "USDT", amount, START)
        assert wrong.value.rule == rule


def test_more_than_is_owed_cannot_be_paid_back() -> None:
    exchange = open_exchange()
    exchange.borrow(ALICE, "USDT", Decimal(1000), START)
    with pytest.raises(Refused) as wrong:
        exchange.repay(ALICE, "USDT", Decimal(1001), START)
    assert wrong.value.rule == "repay_too_much"


def test_interest_comes_at_full_hours_and_is_told() -> None:
    start = Millis(START // HOUR_MS * HOUR_MS - 1000)
    exchange = SpotExchange(DEFAULT_PAIRS[:1], start_time=start)
    exchange.open_margin_account(ALICE, {"USDT": Decimal(10_000)})
    exchange.borrow(ALICE, "USDT", Decimal(1000), start)
    exchange.drain()
    exchange.advance(Millis(exchange.time + HOUR_MS + 2000))
    told = [each for each in exchange.drain() if isinstance(each, LiabilityHappened)]
    assert [(each.kind, each.interest) for each in told] == [("interest", Decimal("0.0125"))] * 2
    assert all(each.time % HOUR_MS == 0 for each in told)
    assert owed(exchange) == {"USDT": Decimal("1000.0375")}


def test_a_price_that_falls_warns_and_one_that_rises_gives_the_all_clear() -> None:
    exchange = open_exchange(10_000)
    exchange.borrow(ALICE, "USDT", Decimal(18_000), START)
    exchange.place(ALICE, buy("0.3"), START)
    exchange.drain()
    for price in ("60000", "79000"):
        exchange.move_price("BTCUSDT", Decimal(price), START)
    told = [each for each in exchange.drain() if isinstance(each, MarginLevelHappened)]
    assert [each.status for each in told] == ["margin_call", "normal"]
    assert Decimal("1.1") < told[0].level <= Decimal("1.3")


def test_a_level_that_fell_too_deep_is_liquidated_and_owes_nothing() -> None:
    exchange = open_exchange(10_000)
    exchange.borrow(ALICE, "USDT", Decimal(18_000), START)
    exchange.place(ALICE, buy("0.3"), START)
    resting = exchange.place(
        ALICE, NewSpotOrder(symbol="BTCUSDT", side=Side.SELL, order_type="limit", quantity=Decimal("0.1"), price=Decimal(90_000)), START
    )
    exchange.drain()
    exchange.move_price("BTCUSDT", Decimal(50_000), START)
    assert exchange.order(ALICE, "BTCUSDT", order_id=resting.order_id).status is OrderStatus.EXPIRED
    assert owed(exchange) == {}
    assert free(exchange, ALICE, "BTC") < Decimal("0.3")
    statuses = [each.status for each in exchange.drain() if isinstance(each, MarginLevelHappened)]
    assert statuses[0] == "force_liquidation"
    opening = {"USDT": Decimal(10_000)}
    for balance in exchange.balances(ALICE):
        lines = sum(line.amount for line in exchange.income(ALICE) if line.asset == balance.asset)
        assert balance.wallet == opening.get(balance.asset, Decimal(0)) + lines


def test_the_insurance_fund_pays_what_the_account_cannot() -> None:
    exchange = open_exchange(10_000)
    exchange.borrow(ALICE, "USDT", Decimal(18_000), START)
    exchange.place(ALICE, buy("0.34"), START)
    exchange.move_price("BTCUSDT", Decimal(30_000), START)
    assert owed(exchange) == {}
    assert any(line.income_type == "insurance_clear" for line in exchange.income(ALICE))


def test_isolated_levels_are_told_to_nobody_but_end_the_same() -> None:
    exchange = open_exchange()
    exchange.margin_account(ALICE, "BTCUSDT")
    exchange.move_between(ALICE, PAIR, "USDT", Decimal(1000), START)
    exchange.borrow(PAIR, "USDT", Decimal(3900), START)
    exchange.place(PAIR, buy("0.06"), START)
    exchange.drain()
    exchange.move_price("BTCUSDT", Decimal(60_000), START)
    assert not [each for each in exchange.drain() if isinstance(each, MarginLevelHappened)]
    assert owed(exchange, PAIR) == {}


# --- orders with side effects --------------------------------------------------------------------------------------------


def test_a_buying_order_borrows_just_what_is_missing() -> None:
    exchange = open_exchange(1000)
    order = exchange.place(ALICE, buy("0.02", side_effect="margin_buy"), START)
    paid = order.filled_quote
    assert order.borrowed == exchange.loans(ALICE)[0].principal
    assert 600 < order.borrowed < 650
    assert abs(paid - 1000 - order.borrowed) < 1
    assert exchange.loans(ALICE)[0].automatic


def test_an_order_that_could_not_borrow_enough_leaves_nothing_behind() -> None:
    exchange = open_exchange(1000)
    with pytest.raises(Refused) as wrong:
        exchange.place(ALICE, buy("0.05", side_effect="margin_buy"), START)
    assert wrong.value.rule == "borrow_too_much"
    assert (owed(exchange), exchange.orders(ALICE), exchange.drain()) == ({}, [], [])


def test_a_selling_order_pays_back_what_it_brings_in() -> None:
    exchange = open_exchange(1000)
    exchange.place(ALICE, buy("0.02", side_effect="auto_borrow_repay"), START)
    before = owed(exchange)["USDT"]
    exchange.place(ALICE, sell("0.005", side_effect="auto_repay"), START)
    fill: Fill = exchange.fills(ALICE)[-1]
    assert before - owed(exchange)["USDT"] > fill.quote_quantity * Decimal("0.99")
    exchange.place(ALICE, sell("0.01", side_effect="auto_repay"), START)
    assert owed(exchange) == {}


@pytest.mark.parametrize(
    ("account", "wish", "rule"),
    [
        (ALICE, buy("0.01", side_effect="borrow_the_moon"), "bad_side_effect"),
        ("alice.spot", buy("0.01", side_effect="margin_buy"), "no_margin_account"),
        (PAIR, NewSpotOrder(symbol="ETHUSDT", side=Side.BUY, order_type="market", quantity=Decimal(1)), "only_own_pair"),
        (ALICE, NewSpotOrder(symbol="BNBBTC", side=Side.BUY, order_type="market", quantity=Decimal(1)), "no_margin_pair"),
    ],
)
def test_orders_that_are_not_for_this_account(account: str, wish: NewSpotOrder, rule: str) -> None:
    exchange = open_exchange()
    exchange.margin_account(ALICE, "BTCUSDT")
    with pytest.raises(Refused) as wrong:
        exchange.place(account, wish, START)
    assert wrong.value.rule == rule
