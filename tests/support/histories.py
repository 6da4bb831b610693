"""What a venue may tell of one account, as hypothesis strategies: lives of orders with their fills, and the words about one leg."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Final, TypeVar

import msgspec
from hypothesis import strategies as st

from tests.support.events import A_TIME, filled, order_changed, position_set
from userstream.domain.events import Event, Filled, OrderChanged, PositionSet
from userstream.kernel.ids import Millis

Item = TypeVar("Item")
ENDS: Final = ("filled", "canceled", "expired", None)


@st.composite
def order_lives(draw: st.DrawFn, *, orders: int = 3) -> list[Event]:
    """All messages of a few orders in the order of their making: placed, amended forth and back, filled in parts, ended or still open."""
    events: list[Event] = []
    for number in range(draw(st.integers(1, orders))):
        events += draw(_life(f"{number + 1}", draw(st.sampled_from(("BTCUSDT", "ETHUSDT")))))
    return sorted(events, key=_time_of)


def _time_of(event: Event) -> int:
    assert isinstance(event, OrderChanged | Filled)
    return event.transaction_time


@st.composite
def _life(draw: st.DrawFn, order_id: str, symbol: str) -> list[Event]:
    time, done, number = A_TIME + draw(st.integers(0, 50)), Decimal(0), int(order_id) * 100
    side = draw(st.sampled_from(("buy", "sell")))
    told: dict[str, object] = {"symbol": symbol, "order_id": order_id, "client_order_id": f"bot-{order_id}", "side": side, "quantity": "10"}
    events: list[Event] = [order_changed(**told, transaction_time=time)]
    for step in draw(st.lists(st.sampled_from(("fill", "fill", "up", "back")), max_size=7)):
        time += draw(st.integers(1, 3))
        if step != "fill":
            told["price"] = "61300" if step == "up" else "61250.10"
            status = "partially_filled" if done else "new"
            events.append(
                order_changed(**told, status=status, filled_quantity=str(done), execution_type="amendment", transaction_time=time)
            )
            continue
        done, number = done + 1, number + 1
        events += _execution(told, str(number), done, time, "partially_filled")
    return events + _end_of(told, draw(st.sampled_from(ENDS)), done, number + 1, time + 5)


def _end_of(told: dict[str, object], end: str | None, done: Decimal, number: int, time: int) -> list[Event]:
    if end is None:
        return []
    if end == "filled":
        return _execution({**told, "quantity": str(done + 1)}, str(number), done + 1, time, "filled")
    return [order_changed(**told, status=end, filled_quantity=str(done), execution_type=end, transaction_time=time)]


def _execution(told: dict[str, object], trade_id: str, done: Decimal, time: int, status: str) -> list[Event]:
    shared = {name: told[name] for name in ("symbol", "order_id", "client_order_id", "side")}
    return [
        filled(**shared, trade_id=trade_id, quantity="1", transaction_time=time),
        order_changed(**told, status=status, filled_quantity=str(done), execution_type="trade", transaction_time=time),
    ]


@st.composite
def leg_words(draw: st.DrawFn, *, symbol: str = "BTCUSDT") -> tuple[list[Filled], list[PositionSet]]:
    """One leg from flat: its fills, and the position message that follows each; several of both may share a millisecond."""
    time, amount = A_TIME + 10_000, Decimal(0)
    fills: list[Filled] = []
    words: list[PositionSet] = []
    steps = draw(st.lists(st.tuples(st.sampled_from((0, 0, 1, 700)), st.sampled_from((-2, -1, 1, 2))), min_size=1, max_size=8))
    for number, (pause, change) in enumerate(steps):
        time, amount = time + pause, amount + change
        side = "buy" if change > 0 else "sell"
        fills.append(filled(symbol=symbol, trade_id=str(number), side=side, quantity=str(abs(change)), transaction_time=time))
        words.append(position_set(symbol=symbol, amount=str(amount), event_time=time + 2, transaction_time=time))
    return fills, words


@st.composite
def merged(draw: st.DrawFn, one: Sequence[Item], other: Sequence[Item]) -> list[Item]:
    """Both in one, each keeping its own order."""
    rest, others = list(one), list(other)
    both: list[Item] = []
    while rest and others:
        both.append((rest if draw(st.booleans()) else others).pop(0))
    return both + rest + others


@st.composite
def shuffled_with_copies(draw: st.DrawFn, events: Sequence[Item]) -> list[Item]:
    """Every event at least once, some more often, in any order."""
    copies = draw(st.lists(st.sampled_from(list(events)), max_size=10))
    return draw(st.permutations([*events, *copies]))


def lite(fill: Filled) -> Filled:
    """The fast first copy of a fill: without fee, leg and profit (Binance USD-M, 4.1.2)."""
    return msgspec.structs.replace(fill, fee=None, fee_asset=None, realized_pnl=None, position_side=None)


def later(event: Filled, milliseconds: int) -> Filled:
    return msgspec.structs.replace(event, transaction_time=Millis(event.transaction_time + milliseconds))
