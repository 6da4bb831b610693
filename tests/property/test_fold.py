"""Laws of the account fold: copies and disorder cannot hurt, the older copy loses, a restart changes nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from decimal import Decimal

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from tests.support.events import (
    A_TIME,
    account_config_changed,
    balance_moved,
    balance_set,
    gap_opened,
    order_changed,
    position_set,
    snapshot_taken,
)
from tests.support.histories import leg_words, lite, merged, order_lives, shuffled_with_copies
from userstream.domain.account import Account
from userstream.domain.events import BalanceSet, Event, FillCompleted, Filled, Frame, OrderChanged, PositionSet, stamp
from userstream.domain.fold import apply, checkpoint_of, forget, let_go_of_bytes
from userstream.domain.orders import order_age
from userstream.kernel.ids import AccountId, Millis, VenueName

LAG_MS = 5_000


def account() -> Account:
    return Account(AccountId("alice"), VenueName("binance-usdm"), lag_ms=LAG_MS)


def fold(events: Iterable[Event], into: Account | None = None, connection: int = 1) -> tuple[Account, list[Event]]:
    target = account() if into is None else into
    return target, [news for event in events if (news := apply(target, event, connection)) is not None]


def orders_of(folded: Account) -> dict[object, object]:
    return {
        key: (order.status, order.filled_quantity, order.quantity, order.price, order.transaction_time)
        for key, order in folded.orders.items()
    }


def fills_of(folded: Account) -> dict[object, Filled]:
    return {(symbol, key): fill for symbol, fills in folded.fills.items() for key, fill in fills.items()}


# --- orders and fills ---


@given(st.data())
def test_any_order_of_arrival_with_any_copies_folds_to_the_same(data: st.DataObject) -> None:
    events = data.draw(order_lives())
    plain, _ = fold(events)
    mixed, _ = fold(data.draw(shuffled_with_copies(events)))
    assert orders_of(mixed) == orders_of(plain)
    assert fills_of(mixed) == fills_of(plain)
    assert mixed.fill_sums == plain.fill_sums
    assert not mixed.doubts


@given(order_lives())
def test_folding_twice_is_folding_once(events: list[Event]) -> None:
    once, _ = fold(events)
    before = (orders_of(once), fills_of(once), dict(once.fill_sums), list(once.recent_fills))
    _, again = fold(events, once)
    assert again == []
    assert (orders_of(once), fills_of(once), dict(once.fill_sums), list(once.recent_fills)) == before


@given(st.data())
def test_fills_are_a_set_and_each_is_published_once(data: st.DataObject) -> None:
    events = data.draw(order_lives())
    folded, published = fold(data.draw(shuffled_with_copies(events)))
    told = Counter((event.symbol, event.trade_id) for event in published if isinstance(event, Filled))
    made = {(event.symbol, event.trade_id): event for event in events if isinstance(event, Filled)}
    assert told == Counter(made.keys())
    for key, total in folded.fill_sums.items():
        assert total == sum((fill.quantity for fill in made.values() if (fill.symbol, fill.order_id) == key), Decimal(0))


statuses = st.sampled_from(("new", "partially_filled", "filled", "canceled", "rejected", "expired", "pending", "triggered", "unknown"))


@st.composite
def any_copies(draw: st.DrawFn) -> OrderChanged:
    time = A_TIME + draw(st.integers(0, 6))
    source = draw(st.sampled_from(("stream", "snapshot")))
    return order_changed(
        status=draw(statuses),
        filled_quantity=str(draw(st.integers(0, 3))),
        price=draw(st.sampled_from(("1", "2"))),
        conditional=draw(st.booleans()),
        transaction_time=time,
        event_time=time,
        source=source,
        as_of=time + draw(st.sampled_from((0, 2 * LAG_MS))) if source == "snapshot" else 0,
    )


@given(st.lists(any_copies(), max_size=12))
def test_an_order_only_moves_up_and_a_final_status_stays(copies: list[OrderChanged]) -> None:
    folded = account()
    for copy in copies:
        key = (copy.symbol, copy.order_id, copy.conditional)
        known = folded.orders.get(key)
        news = apply(folded, copy)
        after = folded.orders[key]
        if known is not None:
            assert order_age(after) >= order_age(known)
            assert after.filled_quantity >= known.filled_quantity or not known.status.is_final
            assert after.status is known.status or not known.status.is_final
        assert news is None or news is after


@given(st.data())
def test_a_fast_copy_and_a_full_one_are_one_fill_and_at_most_one_completion(data: st.DataObject) -> None:
    fills = [event for event in data.draw(order_lives()) if isinstance(event, Filled)]
    copies = [copy for fill in fills for copy in (lite(fill), fill)]
    folded, published = fold(data.draw(shuffled_with_copies(copies)) if copies else [])
    told = Counter((event.symbol, event.trade_id) for event in published if isinstance(event, Filled))
    completed = Counter((event.symbol, event.trade_id) for event in published if isinstance(event, FillCompleted))
    assert told == Counter((fill.symbol, fill.trade_id) for fill in fills)
    assert all(times == 1 for times in completed.values())
    first_copies = {(event.symbol, event.trade_id): event.fee for event in published if isinstance(event, Filled)}
    assert {key for key, fee in first_copies.items() if fee is None} == set(completed)
    assert all(fill.fee is not None and fill.position_side is not None for fill in fills_of(folded).values())
    assert set(folded.recent_fills) == set(fills_of(folded).values())


# --- registers ---


def words_at(times: list[int]) -> list[BalanceSet]:
    return [balance_set(total=str(number), transaction_time=A_TIME + time) for number, time in enumerate(times)]


@given(st.lists(st.integers(0, 30), min_size=1, unique=True).flatmap(st.permutations))
def test_of_one_socket_the_newest_value_wins_in_any_order(times: list[int]) -> None:
    words = words_at(times)
    folded, _ = fold([*words, *words])
    assert folded.balances["USDT"] == max(words, key=lambda word: word.transaction_time)
    assert not folded.doubts


@given(st.lists(st.integers(0, 3), min_size=1, max_size=12).map(sorted))
def test_of_one_socket_the_later_of_one_instant_wins(times: list[int]) -> None:
    words = words_at(times)
    folded, published = fold(words)
    assert folded.balances["USDT"] == words[-1]
    assert published == words


@given(st.data())
def test_two_sockets_with_ties_end_right_after_the_venues_books_were_asked(data: st.DataObject) -> None:
    amounts = data.draw(st.lists(st.integers(0, 3), min_size=1, max_size=6))
    times = data.draw(st.lists(st.integers(0, 1), min_size=len(amounts), max_size=len(amounts)).map(sorted))
    words = [position_set(amount=str(amount), transaction_time=A_TIME + time) for amount, time in zip(amounts, times, strict=True)]
    second = words[data.draw(st.integers(0, len(words))) :]
    both = data.draw(merged([(1, word) for word in words], [(2, word) for word in second]))
    asked_after = data.draw(st.integers(0, len(both)))
    truth, folded = words[-1], account()
    for connection, word in both[:asked_after]:
        apply(folded, word, connection)
    answered_at = Millis(truth.transaction_time + LAG_MS + 1)
    apply(folded, msgspec.structs.replace(truth, source="snapshot", as_of=answered_at))
    for connection, word in both[asked_after:]:
        apply(folded, word, connection)
    assert folded.positions["BTCUSDT", truth.position_side].amount == truth.amount  # type: ignore[index]
    assert not [doubt for doubt in folded.doubts if doubt.subject == "tie"]


@given(st.integers(0, 100), st.integers(-100, 100), st.integers(0, 2 * LAG_MS))
def test_an_answer_older_than_the_stream_never_overwrites_it(time: int, other_time: int, asked_after: int) -> None:
    told = position_set(amount="3", transaction_time=A_TIME + time)
    read = position_set(amount="1", source="snapshot", transaction_time=A_TIME + other_time, as_of=A_TIME + time + asked_after)
    folded, _ = fold([told, read])
    position = folded.positions[told.symbol, told.position_side]
    if other_time <= time and asked_after <= LAG_MS:
        assert position is told
    if asked_after > LAG_MS:
        assert position.amount == 1
    assert position.transaction_time >= told.transaction_time


@given(st.data())
def test_the_words_about_a_leg_add_up_in_every_order_of_the_two_kinds(data: st.DataObject) -> None:
    fills, words = data.draw(leg_words())
    folded, _ = fold([snapshot_taken(started_time=A_TIME)])
    fold(data.draw(merged([*fills], [*words])), folded)
    assert not [doubt for doubt in folded.doubts if doubt.subject == "position"]
    assert folded.positions[words[-1].symbol, words[-1].position_side].amount == words[-1].amount


@given(st.data())
def test_a_lost_fill_or_a_lost_last_word_of_a_leg_is_a_doubt(data: st.DataObject) -> None:
    fills, words = data.draw(leg_words())
    folded, _ = fold([snapshot_taken(started_time=A_TIME)])
    events: list[Event] = data.draw(merged([*fills], [*words]))
    lost = data.draw(st.sampled_from([*fills, words[-1]]))
    fold([event for event in events if event is not lost], folded)
    assert [doubt for doubt in folded.doubts if doubt.subject == "position"]


# --- restart and memory ---

settings = st.lists(
    st.sampled_from(
        (
            account_config_changed(leverage=5),
            account_config_changed(leverage=None, margin_type="isolated"),
            account_config_changed(symbol="ETHUSDT", leverage=50, margin_type="cross"),
            account_config_changed(symbol=None, leverage=None, hedge_mode=False, multi_asset_mode=True),
            account_config_changed(symbol=None, leverage=None, can_trade=False),
        )
    ),
    max_size=5,
)
movements = st.lists(
    st.builds(
        lambda delta, time, source: balance_moved(
            delta=str(delta),
            transaction_time=A_TIME + time,
            movement_id=f"{delta}:{time}" if source == "snapshot" else "",
            source=source,
        ),
        st.integers(1, 2),
        st.sampled_from((0, 1_000, 3_000, 5_000, 9_000)),
        st.sampled_from(("stream", "snapshot")),
    ),
    max_size=6,
)


@st.composite
def whole_accounts(draw: st.DrawFn) -> Account:
    folded, _ = fold(draw(order_lives()))
    fills, words = draw(leg_words(symbol="XRPUSDT"))
    fold([*words_at(draw(st.lists(st.integers(0, 9), max_size=3)))], folded)
    if draw(st.booleans()):
        fold([snapshot_taken(epoch=draw(st.integers(1, 9)), started_time=A_TIME, proven_until=A_TIME + draw(st.integers(0, 20)))], folded)
    fold(draw(merged([*fills], [*words])), folded)
    fold([*draw(settings), *draw(movements)], folded)
    if draw(st.booleans()):
        fold([gap_opened(since=A_TIME + 5)], folded)
    if draw(st.booleans()):
        forget(folded, Millis(A_TIME + draw(st.integers(0, 60))))
    return folded


def restored(original: Account) -> Account:
    """As a restart does it: written, read, folded."""
    written = msgspec.json.encode(checkpoint_of(original))
    return fold(msgspec.json.decode(written, type=tuple[Event, ...]), connection=0)[0]


@given(whole_accounts())
def test_a_checkpoint_rebuilds_the_account(original: Account) -> None:
    again = restored(original)
    for name in ("orders", "positions", "balances", "fills", "fill_sums", "leverages", "margin_types", "movements"):
        assert getattr(again, name) == getattr(original, name), name
    for name in ("hedge_mode", "multi_asset_mode", "can_trade", "gap_since"):
        assert getattr(again, name) == getattr(original, name), name
    if original.positions_known_since is not None:
        assert (again.proven_until, again.epoch) == (original.proven_until, original.epoch)
        assert again.positions_known_since == original.positions_known_since
    assert not [doubt for doubt in again.doubts if doubt.subject == "order"]


@given(st.data())
def test_after_a_restart_the_same_events_are_news_as_without_it(data: st.DataObject) -> None:
    events = data.draw(order_lives())
    cut = data.draw(st.integers(0, len(events)))
    original, _ = fold([snapshot_taken(started_time=A_TIME), *events[:cut]])
    again = restored(original)
    tail = data.draw(shuffled_with_copies(events))
    _, expected = fold(tail, original)
    _, published = fold(tail, again)
    assert published == expected
    assert orders_of(again) == orders_of(original)


@given(st.data())
def test_a_leg_goes_on_adding_up_after_a_restart(data: st.DataObject) -> None:
    fills, words = data.draw(leg_words())
    times = [fill.transaction_time for fill in fills]
    cut = data.draw(st.sampled_from([place for place in range(len(fills) + 1) if times[place - 1 : place] != times[place : place + 1]]))
    before = [event for pair in zip(fills[:cut], words[:cut], strict=True) for event in pair]
    original, _ = fold([snapshot_taken(started_time=A_TIME), *before])
    if cut and data.draw(st.booleans()):
        forget(original, Millis(times[cut - 1] + 1))
    again = restored(original)
    again.doubts.clear()
    tail: list[Event] = data.draw(merged([*fills[cut:]], [*words[cut:]]))
    fold(tail, again)
    assert not [doubt for doubt in again.doubts if doubt.subject == "position"]


@given(st.data())
def test_forgetting_keeps_what_is_open_and_never_tells_old_copies_again(data: st.DataObject) -> None:
    events = data.draw(order_lives())
    folded, _ = fold(events)
    still_open = {order.order_id for order in folded.open_orders()}
    needed = {key for key, fill in fills_of(folded).items() if fill.order_id in still_open}
    forget(folded, Millis(A_TIME + data.draw(st.integers(0, 100))))
    assert {order.order_id for order in folded.open_orders()} == still_open
    assert needed <= set(fills_of(folded))
    _, again = fold(data.draw(shuffled_with_copies(events)), folded)
    assert again == []
    assert not folded.doubts


@given(st.data())
def test_letting_go_of_bytes_at_any_time_changes_nothing_that_is_told_or_remembered(data: st.DataObject) -> None:
    events: list[Event] = data.draw(shuffled_with_copies(data.draw(order_lives())))
    plain, lighter = account(), account()
    for number, event in enumerate(events):
        copy = msgspec.structs.replace(event)
        stamp(copy, 0, Frame.of(b"%d" % number))
        assert apply(lighter, copy, 1) == (None if (news := apply(plain, event, 1)) is None else news_with_bytes(news, event, copy))
        let_go_of_bytes(lighter, data.draw(st.integers(0, 3)))
    let_go_of_bytes(lighter, len(lighter.fresh))
    assert [without_bytes(order) for order in lighter.orders.values()] == list(plain.orders.values())
    assert fills_of(lighter) == fills_of(plain)
    assert list(lighter.recent_fills) == list(plain.recent_fills)
    assert all(order.raw() is None for order in lighter.orders.values() if order.has_ended)
    assert lighter.doubts == plain.doubts


def news_with_bytes(news: Event, event: Event, copy: Event) -> Event:
    return copy if news is event else news if isinstance(news, FillCompleted) else msgspec.structs.replace(news, frame=copy.frame)


def without_bytes(event: Event) -> Event:
    return msgspec.structs.replace(event, frame=None)


@given(whole_accounts(), st.integers(0, 100))
def test_forgetting_keeps_positions_balances_and_sums(original: Account, before: int) -> None:
    kept = (dict(original.positions), dict(original.balances), dict(original.leverages))
    forget(original, Millis(A_TIME + before))
    assert (dict(original.positions), dict(original.balances), dict(original.leverages)) == kept
    for key, total in original.fill_sums.items():
        known = [fill for fill in fills_of(original).values() if (fill.symbol, fill.order_id) == key]
        assert total == sum((fill.quantity for fill in known), Decimal(0))


@given(st.data())
def test_any_mixture_leaves_an_account_that_can_be_read(data: st.DataObject) -> None:
    events = data.draw(order_lives())
    folded, _ = fold(data.draw(shuffled_with_copies(events)))
    assert {order.order_id for order in folded.open_orders()} <= {order.order_id for order in folded.orders.values()}
    assert folded.is_exposed is any(True for _ in folded.open_orders())
    assert isinstance(folded.positions.get(("BTCUSDT", "both")), PositionSet | None)  # type: ignore[arg-type]
