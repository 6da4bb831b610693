from __future__ import annotations

from decimal import Decimal

from tests.support.events import A_TIME, fill_completed, filled, order_changed, snapshot_taken
from tests.support.histories import lite
from userstream.domain.account import Account, Doubt
from userstream.domain.events import FillCompleted, Filled, Frame, stamp
from userstream.domain.fold import apply, forget
from userstream.domain.words import PositionSide
from userstream.kernel.ids import AccountId, Millis, OrderId, Symbol, VenueName

BTC = Symbol("BTCUSDT")


def account() -> Account:
    return Account(AccountId("alice"), VenueName("binance-usdm"), lag_ms=5_000)


def test_a_fill_is_told_once() -> None:
    held = account()
    assert apply(held, filled()) is not None
    assert apply(held, filled(source="snapshot")) is None
    assert apply(held, lite(filled())) is None
    assert held.duplicates == 2
    assert held.fill_sums == {(BTC, OrderId("8886774")): Decimal("0.100")}


def test_trade_ids_are_of_one_symbol() -> None:
    held = account()
    assert apply(held, filled(symbol="A")) is not None
    assert apply(held, filled(symbol="B")) is not None


def test_an_account_that_trades_with_itself_has_two_fills_of_one_trade() -> None:
    held = account()
    assert apply(held, filled(order_id="1", side="buy")) is not None
    assert apply(held, filled(order_id="2", side="sell")) is not None
    assert set(held.fill_sums.values()) == {Decimal("0.100")}


def test_a_fast_copy_is_completed_by_the_full_one() -> None:
    held = account()
    first = apply(held, lite(filled(maker=None)))
    completion = apply(held, filled(event_time=A_TIME + 9))
    assert isinstance(first, Filled)
    assert isinstance(completion, FillCompleted)
    assert (completion.fee, completion.fee_asset, completion.maker) == (Decimal("1.22500200"), "USDT", True)
    assert (completion.position_side, completion.realized_pnl, completion.event_time) == (PositionSide.BOTH, Decimal(0), A_TIME + 9)
    assert apply(held, filled()) is None


def test_the_completed_fill_keeps_its_place_its_bytes_and_what_the_full_copy_does_not_tell() -> None:
    held = account()
    first = lite(filled(client_order_id="bot-1", sequence=7))
    stamp(first, 7, Frame.of(b"fast"))
    apply(held, first)
    apply(held, filled(client_order_id="", source="snapshot"))
    [kept] = held.fills[BTC].values()
    assert (kept.client_order_id, kept.sequence, kept.raw(), kept.fee) == ("bot-1", 7, b"fast", Decimal("1.22500200"))


def test_people_see_the_completed_fill() -> None:
    held = account()
    apply(held, filled(trade_id="1"))
    apply(held, lite(filled(trade_id="2")))
    apply(held, filled(trade_id="3"))
    apply(held, filled(trade_id="2"))
    assert [(fill.trade_id, fill.fee is None) for fill in held.recent_fills] == [("1", False), ("2", False), ("3", False)]


def test_a_fill_that_left_the_recent_ones_is_completed_all_the_same() -> None:
    held = account()
    apply(held, lite(filled()))
    held.recent_fills.clear()
    assert apply(held, filled()) is not None
    assert not held.recent_fills


def test_a_fill_moves_its_leg_once_whichever_copy_names_the_leg() -> None:
    named_late, named_at_once = account(), account()
    for held, first in ((named_late, lite(filled())), (named_at_once, filled(fee=None))):
        apply(held, snapshot_taken(started_time=A_TIME - 60_000))
        apply(held, first)
        apply(held, filled())
        watch = held.watches[BTC, PositionSide.BOTH]
        watch.tell(Millis(A_TIME), Decimal("0.100"))
        assert not watch.in_doubt


def test_replay_completes_a_fill_by_its_completion() -> None:
    held = account()
    apply(held, lite(filled()))
    assert apply(held, fill_completed()) is not None
    assert apply(held, fill_completed()) is None
    assert apply(held, filled()) is None
    [kept] = held.fills[BTC].values()
    assert kept.fee == Decimal("1.22500200")


def test_a_completion_of_an_unknown_fill_tells_nothing() -> None:
    held = account()
    assert apply(held, fill_completed()) is None
    assert held.fills == {}


def test_an_old_fill_without_its_order_was_known_before_it_was_forgotten() -> None:
    held = account()
    forget(held, Millis(A_TIME + 1))
    assert apply(held, filled()) is None
    assert held.fills == {}
    assert held.duplicates == 1


def test_an_old_fill_of_an_order_in_memory_is_news() -> None:
    held = account()
    forget(held, Millis(A_TIME + 1))
    apply(held, order_changed(source="snapshot", status="partially_filled", filled_quantity="0.100"))
    assert apply(held, filled(source="snapshot")) is not None
    assert Doubt("order", BTC, "8886774") not in held.doubts
