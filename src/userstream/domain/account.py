"""The account: what is true of it as far as we were told. Changed by `domain.fold.apply` alone."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from decimal import Decimal
from typing import Final, TypeAlias

import msgspec

from userstream.domain.checks import PositionWatch
from userstream.domain.events import (
    BalanceSet,
    Event,
    Filled,
    FilledBefore,
    Mismatch,
    OrderChanged,
    OrderListChanged,
    PositionSet,
)
from userstream.domain.words import MarginType, PositionSide, Side, StreamState
from userstream.kernel.amount import ZERO
from userstream.kernel.ids import AccountId, Millis, OrderId, Symbol, VenueName

OrderKey: TypeAlias = tuple[Symbol, OrderId, bool]
"""Symbol, id, conditional: order ids are unique per symbol, and conditional orders have ids of their own."""

FillKey: TypeAlias = tuple[str, OrderId]
"""Trade id and order id, within a symbol: an account that trades with itself has one trade id on two of its orders."""

PositionKey: TypeAlias = tuple[Symbol, PositionSide]

NO_TIME: Final = Millis(0)
RECENT_FILLS: Final = 200
"""Of nearly a kilobyte each, in the memory of every account; all of them are in the store."""

BUY: Final = Side.BUY


class Doubt(msgspec.Struct, frozen=True):
    """Something that does not add up yet. subject: order (its fills are fewer than it says), position (its fills do not give it),
    tie (two sockets tell different things of one instant), mode (a leg that the position mode forbids)."""

    subject: str
    symbol: Symbol
    key: str


class Instant(msgspec.Struct):
    """Several values of one register in one millisecond, in the order of their making, and how far each socket has told them."""

    time: Millis
    told: list[PositionSet | BalanceSet]
    reached: dict[int, int]


class Moment(msgspec.Struct):
    """Several rare events of one key in one millisecond, and which of them each socket has told, in its order."""

    time: Millis
    told: list[Event]
    heard: dict[int, list[int]]


class Movement(msgspec.Struct):
    """A change of cash we know of; the stream tells it without an id, the history with one. `streamed`: the stream told it. `symbol` is
    None where nobody named one."""

    asset: str
    delta: Decimal
    time: Millis
    movement_id: str
    streamed: bool
    symbol: Symbol | None = None


def signed_quantity(fill: Filled) -> Decimal:
    """How the fill changes its leg: short is negative."""
    return fill.quantity if fill.side is BUY else -fill.quantity


class Account:
    """All that is true about one account as far as we were told. Only what is open or recent lives here; history is the journal's.

    proven_until: venue time up to which history was read and nothing in it is unexplained (0: never). read_until: up to which it was read
    at all; asked_time: our own clock when that reading began. began: venue time from which on fills are in our care; what is older was
    never read, or can be read no more. gap_since: venue time from which events may be missing (None: nothing missing). lag_ms: how old
    a REST answer may be at most. mismatches: the open ones, by subject and key. anchors: what was filled of orders before our care.
    was_live: whether it ever was; before that, nothing says since when the stream tells all.
    settled: the wallets as they were when a reading last explained them. fresh: fills and ended orders as they came, until the venue's
    bytes behind them are let go.
    """

    def __init__(self, account: AccountId, venue: VenueName, *, lag_ms: int = 5_000) -> None:
        self.id, self.venue, self.lag_ms = account, venue, lag_ms
        self.state = StreamState.CONNECTING
        self.was_live = False
        self.orders: dict[OrderKey, OrderChanged] = {}
        self.positions: dict[PositionKey, PositionSet] = {}
        self.balances: dict[str, BalanceSet] = {}
        self.settled: dict[str, BalanceSet] = {}
        self.available: dict[str, tuple[Decimal, Millis]] = {}
        self.leverages: dict[Symbol, int] = {}
        self.margin_types: dict[Symbol, MarginType] = {}
        self.hedge_mode: bool | None = None
        self.multi_asset_mode: bool | None = None
        self.can_trade: bool | None = None
        self.fills: dict[Symbol, dict[FillKey, Filled]] = {}
        self.recent_fills: deque[Filled] = deque(maxlen=RECENT_FILLS)
        self.fresh: deque[OrderChanged | Filled] = deque()
        self.forgotten_before = NO_TIME
        self.fill_sums: dict[tuple[Symbol, OrderId], Decimal] = {}
        self.movements: list[Movement] = []
        self.proven_until = self.read_until = self.asked_time = self.began = NO_TIME
        self.mismatches: dict[tuple[str, str], Mismatch] = {}
        self.anchors: dict[tuple[Symbol, OrderId], FilledBefore] = {}
        self.gap_since: Millis | None = None
        self.epoch = 0
        self.positions_known_since: Millis | None = None
        self.doubts: dict[Doubt, int] = {}
        self.doubts_raised = 0
        self.duplicates = 0
        self.config_times: dict[str, Millis] = {}
        self.watches: dict[PositionKey, PositionWatch] = {}
        self.lines: dict[PositionKey | str, int] = {}
        self.instants: dict[PositionKey | str, Instant] = {}
        self.order_lists: dict[str, OrderListChanged] = {}
        self.seen_last: dict[tuple[str, str], Moment] = {}

    def open_orders(self) -> Iterator[OrderChanged]:
        return (order for order in list(self.orders.values()) if not order.has_ended)

    @property
    def is_exposed(self) -> bool:
        """Whether a position or an order is open: such accounts are cared for first."""
        return any(position.amount for position in self.positions.values()) or any(True for _ in self.open_orders())

    def order_by_id(self, order_id: str) -> OrderChanged | None:
        """The order with this id or client order id; the newest if several have it (a client order id may be used again)."""
        found = [order for order in list(self.orders.values()) if order_id in (order.order_id, order.client_order_id)]
        return max(found, key=lambda order: order.transaction_time, default=None)

    def symbols(self) -> set[Symbol]:
        """Every symbol with an order, a fill or a leg in memory."""
        return {key[0] for key in self.orders} | {key[0] for key in self.positions} | set(self.fills)

    def watch_of(self, key: PositionKey) -> PositionWatch | None:
        """The leg's checksum. Once all legs were read, one never heard of is known to have been flat: at some moment of that reading."""
        watch = self.watches.get(key)
        known_since = self.positions_known_since
        if watch is None and known_since is not None:
            watch = self.start_watch(key, ZERO, Millis(known_since - self.lag_ms), Millis(known_since + self.lag_ms))
        return watch

    def start_watch(self, key: PositionKey, amount: Decimal, since: Millis, until: Millis | None = None) -> PositionWatch:
        """Begins a leg's checksum; fills that came before it are counted in."""
        watch = self.watches[key] = PositionWatch(amount, since, until)
        for fill in self.fills.get(key[0], {}).values():
            if fill.position_side is key[1]:
                watch.add_fill(fill.transaction_time, signed_quantity(fill))
        return watch

    def doubt(self, subject: str, symbol: Symbol, key: str) -> None:
        """Opens a doubt; its number tells one that stayed open from one that was settled and opened again."""
        if (doubt := Doubt(subject, symbol, key)) not in self.doubts:
            self.doubts_raised += 1
            self.doubts[doubt] = self.doubts_raised

    def note_leg(self, key: PositionKey, watch: PositionWatch) -> None:
        """Opens or closes the doubt about a leg."""
        if watch.in_doubt:
            self.doubt("position", key[0], key[1])
        elif self.doubts:
            self.doubts.pop(Doubt("position", key[0], key[1]), None)
