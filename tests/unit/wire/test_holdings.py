"""Balances as a checksum over fills: what adds up is left alone, what does not names the symbols to search."""

from __future__ import annotations

from decimal import Decimal
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.events import balance_moved, balance_set, filled, snapshot_taken
from userstream.domain.account import Account
from userstream.domain.events import Event, GapOpened
from userstream.domain.fold import apply, checkpoint_of
from userstream.domain.words import Source
from userstream.kernel.ids import AccountId, Millis, Symbol, VenueName
from userstream.wire.holdings import MOST_REMEMBERED, MOST_SEARCHED, Holdings
from userstream.wire.question import Pair

NOW: Final = 1_790_000_000_000
PAIRS: Final = tuple(
    Pair(Symbol(base + quote), base, quote)
    for base, quote in (("BTC", "USDT"), ("ETH", "USDT"), ("ETH", "BTC"), ("BNB", "USDT"), ("SOL", "USDT"))
)


class Desk:
    """An account whose first reading is over, with a clock of its own."""

    def __init__(self, **totals: str) -> None:
        self.account = Account(AccountId("alice"), VenueName("binance-spot"))
        self.holdings = Holdings(self.account)
        self.time, self.trades, self.readings = NOW, 0, 0
        self.hold(**totals)
        self.settle()
        self.time += 1_000

    def settle(self) -> None:
        """A full reading ends."""
        self.readings += 1
        told = snapshot_taken(epoch=self.readings, proven_until=NOW + self.readings, unexplained=self.holdings.end_reading())
        apply(self.account, told)

    def hold(self, **totals: str) -> None:
        """What the venue says the wallets hold now."""
        for asset, total in totals.items():
            apply(self.account, balance_set(asset=asset, total=total, transaction_time=self.time, event_time=self.time))

    def fill(
        self, symbol: str = "BTCUSDT", side: str = "buy", quantity: str = "0.5", price: str = "100", fee: str = "0", asset: str = "BNB"
    ) -> None:
        """A fill that we know of."""
        self.trades += 1
        facts = {"symbol": symbol, "side": side, "quantity": quantity, "price": price, "fee": fee, "fee_asset": asset}
        apply(self.account, filled(**facts, trade_id=str(self.trades), order_id="1", position_side=None, transaction_time=self.time))

    def search(self, *asked: str) -> list[str]:
        self.holdings.learn(PAIRS)
        return list(self.holdings.candidates(Millis(0), [Symbol(symbol) for symbol in asked]))


def test_what_did_not_move_is_explained() -> None:
    desk = Desk(USDT="1000", BTC="1")
    desk.hold(USDT="1000", BTC="1.0")
    assert not desk.holdings.has_difference and desk.search() == []


def test_a_known_fill_explains_both_its_assets_and_its_fee_before_the_pairs_are_known() -> None:
    desk = Desk(USDT="1000", BTC="1", BNB="2")
    desk.fill(fee="0.01")
    desk.hold(USDT="950", BTC="1.5", BNB="1.99")
    assert not desk.holdings.lacks_pairs(Millis(0)) and not desk.holdings.has_difference


def test_a_fill_of_a_symbol_whose_assets_are_not_known_explains_its_fee_and_no_more() -> None:
    desk = Desk(USDT="1000", BNB="2")
    desk.fill("NEWUSDC", fee="0.01")
    desk.hold(USDT="1000", BNB="1.99")
    assert not desk.holdings.has_difference
    desk.hold(USDT="950", BNB="1.99")
    assert desk.holdings.has_difference


def test_a_fee_in_the_base_asset_and_a_sale() -> None:
    desk = Desk(USDT="1000", BTC="1")
    desk.fill(fee="0.0005", asset="BTC")
    desk.fill(side="sell", quantity="0.25", price="120", fee="0.03", asset="USDT")
    desk.hold(USDT="979.97", BTC="1.2495")
    assert not desk.holdings.has_difference


def test_a_symbol_nobody_knew_is_found_by_its_two_assets() -> None:
    desk = Desk(USDT="1000", BTC="1")
    desk.hold(USDT="900", ETH="3")
    assert desk.holdings.unexplained(Millis(0)) == {"USDT", "ETH"}
    assert desk.search() == ["ETHUSDT"]


def test_one_asset_alone_is_searched_among_the_known_ones_and_not_beyond() -> None:
    desk = Desk(USDT="1000", BTC="1")
    desk.hold(USDT="1100")
    assert desk.search() == ["BTCUSDT"]
    assert desk.search("BTCUSDT") == []


def test_a_round_trip_that_left_only_its_fee_and_its_profit_is_searched_widely_by_the_next_reading() -> None:
    desk = Desk(USDT="1000", BNB="2")
    desk.hold(USDT="1001", BNB="1.9")
    assert desk.search() == ["BNBUSDT"]
    assert desk.search("BNBUSDT") == []
    desk.settle()
    assert desk.search() == ["BNBUSDT"]
    assert desk.search("BNBUSDT") == ["BTCUSDT", "ETHUSDT", "SOLUSDT"]
    desk.fill("SOLUSDT", price="100", quantity="1")
    desk.fill("SOLUSDT", side="sell", price="101", quantity="1", fee="0.1")
    assert desk.search() == []


def test_a_fill_found_by_the_search_ends_it() -> None:
    desk = Desk(USDT="1000", BTC="1")
    desk.hold(USDT="900", ETH="1")
    desk.fill("ETHUSDT", quantity="1")
    assert desk.search() == []


def test_a_transfer_that_was_told_is_no_difference() -> None:
    desk = Desk(USDT="1000")
    apply(desk.account, balance_moved(asset="USDT", delta="-100", reason="balance_update", transaction_time=desk.time))
    desk.hold(USDT="900")
    assert not desk.holdings.has_difference


def test_what_stays_unexplained_is_searched_by_two_readings_and_then_the_measure() -> None:
    desk = Desk(USDT="1000")
    desk.hold(USDT="1100")
    for _ in range(2):
        assert desk.holdings.has_difference
        desk.settle()
    assert not desk.holdings.has_difference


def test_an_asset_never_heard_of_is_kept_open_for_the_next_reading_too() -> None:
    desk = Desk(USDT="1000")
    desk.hold(SOL="7")
    desk.settle()
    assert desk.holdings.unexplained(Millis(0)) == {"SOL"}


def test_the_first_reading_searches_what_may_have_moved_since_our_care_began() -> None:
    account = Account(AccountId("alice"), VenueName("binance-spot"))
    holdings = Holdings(account)
    for asset in ("USDT", "ETH"):
        apply(account, balance_set(asset=asset, total="5", transaction_time=NOW))
    holdings.learn(PAIRS)
    assert holdings.candidates(Millis(NOW + 1), []) == []
    assert holdings.candidates(Millis(NOW), []) == ["ETHUSDT"]
    assert not holdings.has_difference


def first_reading(**totals: str) -> Holdings:
    """Of wallets that do not say when they changed."""
    account = Account(AccountId("alice"), VenueName("binance-margin"))
    for asset, total in totals.items():
        apply(account, balance_set(asset=asset, total=total, transaction_time=0, as_of=NOW + 500, source="snapshot"))
    return Holdings(account)


def test_the_first_reading_searches_all_that_is_held_where_the_venue_does_not_say_when_it_moved() -> None:
    holdings = first_reading(USDT="5", ETH="5", BTC="0")
    holdings.learn(PAIRS, Millis(NOW))
    assert holdings.candidates(Millis(NOW), []) == ["ETHUSDT"]
    assert holdings.end_reading() == ()


def test_what_a_first_reading_has_no_room_for_is_left_for_the_next_one() -> None:
    assets = {f"A{number:03}": "1" for number in range(MOST_SEARCHED + 3)}
    holdings = first_reading(USDT="5", **assets)
    holdings.learn([Pair(Symbol(f"{asset}USDT"), asset, "USDT") for asset in assets], Millis(NOW))
    found = holdings.candidates(Millis(NOW), [])
    assert len(found) == MOST_SEARCHED and holdings.candidates(Millis(NOW), found, 0) == []
    assert holdings.end_reading() == (*(f"A{MOST_SEARCHED + number:03}" for number in range(3)), "USDT")


@pytest.mark.parametrize("by_checkpoint", [True, False])
def test_after_a_restart_what_an_earlier_run_explained_is_the_measure_not_what_it_heard_last(by_checkpoint: bool) -> None:
    """A process reads the wallets and dies before it has read what moved them."""
    desk = Desk(USDT="1000")
    told: list[Event] = [*desk.account.settled.values(), snapshot_taken(epoch=1, proven_until=NOW + 1)]
    desk.hold(USDT="900", ETH="1")
    told += desk.account.balances.values()
    again = Desk()
    again.account = Account(AccountId("alice"), VenueName("binance-spot"))
    for event in checkpoint_of(desk.account) if by_checkpoint else told:
        apply(again.account, event)
    again.holdings = Holdings(again.account)
    assert again.holdings.unexplained(Millis(0)) == {"USDT", "ETH"}
    assert again.search() == ["ETHUSDT"]


def test_one_reading_searches_so_many_symbols_at_most() -> None:
    desk = Desk(**{f"A{number}": "1" for number in range(30)})
    desk.hold(**{f"A{number}": "2" for number in range(30)})
    desk.holdings.learn(Pair(Symbol(f"A{one}A{other}"), f"A{one}", f"A{other}") for one in range(30) for other in range(30) if one != other)
    assert len(desk.holdings.candidates(Millis(0), [])) == MOST_SEARCHED
    assert len(desk.holdings.candidates(Millis(0), [], 7)) == 7


MANY: Final = tuple(Pair(Symbol(f"S{number:04}USDT"), f"S{number:04}", "USDT") for number in range(1_300))


def read_widely(desk: Desk, pairs: tuple[Pair, ...] = MANY) -> list[list[str]]:
    """What each reading searches, until the difference is let go."""
    readings: list[list[str]] = []
    while desk.holdings.has_difference:
        found: list[Symbol] = []
        if desk.holdings.lacks_pairs(Millis(0)):
            desk.holdings.learn(pairs)
        while more := desk.holdings.candidates(Millis(0), found, MOST_SEARCHED - len(found)):
            found += more
        readings.append([str(symbol) for symbol in found])
        desk.settle()
    return readings


def test_the_next_reading_goes_on_where_the_last_ended_and_none_counts_before_the_end() -> None:
    desk = Desk(USDT="1000")
    desk.hold(USDT="1003")
    readings = read_widely(desk)
    assert [len(found) for found in readings] == [0, 500, 500, 300]
    assert sorted(symbol for found in readings for symbol in found) == [pair.symbol for pair in MANY]


def test_another_gap_begins_the_search_anew() -> None:
    desk = Desk(USDT="1000")
    desk.hold(USDT="1003")
    desk.settle()
    desk.holdings.learn(MANY)
    first = desk.holdings.candidates(Millis(0), [])
    desk.settle()
    assert not set(first) & set(desk.holdings.candidates(Millis(0), []))
    apply(desk.account, GapOpened(since=Millis(desk.time), reason="test"))
    assert desk.holdings.candidates(Millis(0), []) == first


def test_an_asset_that_moved_later_is_searched_in_symbols_that_another_asset_had_searched_already() -> None:
    desk = Desk(USDT="1000", BTC="1")
    desk.hold(USDT="1003")
    desk.settle()
    assert "BTCUSDT" in desk.search() + desk.search("BTCUSDT", "ETHUSDT")
    desk.hold(BTC="2")
    assert "BTCUSDT" in desk.search()


def test_symbols_that_are_suspended_now_are_searched_last_and_not_left_out() -> None:
    desk = Desk(USDT="1000")
    desk.hold(USDT="1003")
    pairs = (Pair(Symbol("AAAUSDT"), "AAA", "USDT", is_trading=False), *PAIRS)
    assert read_widely(desk, pairs) == [[], ["BNBUSDT", "BTCUSDT", "ETHUSDT", "SOLUSDT", "AAAUSDT"]]


def test_a_list_without_symbols_answers_nothing() -> None:
    desk = Desk(USDT="1000")
    desk.hold(USDT="1003")
    desk.holdings.learn(())
    assert desk.holdings.lacks_pairs(Millis(0))


def test_the_list_of_symbols_is_kept_no_longer_than_something_is_unexplained() -> None:
    desk = Desk(USDT="1000", BTC="1")
    desk.hold(USDT="1003")
    assert desk.holdings.lacks_pairs(Millis(0))
    desk.holdings.learn((*MANY, *PAIRS))
    assert not desk.holdings.lacks_pairs(Millis(0))
    read_widely(desk)
    desk.hold(USDT="1100")
    assert desk.holdings.lacks_pairs(Millis(0)) and desk.holdings.candidates(Millis(0), []) == []


class Timeless(Desk):
    """Its venue's books do not say when a wallet changed."""

    def hold(self, **totals: str) -> None:
        for asset, total in totals.items():
            told = balance_set(asset=asset, total=total, transaction_time=0, as_of=self.time, source=Source.SNAPSHOT)
            apply(self.account, told)

    def stream(self, **totals: str) -> None:
        super().hold(**totals)


def test_wallets_that_tell_no_time_hold_what_they_held_when_they_were_asked() -> None:
    desk = Timeless(USDT="1000", BTC="1")
    desk.fill(quantity="0.5", price="100")
    desk.time += 10_000
    desk.hold(USDT="950", BTC="1.5")
    assert not desk.holdings.has_difference


@pytest.mark.parametrize("found", [True, False])
def test_an_answer_without_a_time_is_explained_by_what_a_gap_behind_the_last_message_held(found: bool) -> None:
    desk = Timeless(USDT="1000", BTC="1")
    desk.stream(USDT="1000", BTC="1")
    desk.settle()
    desk.time += 2_000
    if found:
        desk.fill(quantity="0.5", price="100")
    desk.time += 60_000
    desk.hold(USDT="950", BTC="1.5")
    assert desk.holdings.unexplained(Millis(0)) == (set() if found else {"USDT", "BTC"})
    desk.settle()
    desk.time += 60_000
    desk.hold(USDT="950", BTC="1.5")
    assert desk.holdings.has_difference is not found


@pytest.mark.parametrize("contained", [True, False])
def test_an_answer_may_contain_what_happened_within_its_lag_or_not_yet(contained: bool) -> None:
    desk = Timeless(USDT="1000")
    desk.time += 60_000
    desk.fill(quantity="0.5", price="100")
    desk.holdings.learn(PAIRS)
    desk.time += 1_000
    desk.hold(USDT="950" if contained else "1000")
    assert "USDT" not in desk.holdings.unexplained(Millis(0))
    desk.settle()
    desk.time += 60_000
    desk.hold(USDT="950")
    assert "USDT" not in desk.holdings.unexplained(Millis(0))
    desk.hold(USDT="890")
    assert "USDT" in desk.holdings.unexplained(Millis(0))


steps = st.lists(st.tuples(st.integers(1, 9_000), st.sampled_from(["fill", "hidden", "ask"]), st.integers(0, 4_999)), max_size=14)


@given(steps=steps)
def test_answers_as_late_as_they_may_be_never_look_unexplained_and_a_hidden_fill_always_does(steps: list[tuple[int, str, int]]) -> None:
    desk, total, seen, hidden = Timeless(USDT="100000"), Decimal(100_000), 0, False
    was = [(NOW - 90_000, total)]
    for number, (later, step, stale) in enumerate([*steps, (9_000, "ask", 0)]):
        desk.time += later
        if step == "ask":
            seen = max(seen, desk.time - stale)
            desk.hold(USDT=str(next(amount for time, amount in reversed(was) if time <= seen)))
            assert not desk.holdings.has_difference or hidden
            if not hidden:
                desk.settle()
        else:
            total -= 2**number
            was.append((desk.time, total))
            hidden = hidden or step == "hidden"
            if step == "fill":
                desk.fill("BTCUSDT", quantity="1", price=str(2**number))
                desk.holdings.learn(PAIRS)
    assert desk.holdings.has_difference is hidden


trades = st.lists(
    st.tuples(
        st.sampled_from(["BTCUSDT", "ETHUSDT", "ETHBTC"]),
        st.sampled_from(["buy", "sell"]),
        st.decimals("0.001", "5", places=3),
        st.decimals("0.01", "900", places=2),
        st.sampled_from(["BTC", "USDT", "BNB"]),
    ),
    max_size=8,
)


@given(trades=trades, hidden=st.integers(0, 7))
def test_any_trading_adds_up_and_a_hidden_fill_does_not(trades: list[tuple[str, str, Decimal, Decimal, str]], hidden: int) -> None:
    desk = Desk(USDT="100000", BTC="100", ETH="100", BNB="100")
    desk.holdings.learn(PAIRS)
    totals = {asset: balance.total for asset, balance in desk.account.balances.items()}
    for place, (symbol, side, quantity, price, fee_asset) in enumerate(trades):
        base, quote, sign = symbol[:3], symbol[3:], 1 if side == "buy" else -1
        totals[base] += sign * quantity
        totals[quote] -= sign * quantity * price
        totals[fee_asset] -= Decimal("0.001")
        if place != hidden:
            desk.fill(symbol, side, str(quantity), str(price), "0.001", fee_asset)
    desk.hold(**{asset: str(total) for asset, total in totals.items()})
    assert desk.holdings.has_difference is (hidden < len(trades))
    if hidden < len(trades):
        assert trades[hidden][0] in desk.search()


def test_the_symbols_met_last_are_remembered_and_no_more_of_them() -> None:
    desk = Desk(USDT="1000")
    for number in range(MOST_REMEMBERED + 3):
        desk.fill(f"C{number:02}USDT", quantity="0")
        desk.settle()
        desk.account.fills.clear()
    assert sorted(desk.holdings.symbols) == [f"C{number:02}USDT" for number in range(3, MOST_REMEMBERED + 3)]


def test_the_second_of_two_equal_deposits_of_one_millisecond_is_said_to_be_unexplained() -> None:
    """It cannot be told from a doubled frame, so it counts as one; the wallet's total gives it away."""
    desk = Desk(BTC="1")
    twice = balance_moved(asset="BTC", delta="0.5", reason="balance_update", transaction_time=desk.time)
    assert [apply(desk.account, twice, 1) is not None for _ in range(2)] == [True, False]
    desk.hold(BTC="1.5")
    assert desk.holdings.unexplained(Millis(0)) == set(), "one of them is all that the wallet tells"
    desk.time += 1
    desk.hold(BTC="2")
    assert desk.holdings.unexplained(Millis(0)) == {"BTC"}
    assert desk.holdings.end_reading() == ("BTC",), "the snapshot of that reading names it"
