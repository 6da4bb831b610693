from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.events import (
    A_TIME,
    BUILDERS,
    account_config_changed,
    balance_locked,
    balance_moved,
    filled,
    gap_opened,
    gap_repaired,
    liability_changed,
    margin_called,
    mismatch,
    order_changed,
    position_set,
    snapshot_taken,
    strategy_changed,
    stream_changed,
    trigger_rejected,
    unrecognized,
)
from tests.support.histories import lite
from userstream.domain.account import Account, Doubt
from userstream.domain.events import Event, FilledBefore, Frame, stamp
from userstream.domain.fold import apply, checkpoint_of, count_remembered, forget, let_go_of_bytes, newest_time
from userstream.domain.words import PositionSide, StreamState
from userstream.kernel.ids import AccountId, Millis, OrderId, Symbol, VenueName

BTC = Symbol("BTCUSDT")


def account() -> Account:
    return Account(AccountId("alice"), VenueName("binance-usdm"), lag_ms=5_000)


def told(*events: Event) -> Account:
    held = account()
    for event in events:
        apply(held, event)
    return held


@pytest.mark.parametrize("build", BUILDERS)
def test_every_kind_of_event_can_be_told(build: Callable[..., Event]) -> None:
    event = build()
    assert apply(account(), event) in (event, None)


def test_the_streams_state_is_the_accounts() -> None:
    assert told(stream_changed(state="stale")).state is StreamState.STALE


def test_a_gap_inside_a_gap_is_no_news_but_an_earlier_beginning_is() -> None:
    held = account()
    assert apply(held, gap_opened(since=A_TIME)) is not None
    assert apply(held, gap_opened(since=A_TIME)) is None
    assert apply(held, gap_opened(since=A_TIME + 5)) is None
    assert apply(held, gap_opened(since=A_TIME - 5)) is not None
    assert held.gap_since == A_TIME - 5
    apply(held, gap_repaired(since=A_TIME - 5))
    assert held.gap_since is None


def test_a_snapshot_moves_the_proof_forward_only() -> None:
    held = told(snapshot_taken(epoch=3, started_time=A_TIME, proven_until=A_TIME))
    apply(held, snapshot_taken(epoch=2, started_time=A_TIME + 9, proven_until=A_TIME - 9))
    assert (held.epoch, held.proven_until, held.positions_known_since) == (3, A_TIME, A_TIME)


@pytest.mark.parametrize("build", [mismatch, unrecognized])
def test_trouble_is_always_told(build: Callable[..., Event]) -> None:
    held = account()
    assert apply(held, build()) is not None
    assert apply(held, build()) is not None


@pytest.mark.parametrize("build", [balance_locked, liability_changed, margin_called, strategy_changed, trigger_rejected])
def test_of_rare_events_copies_and_older_ones_are_no_news(build: Callable[..., Event]) -> None:
    held = account()
    first, second = build(event_time=A_TIME), build(event_time=A_TIME + 1)
    assert [apply(held, event) for event in (first, second, first, second)] == [first, second, None, None]
    assert held.duplicates == 2


def heard_of(sockets: dict[int, list[Event]], turns: list[bool]) -> list[Event]:
    """What is news where two sockets take turns, and the second one goes on to the end first."""
    held, news = account(), list[Event]()
    waiting = {socket: list(events) for socket, events in sockets.items()}
    for first in [*turns, *[False] * len(waiting[2]), *[True] * len(waiting[1])]:
        socket = 1 if first else 2
        if waiting[socket]:
            event = waiting[socket].pop(0)
            news += [event] if apply(held, event, socket) is not None else []
            assert apply(held, event, socket) is None, "a doubled frame"
    return news


@given(
    steps=st.lists(st.tuples(st.integers(0, 1), st.sampled_from(["10", "-10", "3"])), max_size=9),
    turns=st.lists(st.booleans(), max_size=18),
)
def test_two_sockets_in_any_interleaving_tell_each_rare_event_once_and_in_order(steps: list[tuple[int, str]], turns: list[bool]) -> None:
    time, made = A_TIME, list[Event]()
    for later, delta in steps:
        time = Millis(time + later)
        event = balance_locked(delta=delta, event_time=time)
        if not made or event != made[-1]:  # a socket that tells one thing twice in a row has doubled a frame
            made.append(event)
    assert heard_of({1: made, 2: made}, turns) == made


@given(deltas=st.lists(st.integers(1, 99), unique=True, max_size=7), turns=st.lists(st.booleans(), max_size=14), data=st.data())
def test_a_socket_that_joins_or_ends_within_an_instant_hides_and_doubles_nothing(
    deltas: list[int], turns: list[bool], data: st.DataObject
) -> None:
    made: list[Event] = [balance_locked(delta=str(delta)) for delta in deltas]
    ended = data.draw(st.integers(0, len(made)))
    joined = data.draw(st.integers(0, ended))
    heard = heard_of({1: made[:ended], 2: made[joined:]}, turns)
    assert len(heard) == len(made) and all(event in heard for event in made)


def test_rare_events_of_different_keys_do_not_hide_each_other() -> None:
    held = account()
    assert apply(held, strategy_changed(strategy_id="1")) is not None
    assert apply(held, strategy_changed(strategy_id="2", event_time=A_TIME - 9)) is not None
    assert apply(held, trigger_rejected(order_id="1")) is not None


# --- forgetting ---


def test_what_is_finished_and_old_is_dropped_with_its_sums() -> None:
    held = told(
        filled(order_id="1"),
        order_changed(order_id="1", status="filled", filled_quantity="0.100"),
        filled(order_id="2", trade_id="2", transaction_time=A_TIME + 50),
        balance_moved(transaction_time=A_TIME),
        trigger_rejected(event_time=A_TIME),
    )
    forget(held, Millis(A_TIME + 10))
    assert [(order_id) for _, order_id in held.fill_sums] == ["2"]
    assert (len(held.orders), len(held.fills[BTC]), held.movements, held.seen_last) == (0, 1, [], {})
    forget(held, Millis(A_TIME + 100))
    assert (held.fills, held.fill_sums, held.forgotten_before) == ({}, {}, A_TIME + 100)


def test_the_fills_of_an_order_stay_as_long_as_the_order() -> None:
    held = told(
        filled(order_id="1"),
        order_changed(order_id="1", status="partially_filled", filled_quantity="0.100"),
        filled(order_id="2", trade_id="2"),
        order_changed(order_id="2", status="canceled", filled_quantity="0.100", transaction_time=A_TIME + 50),
    )
    forget(held, Millis(A_TIME + 10))
    assert {fill.order_id for fill in held.fills[BTC].values()} == {"1", "2"}


def test_forgetting_never_goes_back() -> None:
    held = account()
    forget(held, Millis(A_TIME))
    forget(held, Millis(A_TIME - 5))
    assert held.forgotten_before == A_TIME


def test_an_order_in_doubt_is_never_forgotten_nor_are_its_fills() -> None:
    short = order_changed(order_id="1", status="filled", filled_quantity="0.300")
    held = told(filled(order_id="1"), short, filled(trade_id="2", order_id="9", source="snapshot"))
    forget(held, Millis(A_TIME + 10))
    assert set(held.doubts) == {Doubt("order", BTC, "1"), Doubt("order", BTC, "9")}
    assert ({key[1] for key in held.orders}, len(held.fills[BTC])) == ({"1"}, 2)
    apply(held, filled(order_id="1", trade_id="3", quantity="0.200", source="snapshot"))
    forget(held, Millis(A_TIME + 20))
    assert (list(held.orders), list(held.doubts)) == ([], [Doubt("order", BTC, "9")])


def test_the_newest_time_is_that_of_an_order_or_a_fill() -> None:
    assert newest_time(account()) == 0
    assert newest_time(told(order_changed(transaction_time=A_TIME + 2), filled())) == A_TIME + 2
    assert newest_time(told(filled(transaction_time=A_TIME + 3))) == A_TIME + 3


# --- what lies before our care ---


def anchored(**fields: object) -> Event:
    anchor = FilledBefore(BTC, OrderId("1"), Decimal("0.2"), Millis(A_TIME))
    return snapshot_taken(**{"read_since": A_TIME, "proven_until": A_TIME + 50, "filled_before": (anchor,)} | fields)


def test_what_was_filled_before_our_care_explains_as_much_of_an_order_and_only_once() -> None:
    held = told(
        filled(order_id="1", trade_id="1", transaction_time=A_TIME - 1),
        filled(order_id="1", trade_id="2", transaction_time=A_TIME),
        order_changed(order_id="1", status="partially_filled", filled_quantity="0.300"),
    )
    assert held.doubts
    apply(held, anchored())
    assert (held.doubts, held.fill_sums[BTC, OrderId("1")]) == ({}, Decimal("0.3"))
    apply(held, filled(order_id="1", trade_id="0", transaction_time=A_TIME - 9, source="snapshot"))
    apply(held, anchored())
    assert held.fill_sums[BTC, OrderId("1")] == Decimal("0.3")
    again = told(*checkpoint_of(held))
    assert (again.anchors, again.fill_sums, again.doubts) == (held.anchors, held.fill_sums, {})


def test_our_care_begins_with_the_first_reading_and_anew_behind_what_is_lost() -> None:
    held = told(snapshot_taken(proven_until=0, read_since=A_TIME - 9))
    assert held.began == 0
    apply(held, snapshot_taken(proven_until=A_TIME, read_since=A_TIME - 5))
    apply(held, snapshot_taken(proven_until=A_TIME + 5, read_since=A_TIME))
    assert held.began == A_TIME - 5
    apply(held, snapshot_taken(proven_until=A_TIME + 90, read_since=A_TIME + 50, lost_since=A_TIME + 5))
    assert held.began == told(*checkpoint_of(held)).began == A_TIME + 50


# --- checkpoints ---


def test_a_fresh_account_needs_no_checkpoint() -> None:
    assert checkpoint_of(account()) == ()


def test_a_checkpoint_before_the_first_snapshot_claims_none() -> None:
    events = checkpoint_of(told(position_set(margin_type=None), gap_opened(since=A_TIME)))
    assert [type(event).__name__ for event in events] == ["PositionSet", "GapOpened"]


def test_a_restart_does_not_believe_that_a_leg_held_long_before_the_first_snapshot_was_flat() -> None:
    held = told(position_set(amount="5", transaction_time=A_TIME - 1_000_000), snapshot_taken(started_time=A_TIME))
    again = told(*checkpoint_of(held))
    apply(again, filled(quantity="1", transaction_time=A_TIME + 60_000))
    apply(again, position_set(amount="6", transaction_time=A_TIME + 60_000))
    assert Doubt("position", BTC, PositionSide.BOTH) not in again.doubts


def test_a_checkpoint_tells_fills_in_the_order_of_their_making() -> None:
    held = told(
        filled(symbol="A", trade_id="1", transaction_time=A_TIME + 2),
        filled(symbol="B", trade_id="2", transaction_time=A_TIME + 1),
        filled(symbol="A", trade_id="3", transaction_time=A_TIME + 3),
    )
    again = told(*checkpoint_of(held))
    assert [fill.trade_id for fill in again.recent_fills] == ["2", "1", "3"]


def test_a_movement_of_cash_is_not_told_again_after_a_restart() -> None:
    held = told(balance_moved(), balance_moved(delta="7", movement_id="m7", source="snapshot"))
    again = told(*checkpoint_of(held))
    assert apply(again, balance_moved(movement_id="m1", source="snapshot")) is None
    assert apply(again, balance_moved(delta="7", movement_id="m7", source="snapshot")) is None
    assert apply(again, balance_moved(delta="7", transaction_time=A_TIME + 100)) is None


def test_how_far_was_read_and_what_is_open_survives_a_restart() -> None:
    held = told(
        snapshot_taken(proven_until=A_TIME, read_until=A_TIME + 7, read_since=A_TIME - 9, asked_time=A_TIME + 1),
        mismatch(key="1"),
        mismatch(key="2"),
        mismatch(key="1", resolved=True),
    )
    forget(held, Millis(A_TIME - 3))
    again = told(*checkpoint_of(held))
    assert list(again.mismatches) == [("position", "2")]
    for name in ("proven_until", "read_until", "asked_time", "began", "forgotten_before", "mismatches"):
        assert getattr(again, name) == getattr(held, name), name


def test_settings_survive_a_restart() -> None:
    held = told(
        account_config_changed(leverage=7, margin_type="isolated"),
        account_config_changed(symbol=None, leverage=None, hedge_mode=True, can_trade=False),
    )
    again = told(*checkpoint_of(held))
    assert (again.leverages, again.margin_types) == (held.leverages, held.margin_types)
    assert (again.hedge_mode, again.multi_asset_mode, again.can_trade) == (True, None, False)


# --- bytes ---


def with_bytes(event: Event) -> Event:
    stamp(event, 1, Frame.of(b"of the venue"))
    return event


def test_memory_lets_go_of_bytes_and_whoever_holds_the_fact_has_them_still() -> None:
    fill, order = with_bytes(filled()), with_bytes(order_changed(status="filled", filled_quantity="0.100"))
    held = told(fill, order)
    assert let_go_of_bytes(held, 10) == 2
    [kept], [ended] = held.fills[BTC].values(), held.orders.values()
    assert (kept, ended) == (msgspec.structs.replace(fill, frame=None), msgspec.structs.replace(order, frame=None))
    assert (kept.raw(), ended.raw(), held.recent_fills[-1]) == (None, None, kept)
    assert count_remembered(held) == 2
    assert fill.raw() == order.raw() == b"of the venue"
    assert let_go_of_bytes(held, 10) == 0


def test_bytes_go_in_the_order_of_their_coming_so_many_at_a_time() -> None:
    held = told(*(with_bytes(filled(trade_id=str(number))) for number in range(5)))
    assert let_go_of_bytes(held, 2) == count_remembered(held) == 2
    assert [fill.raw() is None for fill in held.recent_fills] == [True, True, False, False, False]
    assert [fill.raw() is None for fill in held.fills[BTC].values()] == [True, True, False, False, False]


def test_an_open_order_keeps_its_bytes() -> None:
    held = told(with_bytes(order_changed()))
    assert let_go_of_bytes(held, 10) == count_remembered(held) == 0
    assert [order.raw() for order in held.orders.values()] == [b"of the venue"]


def test_a_fill_whose_rest_came_meanwhile_lets_go_as_it_is_now() -> None:
    held = told(with_bytes(lite(filled())), with_bytes(filled()))
    let_go_of_bytes(held, 10)
    [kept] = held.fills[BTC].values()
    assert (kept.raw(), kept.fee is None, held.recent_fills[-1] is kept) == (None, False, True)


def test_a_fill_that_let_go_can_still_be_completed() -> None:
    held = told(with_bytes(lite(filled())))
    let_go_of_bytes(held, 10)
    assert apply(held, filled()) is not None
    assert [fill.fee is None for fill in held.recent_fills] == [False]


def test_what_was_forgotten_does_not_come_back() -> None:
    held = told(with_bytes(filled()), with_bytes(order_changed(status="filled", filled_quantity="0.100")))
    forget(held, Millis(A_TIME + 100_000))
    let_go_of_bytes(held, 10)
    assert (held.orders, held.fills) == ({}, {})
