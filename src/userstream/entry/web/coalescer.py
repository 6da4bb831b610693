"""What a slow reader still has to be told of one account: each order, leg and wallet once, every fill and every other event whole. Pure.

It notes which parts changed, not what they became: the newest is read from the account itself when the reader is told.
"""

from __future__ import annotations

from typing import Final

import msgspec

from userstream.domain.account import Account
from userstream.domain.events import (
    AccountConfigChanged,
    BalanceSet,
    Event,
    GapOpened,
    GapRepaired,
    Mismatch,
    OrderChanged,
    PositionSet,
    SnapshotTaken,
    StreamChanged,
)
from userstream.domain.figures import balance_of, flat, order_of, position_of
from userstream.domain.words import PositionSide
from userstream.entry.web.forms import BalanceForm, OrderForm, PositionForm, balance_form, order_form, position_form
from userstream.kernel.ids import OrderId, Symbol

MOST_EVENTS: Final = 5_000
"""So many events that are never merged may wait; a reader that is slower begins anew with a snapshot."""
ABOUT_HEALTH: Final = (StreamChanged, GapOpened, GapRepaired, Mismatch, SnapshotTaken)


class Delta(msgspec.Struct, frozen=True, kw_only=True):
    """What changed after one sequence, up to another. An order that is not open, a leg of amount 0: they leave the picture. `events`:
    what is never merged, in order. has_health_news: whether feed, gaps or proof changed."""

    after: int
    sequence: int
    orders: list[OrderForm]
    positions: list[PositionForm]
    balances: list[BalanceForm]
    events: list[Event]
    has_health_news: bool


class Coalescer:
    """Takes events in the order of their sequences, gives deltas without a hole between them."""

    def __init__(self, after: int, *, most_events: int = MOST_EVENTS) -> None:
        """`after`: the sequence of the snapshot that the reader has, or of the last delta that it saw."""
        self._told = self._reached = after
        self._most_events = most_events
        self._orders: dict[tuple[Symbol, OrderId, bool], OrderChanged] = {}
        self._positions: dict[tuple[Symbol, PositionSide], None] = {}
        self._balances: dict[str, None] = {}
        self._events: list[Event] = []
        self._has_health_news = self._has_reading = False
        self.has_overflowed = False

    def note(self, event: Event) -> None:
        """An event that the account has taken in. One at or below what was noted before changes nothing."""
        if event.sequence <= self._reached or self.has_overflowed:
            return
        self._reached = event.sequence
        match event:
            case OrderChanged():
                self._orders[event.symbol, event.order_id, event.conditional] = event
            case PositionSet():
                self._positions[event.symbol, event.position_side] = None
            case BalanceSet():
                self._balances[event.asset] = None
            case _:
                self._note_whole(event)

    def _note_whole(self, event: Event) -> None:
        if isinstance(event, AccountConfigChanged) and event.symbol is not None:
            self._positions |= {(event.symbol, side): None for side in PositionSide}
        # a reading of the venue's books refreshes what streams do not tell (available, mark price), and says so in no other event
        self._has_reading = self._has_reading or isinstance(event, SnapshotTaken)
        self._has_health_news = self._has_health_news or isinstance(event, ABOUT_HEALTH)
        self._events.append(event)
        if len(self._events) > self._most_events:
            self.has_overflowed = True
            self._events.clear()

    def take(self, account: Account) -> Delta | None:
        """All that waits, with the account's parts as they are now; None when nothing does."""
        if self._reached == self._told:
            return None
        if self._has_reading:
            self._positions |= dict.fromkeys(account.positions)
            self._balances |= dict.fromkeys(account.balances)
        delta = Delta(
            after=self._told,
            sequence=self._reached,
            orders=[order_form(order_of(account.orders.get(key, event))) for key, event in self._orders.items()],
            positions=[_leg(account, key) for key in self._positions],
            balances=[balance_form(balance_of(account, account.balances[asset])) for asset in self._balances if asset in account.balances],
            events=list(self._events),
            has_health_news=self._has_health_news,
        )
        self._begin_anew()
        return delta

    def _begin_anew(self) -> None:
        self._told = self._reached
        self._orders.clear()
        self._positions.clear()
        self._balances.clear()
        self._events.clear()
        self._has_health_news = self._has_reading = False


def _leg(account: Account, key: tuple[Symbol, PositionSide]) -> PositionForm:
    event = account.positions.get(key)
    return position_form(flat(account, *key) if event is None else position_of(account, event))
