"""The law of the live feed: a snapshot and all deltas after it give the account as it is, wherever they were cut."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from tests.support.events import (
    A_TIME,
    account_config_changed,
    balance_set,
    filled,
    margin_called,
    order_changed,
    position_set,
    snapshot_taken,
    stream_changed,
)
from userstream.domain.account import Account
from userstream.domain.events import Event, Filled, OrderChanged, stamp
from userstream.domain.fold import apply
from userstream.entry.web.coalescer import Coalescer, Delta
from userstream.entry.web.forms import picture_of
from userstream.kernel.ids import AccountId, VenueName

times = st.integers(A_TIME, A_TIME + 20)
amounts = st.sampled_from(["0", "0.010", "-0.5", "3"])
symbols = st.sampled_from(["BTCUSDT", "ETHUSDT"])
sides = st.sampled_from(["both", "long", "short"])


def build_order(number: int, status: str, quantity: str, time: int, symbol: str) -> Event:
    return order_changed(order_id=str(number), status=status, filled_quantity=quantity, transaction_time=time, symbol=symbol)


facts = st.one_of(
    st.builds(
        build_order, st.integers(1, 4), st.sampled_from(["new", "partially_filled", "canceled", "filled"]),
        st.sampled_from(["0", "0.1", "0.300"]), times, symbols,
    ),
    st.builds(
        lambda symbol, side, amount, time: position_set(symbol=symbol, position_side=side, amount=amount, transaction_time=time),
        symbols, sides, amounts, times,
    ),
    st.builds(
        lambda asset, total, time: balance_set(asset=asset, total=total, transaction_time=time),
        st.sampled_from(["USDT", "BNB"]), amounts, times,
    ),
    st.builds(
        lambda symbol, trade, time: filled(symbol=symbol, trade_id=str(trade), transaction_time=time), symbols, st.integers(1, 30), times
    ),
    st.builds(
        lambda symbol, leverage, time: account_config_changed(symbol=symbol, leverage=leverage, transaction_time=time),
        symbols, st.integers(1, 20), times,
    ),
    st.builds(lambda state: stream_changed(state=state, reason="r"), st.sampled_from(["live", "connecting"])),
    st.builds(lambda symbol, time: margin_called(symbol=symbol, transaction_time=time), symbols, times),
)  # fmt: skip


@dataclass
class Reader:
    """What a page does with what it is told."""

    sequence: int
    orders: dict[Any, Any] = field(default_factory=dict)
    positions: dict[Any, Any] = field(default_factory=dict)
    balances: dict[Any, Any] = field(default_factory=dict)
    events: list[Event] = field(default_factory=list)

    @classmethod
    def of(cls, account: Account, sequence: int) -> Reader:
        reader = cls(sequence)
        reader.take(*picture_of(account))
        return reader

    def take(self, orders: Any, positions: Any, balances: Any) -> None:
        for order in orders:
            self.orders[order.symbol, order.order_id, order.conditional] = order
        for leg in positions:
            self.positions[leg.symbol, leg.position_side] = leg
        for wallet in balances:
            self.balances[wallet.asset] = wallet
        self.orders = {key: order for key, order in self.orders.items() if order.is_open}
        self.positions = {key: leg for key, leg in self.positions.items() if leg.amount.strip("0.-")}

    def hear(self, delta: Delta) -> None:
        assert delta.after == self.sequence < delta.sequence
        self.take(delta.orders, delta.positions, delta.balances)
        self.events += delta.events
        self.sequence = delta.sequence

    @property
    def picture(self) -> Any:
        """Without the time at which a part was last told to be what it was: the account notes it and tells nobody."""
        return [
            {key: msgspec.structs.replace(row, updated_time=0) for key, row in part.items()}
            for part in (self.orders, self.positions, self.balances)
        ]


def play(account: Account, given: list[Event], first: int = 1) -> list[Event]:
    """What the account took in, with places in its journal; each is told as it happens."""
    told = []
    for sequence, event in enumerate(given, first):
        changed = apply(account, event)
        if changed is not None:
            stamp(changed, sequence, None)
            told.append(changed)
    return told


@given(before=st.lists(facts, max_size=12), after=st.lists(st.tuples(facts, st.booleans()), max_size=40))
def test_a_snapshot_and_its_deltas_give_the_account_as_it_is(before: list[Event], after: list[tuple[Event, bool]]) -> None:
    account = Account(AccountId("alice"), VenueName("binance-usdm"))
    known = play(account, [msgspec.structs.replace(event) for event in before])
    sequence = known[-1].sequence if known else 0
    reader, coalescer = Reader.of(account, sequence), Coalescer(sequence)
    fills: list[Event] = []
    for number, (event, is_cut) in enumerate(after, 100):
        for told in play(account, [msgspec.structs.replace(event)], number):
            coalescer.note(told)
            fills += [told] if isinstance(told, Filled) else []
        if is_cut and (delta := coalescer.take(account)) is not None:
            reader.hear(delta)
    if (delta := coalescer.take(account)) is not None:
        reader.hear(delta)
    assert reader.picture == Reader.of(account, 0).picture
    assert [event for event in reader.events if isinstance(event, Filled)] == fills
    assert coalescer.take(account) is None


@given(st.lists(facts, max_size=40))
def test_of_each_part_only_the_newest_is_told(given: list[Event]) -> None:
    account, coalescer = Account(AccountId("alice"), VenueName("binance-usdm")), Coalescer(0)
    told = play(account, [msgspec.structs.replace(event) for event in given])
    for event in (*told, *told):
        coalescer.note(event)
    delta = coalescer.take(account)
    if delta is None:
        assert told == []
        return
    assert len(delta.orders) == len({(row.symbol, row.order_id) for row in delta.orders})
    assert len(delta.positions) == len({(row.symbol, row.position_side) for row in delta.positions})
    assert len(delta.orders) == len({(event.symbol, event.order_id) for event in told if isinstance(event, OrderChanged)})
    assert [event.sequence for event in delta.events] == sorted({event.sequence for event in delta.events})


def test_a_reader_that_is_too_slow_is_known_and_holds_nothing() -> None:
    account, coalescer = Account(AccountId("alice"), VenueName("binance-usdm")), Coalescer(0, most_events=3)
    for event in play(account, [filled(trade_id=str(number)) for number in range(5)]):
        coalescer.note(event)
    assert coalescer.has_overflowed
    delta = coalescer.take(account)
    assert delta is None or delta.events == []


def test_a_reading_brings_what_no_event_tells() -> None:
    account, coalescer = Account(AccountId("alice"), VenueName("binance-usdm")), Coalescer(2)
    play(account, [balance_set(asset="USDT", total="5"), position_set(amount="1")])
    play(account, [balance_set(asset="USDT", total="5", available="4")], 3)
    coalescer.note(snapshot_taken(sequence=4))
    delta = coalescer.take(account)
    assert delta is not None and delta.has_health_news
    assert [(wallet.asset, wallet.available) for wallet in delta.balances] == [("USDT", "4")]
    assert len(delta.positions) == 1
