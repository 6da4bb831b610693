"""The account that plays by itself: lively, solvent, and the same for the same seed."""

from collections import Counter
from decimal import Decimal

import pytest

from tests.unit.sim.spot.kit import PAIRS, START, check_books, later
from userstream.sim.books import AccountHappened, Execution, Happening, ListHappened
from userstream.sim.spot.books import SpotOrderHappened, spot_order
from userstream.sim.spot.exchange import SpotExchange

OPENING = {"USDT": Decimal(10_000)}


def exchange(seed: int, usdt: str = "10000") -> SpotExchange:
    made = SpotExchange(PAIRS, seed=seed, start_time=START)
    for account in ("alice", "carol"):
        made.open_account(account, {"USDT": Decimal(usdt)})
    return made


def traded(made: SpotExchange, actions: int, pause_ms: int = 200) -> list[Happening]:
    for action in range(actions):
        for account in made.accounts():
            made.trade_randomly(account, later(action * pause_ms))
    return made.drain()


def test_a_healthy_mix() -> None:
    made = exchange(3)
    told = traded(made, 1200)
    orders = [each for each in told if isinstance(each, SpotOrderHappened)]
    seen = Counter(each.execution for each in orders)
    assert seen.keys() >= {
        Execution.NEW,
        Execution.TRADE,
        Execution.CANCELED,
        Execution.EXPIRED,
        Execution.AMENDMENT,
        Execution.TRADE_PREVENTION,
    }
    assert min(seen[each] for each in (Execution.NEW, Execution.TRADE, Execution.CANCELED, Execution.AMENDMENT)) > 30
    assert {each.order.order_type for each in orders} == {
        "limit",
        "market",
        "limit_maker",
        "stop_loss",
        "stop_loss_limit",
        "take_profit",
        "take_profit_limit",
    }
    assert {each.order.status for each in orders} >= {"new", "pending_new", "partially_filled", "filled", "canceled", "expired"}
    assert {each.status_type for each in told if isinstance(each, ListHappened)} == {"exec_started", "updated", "all_done"}
    assert {each.reason for each in told if isinstance(each, AccountHappened)} == {"order", "deposit", "withdraw"}
    assert len({each.fill.symbol for each in orders if each.fill is not None}) == len(PAIRS)
    check_books(made, OPENING)


def test_the_same_seed_trades_the_same() -> None:
    assert traded(exchange(3), 100) == traded(exchange(3), 100)
    assert traded(exchange(3), 100) != traded(exchange(4), 100)


def test_a_poor_account_pays_money_in() -> None:
    made = exchange(1, usdt="1")
    made.trade_randomly("alice", START)
    assert [(line.info, line.amount) for line in made.income("alice")] == [("DEPOSIT", Decimal(5000))]


def test_of_a_pair_only_one_order_ever_traded() -> None:
    made = exchange(11)
    traded(made, 800, 1000)
    lists = made.order_lists("alice")
    assert len(lists) > 20
    for each in lists:
        legs = [spot_order(made.order("alice", each.symbol, order_id=order_id)) for order_id in each.pair]
        assert sum(bool(leg.filled_quantity) for leg in legs) <= 1


@pytest.mark.slow
def test_accounts_stay_alive_and_their_orders_bounded() -> None:
    made = exchange(9)
    for action in range(1500):
        for account in made.accounts():
            made.trade_randomly(account, later(action * 5_000))
        made.drain()
    check_books(made, OPENING)
    for account in made.accounts():
        late = [fill for fill in made.fills(account) if fill.time > later(6_000_000)]
        assert len(late) > 50
        assert len(made.open_orders(account)) < 80
        assert len(made.order_lists(account, open_only=True)) < 40
