"""A margin user who plays alone."""

from decimal import Decimal

from hypothesis import given, settings
from hypothesis import strategies as st

from userstream.sim.books import Millis
from userstream.sim.spot.exchange import SpotExchange
from userstream.sim.spot.instruments import DEFAULT_PAIRS

START = Millis(1_790_000_000_000)
OPENING = {"USDT": Decimal(20_000), "BTC": Decimal("0.2")}


def play(seed: int, actions: int = 120, pause_ms: int = 3000) -> SpotExchange:
    exchange, now = SpotExchange(DEFAULT_PAIRS, seed=seed, start_time=START), int(START)
    exchange.open_margin_account("alice", OPENING)
    exchange.margin_account("alice", "BTCUSDT")
    exchange.transfer("alice.BTCUSDT", "USDT", Decimal(5000), START)
    for place in range(actions):
        now += pause_ms
        exchange.trade_randomly("alice" if place % 3 else "alice.BTCUSDT", Millis(now))
    return exchange


def test_it_borrows_pays_back_and_trades() -> None:
    exchange = play(7, 250)
    kinds = {line.kind for line in exchange.loans("alice")}
    assert {"borrow", "repay"} <= kinds
    assert len(exchange.fills("alice")) > 10
    assert {fill.symbol for fill in exchange.fills("alice.BTCUSDT")} == {"BTCUSDT"}


@settings(max_examples=8, deadline=None)
@given(st.integers(0, 10_000))
def test_whatever_it_does_the_wallets_are_their_lines_and_the_debts_theirs(seed: int) -> None:
    exchange = play(seed)
    signs = {"borrow": 1, "interest": 1, "repay": -1}
    for account in ("alice", "alice.BTCUSDT"):
        opening = OPENING if account == "alice" else {}
        for balance in exchange.balances(account):
            lines = sum(line.amount for line in exchange.income(account) if line.asset == balance.asset)
            assert balance.wallet == opening.get(balance.asset, Decimal(0)) + lines
            assert balance.available >= 0
        owed = {debt.asset: debt.total for debt in exchange.debts(account)}
        for asset in {line.asset for line in exchange.loans(account)}:
            lines = sum(signs[line.kind] * line.amount for line in exchange.loans(account) if line.asset == asset)
            assert owed.get(asset, Decimal(0)) == lines
        assert exchange.lending.level(exchange.margin_of(account)) > Decimal("1.1")


def test_the_same_seed_plays_the_same_game() -> None:
    one, other = play(3), play(3)
    assert one.loans("alice") == other.loans("alice")
    assert one.fills("alice") == other.fills("alice")
