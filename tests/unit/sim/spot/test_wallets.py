"""One account's money: nothing is ever negative, nothing appears or vanishes without a line."""

from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from tests.unit.sim.spot.kit import START, later, refusal
from userstream.sim.books import ZERO, Refused
from userstream.sim.spot.wallets import Wallets

AMOUNT = st.decimals(min_value=0, max_value=1000, places=8)
STEPS = st.lists(st.tuples(st.sampled_from(["lock", "unlock", "hold", "release", "post", "pay"]), AMOUNT), max_size=40)


@given(opening=AMOUNT, steps=STEPS)
def test_whatever_is_asked_the_parts_stay_positive_and_the_whole_is_its_lines(opening: Decimal, steps: list[tuple[str, Decimal]]) -> None:
    wallets = Wallets("alice", {"BTC": opening}, START)
    wallet = wallets.wallets["BTC"]
    for what, amount in steps:
        before = (wallet.free, wallet.locked, wallet.held, len(wallets.income))
        try:
            match what:
                case "lock":
                    wallets.lock("BTC", amount, START)
                case "unlock":
                    wallets.unlock("BTC", min(amount, wallet.locked), START)
                case "hold":
                    wallets.hold("BTC", amount, START)
                case "release":
                    wallets.hold("BTC", -amount, START)
                case "post":
                    wallets.post("transfer", "BTC", amount, START)
                case _:
                    wallets.post("transfer", "BTC", -amount, START)
        except Refused as refused:
            assert refused.rule == "balance_insufficient"
            assert before == (wallet.free, wallet.locked, wallet.held, len(wallets.income))
        assert min(wallet.free, wallet.locked, wallet.held) >= ZERO
        assert wallet.total == opening + sum((line.amount for line in wallets.income), ZERO)


def test_a_balance_shows_the_whole_and_the_free_part() -> None:
    wallets = Wallets("alice", {"BTC": Decimal(5)}, START)
    wallets.lock("BTC", Decimal(2), later(5))
    wallets.hold("BTC", Decimal(1), later(6))
    shown = wallets.balance("BTC")
    assert (shown.wallet, shown.available) == (Decimal(5), Decimal(2))
    assert shown.updated_time == later(6)
    assert wallets.updated_time == later(6)
    assert wallets.balance("ETH").wallet == wallets.free("ETH") == wallets.total("ETH") == 0


def test_lines_are_numbered_and_say_where_they_come_from() -> None:
    wallets = Wallets("alice", {}, START)
    wallets.post("transfer", "USDT", Decimal(10), START, info="DEPOSIT")
    wallets.post("trade", "USDT", Decimal(-3), START, symbol="BTCUSDT", trade_id="7")
    first, second = wallets.income
    assert (first.info, second.info, second.trade_id) == ("DEPOSIT", "TRADE", "7")
    assert second.transaction_id == first.transaction_id + 1


def test_nobody_unlocks_what_others_did_not_lock() -> None:
    wallets = Wallets("alice", {"BTC": Decimal(5)}, START)
    assert refusal(lambda: wallets.hold("BTC", Decimal(-1), START)) == "balance_insufficient"
    assert refusal(lambda: wallets.lock("ETH", Decimal(1), START)) == "balance_insufficient"
