from __future__ import annotations

from decimal import Decimal

import msgspec
import pytest

from tests.support.events import A_TIME, account_config_changed, balance_moved, balance_set, filled, position_set, snapshot_taken
from userstream.domain.account import Account, Doubt
from userstream.domain.fold import apply
from userstream.domain.registers import ABSENT_POSITION, empty_balance, flat_position, same_balance, same_position
from userstream.domain.words import MarginType, PositionSide, Source
from userstream.kernel.ids import AccountId, Millis, Symbol, VenueName

LAG_MS = 5_000
BTC, BOTH = Symbol("BTCUSDT"), PositionSide.BOTH
TIE = Doubt("tie", BTC, BOTH)
LEG_DOUBT = Doubt("position", BTC, BOTH)


def account() -> Account:
    return Account(AccountId("alice"), VenueName("binance-usdm"), lag_ms=LAG_MS)


class Leg:
    """One leg of an account, with short words; times are milliseconds after A_TIME."""

    def __init__(self) -> None:
        self.account = account()

    def hear(self, amount: str, at: int = 0, by: int = 1, **fields: object) -> bool:
        """A stream message; whether it was news."""
        return apply(self.account, position_set(amount=amount, transaction_time=A_TIME + at, **fields), by) is not None

    def read(self, amount: str, at: int, asked: int, **fields: object) -> bool:
        """A REST answer; whether it was news."""
        event = position_set(amount=amount, transaction_time=A_TIME + at, as_of=A_TIME + asked, source="snapshot", **fields)
        return apply(self.account, event) is not None

    @property
    def amount(self) -> str:
        return str(self.account.positions[BTC, BOTH].amount)


# --- positions: whose word counts ---


def test_newer_wins_older_loses_and_the_same_again_is_no_news() -> None:
    leg = Leg()
    assert [leg.hear("1", 5), leg.hear("2", 9), leg.hear("3", 7), leg.hear("2", 12)] == [True, True, False, False]
    assert leg.amount == "2"
    assert leg.account.positions[BTC, BOTH].transaction_time == A_TIME + 12


def test_within_one_instant_a_second_socket_tells_copies_or_goes_on() -> None:
    leg = Leg()
    leg.hear("1", by=1)
    assert not leg.hear("1", by=2)
    assert leg.hear("2", by=2)
    assert not leg.hear("2", by=1)
    assert leg.hear("3", by=1)
    assert (leg.amount, TIE in leg.account.doubts) == ("3", False)


@pytest.mark.parametrize(("after_ms", "is_news"), [(LAG_MS, True), (LAG_MS + 1, False)])
def test_a_value_of_an_instant_told_again_long_after_is_a_copy_on_the_same_socket_too(after_ms: int, is_news: bool) -> None:
    leg = Leg()
    leg.hear("1", received_time=A_TIME)
    leg.hear("2", received_time=A_TIME)
    assert leg.hear("1", received_time=A_TIME + after_ms) is is_news
    assert leg.amount == ("1" if is_news else "2")


def test_within_the_lag_a_value_told_again_is_a_return_to_it_and_a_reading_asked_after_the_lag_has_the_last_word() -> None:
    leg = Leg()
    leg.hear("1", received_time=A_TIME)
    leg.hear("2", received_time=A_TIME)
    assert leg.hear("1", received_time=A_TIME + 1)
    assert [leg.read("2", 0, LAG_MS), leg.read("2", 0, LAG_MS + 1)] == [False, True]
    assert leg.amount == "2"


def test_two_sockets_that_tell_different_things_of_one_instant_are_a_tie() -> None:
    leg = Leg()
    leg.hear("1", by=1)
    assert not leg.hear("2", by=2)
    assert (leg.amount, TIE in leg.account.doubts) == ("1", True)


def test_a_tie_ends_with_a_newer_word() -> None:
    leg = Leg()
    leg.hear("1", by=1)
    leg.hear("2", by=2)
    leg.hear("5", 1, by=2)
    assert TIE not in leg.account.doubts


def test_a_tie_ends_with_an_answer_asked_after_the_lag_and_not_before() -> None:
    leg = Leg()
    leg.hear("1", by=1)
    leg.hear("2", by=2)
    assert not leg.read("2", 0, LAG_MS)
    assert TIE in leg.account.doubts
    assert leg.read("2", 0, LAG_MS + 1)
    assert TIE not in leg.account.doubts


def test_late_copies_lose_against_the_answer_that_settled_their_instant() -> None:
    leg = Leg()
    leg.hear("1", by=1)
    leg.hear("2", by=2)
    leg.read("2", 0, LAG_MS + 1)
    assert not leg.hear("1", by=3)
    assert leg.amount == "2"


def test_the_stream_corrects_an_early_answer_of_the_same_instant_but_asks_again() -> None:
    leg = Leg()
    leg.read("1", 0, 100)
    assert not leg.hear("1")
    assert leg.hear("2")
    assert (leg.amount, TIE in leg.account.doubts) == ("2", True)


def test_an_answer_with_an_older_stamp_but_asked_late_wins_and_older_copies_still_lose() -> None:
    leg = Leg()
    leg.hear("1", 100)
    assert leg.read("2", 0, 100 + LAG_MS + 1)
    assert not leg.hear("9", 50, by=2)
    assert not leg.hear("9", 100, by=2)
    assert (leg.amount, leg.account.positions[BTC, BOTH].transaction_time) == ("2", A_TIME + 100)


def test_a_newer_answer_wins_at_once() -> None:
    leg = Leg()
    leg.hear("1")
    assert leg.read("2", 10, 12)


# --- positions: what comes with them ---


def test_a_position_tells_its_settings_unless_it_is_an_old_copy() -> None:
    leg = Leg()
    leg.hear("1", 10, margin_type="cross", leverage=20)
    leg.hear("1", 5, by=2, margin_type="isolated", leverage=5)
    assert leg.account.leverages == {BTC: 20}
    assert leg.account.margin_types == {BTC: MarginType.CROSS}


def test_a_leg_that_the_mode_forbids_is_a_doubt() -> None:
    one_way, hedged, unknown, old = Leg(), Leg(), Leg(), Leg()
    one_way.account.hedge_mode, hedged.account.hedge_mode, old.account.hedge_mode = False, True, None
    one_way.hear("1", position_side="long")
    hedged.hear("1")
    unknown.hear("1", position_side="long")
    assert Doubt("mode", BTC, PositionSide.LONG) in one_way.account.doubts
    assert Doubt("mode", BTC, BOTH) in hedged.account.doubts
    assert not unknown.account.doubts
    old.hear("0", 10)
    old.account.hedge_mode = True
    old.hear("1", 5)
    assert not old.account.doubts


def test_legs_of_both_sides_are_kept_and_summed_apart() -> None:
    leg = Leg()
    apply(leg.account, snapshot_taken(started_time=A_TIME - 60_000))
    for side, word in (("long", "buy"), ("short", "sell")):
        apply(leg.account, filled(trade_id=side, position_side=side, side=word, quantity="2", transaction_time=A_TIME + 5))
        leg.hear("2" if side == "long" else "-2", 5, position_side=side)
    assert not [doubt for doubt in leg.account.doubts if doubt.subject == "position"]
    assert {side for _, side in leg.account.positions} == {PositionSide.LONG, PositionSide.SHORT}


def test_same_position_looks_at_what_only_deeds_change() -> None:
    assert same_position(position_set(mark_price="1"), position_set(mark_price="2", unrealized_pnl="5"))
    assert same_position(position_set(amount="0", entry_price="1"), position_set(amount="0", entry_price="0"))
    assert same_position(position_set(isolated_wallet=None), position_set(isolated_wallet="5"))
    assert same_position(position_set(margin_type=None), position_set(margin_type="cross"))
    assert not same_position(position_set(), position_set(entry_price="1"))
    assert not same_position(position_set(isolated_wallet="4"), position_set(isolated_wallet="5"))
    assert not same_position(position_set(margin_type="isolated"), position_set(margin_type="cross"))


# --- absent legs ---


def test_an_absent_leg_is_flat_at_what_the_answer_must_include() -> None:
    known = position_set(amount="2", isolated_wallet="5", sequence=9)
    gone = flat_position(known, Millis(A_TIME + 60_000), LAG_MS, Millis(7), Millis(A_TIME + 60_400))
    assert not any((gone.amount, gone.entry_price, gone.unrealized_pnl))
    assert (gone.transaction_time, gone.event_time) == (A_TIME + 55_000, A_TIME + 60_400)
    assert (gone.source, gone.sequence, gone.as_of, gone.received_time) == (Source.SNAPSHOT, 0, A_TIME + 60_000, 7)
    assert flat_position(known, Millis(A_TIME + 60_000), LAG_MS, Millis(7)).event_time == A_TIME + 60_000


def test_a_leg_closed_in_a_gap_shorter_than_the_lag_adds_up_when_its_fill_is_found() -> None:
    leg = Leg()
    leg.hear("2")
    gone = flat_position(leg.account.positions[BTC, BOTH], Millis(A_TIME + 60_000), LAG_MS, Millis(7), Millis(A_TIME + 60_400))
    apply(leg.account, gone)
    assert LEG_DOUBT in leg.account.doubts
    apply(leg.account, filled(side="sell", quantity="2", source="snapshot", transaction_time=A_TIME + 59_000))
    assert LEG_DOUBT not in leg.account.doubts
    apply(leg.account, filled(trade_id="9", quantity="1", transaction_time=A_TIME + 70_000))
    leg.hear("1", 70_000)
    assert LEG_DOUBT not in leg.account.doubts


def test_an_absent_leg_loses_against_a_stream_that_the_answer_need_not_include() -> None:
    leg = Leg()
    leg.hear("2", 58_000)
    apply(leg.account, flat_position(leg.account.positions[BTC, BOTH], Millis(A_TIME + 60_000), LAG_MS, Millis(7)))
    assert leg.amount == "2"


def test_an_absent_leg_survives_a_restart_as_an_interval() -> None:
    leg = Leg()
    leg.hear("2")
    gone = flat_position(leg.account.positions[BTC, BOTH], Millis(A_TIME + 60_000), LAG_MS, Millis(7), Millis(A_TIME + 60_400))
    again = account()
    apply(again, msgspec.structs.replace(gone, reason=ABSENT_POSITION))
    apply(again, filled(side="sell", quantity="2", source="snapshot", transaction_time=A_TIME + 59_000))
    assert LEG_DOUBT not in again.doubts


def test_a_leg_first_told_at_a_time_before_all_legs_were_read_was_not_flat() -> None:
    leg = Leg()
    apply(leg.account, snapshot_taken(started_time=A_TIME + 60_000))
    leg.read("5", 0, 61_000)
    apply(leg.account, filled(quantity="1", transaction_time=A_TIME + 90_000))
    leg.hear("6", 90_000)
    assert LEG_DOUBT not in leg.account.doubts


# --- balances ---


def hear(held: Account, total: str, at: int = 0, by: int = 1, **fields: object) -> bool:
    return apply(held, balance_set(total=total, transaction_time=A_TIME + at, **fields), by) is not None


def test_a_wallet_follows_the_same_rules() -> None:
    held = account()
    assert [hear(held, "1", 5), hear(held, "2", 9), hear(held, "3", 7), hear(held, "2", 12)] == [True, True, False, False]
    assert not hear(held, "7", 12, by=2)
    assert Doubt("tie", Symbol(""), "USDT") in held.doubts
    assert hear(held, "7", 12, source="snapshot", as_of=A_TIME + 12 + LAG_MS + 1)
    assert not held.doubts
    assert hear(held, "8", 3, source="snapshot", as_of=A_TIME + 20 + LAG_MS)
    assert held.balances["USDT"].transaction_time == A_TIME + 12


def test_a_wallet_that_was_emptied_is_empty_at_once() -> None:
    held = account()
    assert [hear(held, "5", 1), hear(held, "0", 2), hear(held, "0", 2), hear(held, "5", 1)] == [True, True, False, False]
    assert held.balances["USDT"].total == 0


def test_what_is_available_never_goes_back_to_an_older_answer() -> None:
    held = account()
    hear(held, "5", available="4", source="snapshot", as_of=A_TIME + 50)
    hear(held, "5", available="9", source="snapshot", as_of=A_TIME + 40)
    assert held.available["USDT"] == (Decimal(4), A_TIME + 50)


def test_where_the_stream_tells_what_is_available_a_lock_is_news() -> None:
    held = account()
    told = [hear(held, "5", at, available=free, event_time=A_TIME + at) for at, free in ((1, "5"), (2, "3"), (3, "3"), (4, "5"))]
    assert told == [True, True, False, True]
    assert held.available["USDT"] == (Decimal(5), A_TIME + 4)


def test_where_the_stream_tells_it_a_late_answer_does_not_overrule_it() -> None:
    held = account()
    hear(held, "5", 100, available="3", event_time=A_TIME + 100)
    hear(held, "5", 50, available="5", source="snapshot", as_of=A_TIME + 101)
    assert held.available["USDT"] == (Decimal(3), A_TIME + 100)
    hear(held, "5", 100, available="4", source="snapshot", as_of=A_TIME + 101 + LAG_MS)
    hear(held, "5", 102, available="2", event_time=A_TIME + 102)
    assert held.available["USDT"] == (Decimal(2), A_TIME + 102)


def test_a_lock_of_the_same_instant_is_news_behind_an_answer_and_behind_a_message() -> None:
    held = account()
    hear(held, "5", available="5", source="snapshot", as_of=A_TIME + 3)
    assert hear(held, "5", available="4") and held.available["USDT"][0] == Decimal(4)
    assert hear(held, "5", available="3") and not hear(held, "5", available="4", by=2) and not hear(held, "5", available="3", by=2)
    assert held.available["USDT"][0] == held.balances["USDT"].available == Decimal(3)


def test_same_balance_ignores_what_one_does_not_tell() -> None:
    assert same_balance(balance_set(), balance_set(cross_total="1"))
    assert not same_balance(balance_set(cross_total="2"), balance_set(cross_total="1"))
    assert not same_balance(balance_set(total="2"), balance_set(total="1"))


def test_an_absent_wallet_is_empty() -> None:
    gone = empty_balance(balance_set(), Millis(A_TIME + 60_000), LAG_MS, Millis(7))
    assert not any((gone.total, gone.available))
    assert (gone.transaction_time, gone.source) == (A_TIME + 55_000, Source.SNAPSHOT)


# --- movements ---


def move(held: Account, at: int = 0, movement_id: str = "", delta: str = "5") -> bool:
    source = "snapshot" if movement_id else "stream"
    event = balance_moved(delta=delta, transaction_time=A_TIME + at, movement_id=movement_id, source=source)
    return apply(held, event) is not None


def test_a_movement_told_by_both_sources_counts_once_whichever_comes_first() -> None:
    stream_first, history_first = account(), account()
    assert [move(stream_first), move(stream_first, 800, "a")] == [True, False]
    assert [move(history_first, 800, "a"), move(history_first)] == [True, False]


def test_copies_of_either_source_count_once() -> None:
    held = account()
    assert [move(held), move(held), move(held, 800, "a"), move(held, 800, "a"), move(held)] == [True, False, False, False, False]
    assert held.duplicates == 4


def test_two_alike_movements_within_a_moment_count_twice() -> None:
    both_by_stream, mixed = account(), account()
    assert [move(both_by_stream, 0), move(both_by_stream, 500)] == [True, True]
    assert [move(both_by_stream, 10, "a"), move(both_by_stream, 510, "b")] == [False, False]
    assert [move(mixed, 10, "a"), move(mixed, 510, "b"), move(mixed, 0), move(mixed, 500)] == [True, True, False, False]
    assert move(mixed, 900)


def test_movements_that_differ_in_asset_amount_or_time_are_not_the_same() -> None:
    held = account()
    assert move(held)
    assert move(held, delta="6")
    assert move(held, 4_000, "a")
    assert apply(held, balance_moved(asset="BNB", delta="5")) is not None


def test_funding_of_two_symbols_at_one_time_is_two_movements_even_of_one_amount() -> None:
    held = account()
    for symbol in ("BTCUSDT", "ETHUSDT"):
        assert apply(held, balance_moved(delta="-0.01", symbol=symbol)) is not None
    assert apply(held, balance_moved(delta="-0.01", symbol="ETHUSDT", movement_id="b", source="snapshot")) is None
    assert apply(held, balance_moved(delta="-0.01", symbol="BTCUSDT", movement_id="a", source="snapshot")) is None


# --- settings ---


def test_a_first_reading_of_settings_is_learned_silently_and_a_change_is_news() -> None:
    held = account()
    assert apply(held, account_config_changed(leverage=20, margin_type="cross", source="snapshot", as_of=A_TIME)) is None
    assert apply(held, account_config_changed(leverage=20, margin_type="cross", source="snapshot", as_of=A_TIME)) is None
    assert apply(held, account_config_changed(leverage=5, source="snapshot", as_of=A_TIME + 9)) is not None
    assert apply(held, account_config_changed(leverage=6)) is not None
    assert (held.leverages, held.margin_types) == ({BTC: 6}, {BTC: MarginType.CROSS})


def test_an_answer_does_not_undo_a_setting_within_the_lag() -> None:
    held = account()
    apply(held, account_config_changed(leverage=6, transaction_time=A_TIME))
    early = account_config_changed(leverage=20, margin_type="isolated", source="snapshot", as_of=A_TIME + LAG_MS)
    apply(held, early)
    assert (held.leverages, held.margin_types) == ({BTC: 6}, {BTC: MarginType.ISOLATED})
    late = account_config_changed(leverage=20, source="snapshot", as_of=A_TIME + LAG_MS + 1)
    assert apply(held, late) is not None
    assert held.leverages == {BTC: 20}


def test_an_old_copy_of_a_setting_loses() -> None:
    held = account()
    modes = {"symbol": None, "leverage": None}
    apply(held, account_config_changed(**modes, hedge_mode=True, transaction_time=A_TIME + 5))
    assert apply(held, account_config_changed(**modes, hedge_mode=False, transaction_time=A_TIME)) is None
    assert apply(held, account_config_changed(**modes, hedge_mode=True, transaction_time=A_TIME + 6)) is None
    assert apply(held, account_config_changed(**modes, hedge_mode=False, multi_asset_mode=True, transaction_time=A_TIME + 7)) is not None
    assert (held.hedge_mode, held.multi_asset_mode, held.can_trade) == (False, True, None)


def test_a_setting_of_a_symbol_without_the_symbol_tells_nothing() -> None:
    held = account()
    assert apply(held, account_config_changed(symbol=None, leverage=5, margin_type="cross")) is None
    assert held.leverages == {}
