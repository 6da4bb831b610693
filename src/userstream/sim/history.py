"""Reads that are older than the streams: the books as they were a short time ago.

Recording begins when a lag is asked for. For the first moments after that, reads show the books of that beginning.
"""

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from typing import Protocol

import msgspec

from userstream.sim.books import (
    AccountSettings,
    AlgoOrder,
    AlgoStatus,
    Balance,
    Debt,
    Fill,
    Happening,
    Income,
    Millis,
    Order,
    OrderHappened,
    OrderStatus,
    Position,
    Refused,
)

KEPT_MS = 30_000
OPEN_STATUSES = frozenset({OrderStatus.NEW, OrderStatus.PARTIALLY_FILLED, OrderStatus.PENDING_NEW})
OPEN_ALGO_STATUSES = frozenset({AlgoStatus.NEW, AlgoStatus.TRIGGERING})


class Books(Protocol):
    """What a REST read may see. Sorted copies; `order` raises Refused("unknown_order").

    `told_positions`: every leg of every symbol, where nobody asks for liquidation prices.
    """

    def order(self, account: str, symbol: str, *, order_id: int | None = None, client_order_id: str | None = None) -> Order: ...
    def open_orders(self, account: str, symbol: str | None = None) -> Sequence[Order]: ...
    def orders(self, account: str, symbol: str | None = None) -> Sequence[Order]: ...
    def fills(self, account: str, symbol: str | None = None) -> Sequence[Fill]: ...
    def income(self, account: str) -> Sequence[Income]: ...
    def positions(self, account: str, *, all: bool = False) -> Sequence[Position]: ...
    def told_positions(self, account: str) -> Sequence[Position]: ...
    def balances(self, account: str) -> Sequence[Balance]: ...
    def algo_orders(self, account: str, symbol: str | None = None, open_only: bool = False) -> Sequence[AlgoOrder]: ...
    def settings(self, account: str) -> AccountSettings: ...
    def debts(self, account: str) -> Sequence[Debt]: ...


class Moment(msgspec.Struct, frozen=True, kw_only=True):
    """The small parts of an account at one time."""

    time: Millis
    positions: tuple[Position, ...]
    all_positions: tuple[Position, ...]
    balances: tuple[Balance, ...]
    algo_orders: tuple[AlgoOrder, ...]
    settings: AccountSettings
    debts: tuple[Debt, ...]


class History:
    """The versions of orders and accounts since recording began, as far back as the longest lag."""

    def __init__(self, books: Books) -> None:
        self.books = books
        self._moments: dict[str, list[Moment]] = {}
        self._orders: dict[int, list[Order]] = {}
        self._begun_at = Millis(0)

    @property
    def is_recording(self) -> bool:
        return bool(self._moments)

    def begin(self, accounts: Iterable[str], now: Millis) -> None:
        self._begun_at = now
        for account in accounts:
            self._moments[account] = [self._moment(account, now)]
            for order in self.books.open_orders(account):
                self._orders[order.order_id] = [order]

    def end(self) -> None:
        self._moments.clear()
        self._orders.clear()

    def at(self, moment: Millis) -> "LaggedBooks":
        """The books as of then, or of the beginning of the recording."""
        return LaggedBooks(self, max(moment, self._begun_at))

    def record(self, happenings: Sequence[Happening], now: Millis) -> None:
        """Keep what these happenings changed."""
        if not self.is_recording:
            return
        for happening in happenings:
            if isinstance(happening, OrderHappened):
                self._orders.setdefault(happening.order.order_id, []).append(happening.order)
        for account in dict.fromkeys(happening.account for happening in happenings):
            self._moments.setdefault(account, []).append(self._moment(account, now))
            self._prune_moments(account, now)

    def prune_orders(self, now: Millis) -> None:
        """Forget versions that no lag can reach: of an open order the newest old one stays."""
        if not self._orders:
            return
        for order_id, versions in list(self._orders.items()):
            old = sum(version.updated_time < now - KEPT_MS for version in versions)
            if old == len(versions) and versions[-1].status not in OPEN_STATUSES:
                del self._orders[order_id]
            elif old > 1:
                del versions[: old - 1]

    def moment(self, account: str, cutoff: Millis) -> Moment:
        moments = self._moments.get(account)
        if moments is None:  # an account that was opened after the recording began
            return self._moment(account, cutoff)
        place = bisect_right(moments, cutoff, key=lambda moment: moment.time)
        return moments[max(0, place - 1)]

    def changed(self, account: str, symbol: str | None) -> list[Order]:
        """The orders of the account that have versions, each in its newest one."""
        newest = (versions[-1] for versions in self._orders.values())
        return [order for order in newest if order.account == account and symbol in (None, order.symbol)]

    def version(self, order: Order, cutoff: Millis) -> Order | None:
        """The order as it was; None while it did not exist."""
        known = [version for version in self._orders.get(order.order_id, ()) if version.updated_time <= cutoff]
        if known:
            return known[-1]
        return None if order.order_id in self._orders or order.created_time > cutoff else order

    def _moment(self, account: str, now: Millis) -> Moment:
        return Moment(
            time=now,
            positions=tuple(self.books.positions(account)),
            all_positions=tuple(self.books.positions(account, all=True)),
            balances=tuple(self.books.balances(account)),
            algo_orders=tuple(self.books.algo_orders(account)),
            settings=self.books.settings(account),
            debts=tuple(self.books.debts(account)),
        )

    def _prune_moments(self, account: str, now: Millis) -> None:
        moments = self._moments[account]
        old = bisect_right(moments, now - KEPT_MS, key=lambda moment: moment.time)
        if old > 1:
            del moments[: old - 1]


class LaggedBooks:
    """The books as of `cutoff`."""

    def __init__(self, history: History, cutoff: Millis) -> None:
        self._history = history
        self._books = history.books
        self._cutoff = cutoff

    def order(self, account: str, symbol: str, *, order_id: int | None = None, client_order_id: str | None = None) -> Order:
        order = self._books.order(account, symbol, order_id=order_id, client_order_id=client_order_id)
        version = self._history.version(order, self._cutoff)
        if version is None:
            raise Refused("unknown_order")
        return version

    def open_orders(self, account: str, symbol: str | None = None) -> Sequence[Order]:
        # Only what is open now, and what changed since, can have been open then: the long past needs no look.
        candidates = {order.order_id: order for order in self._history.changed(account, symbol)}
        candidates |= {order.order_id: order for order in self._books.open_orders(account, symbol)}
        versions = (self._history.version(order, self._cutoff) for _, order in sorted(candidates.items()))
        return [version for version in versions if version is not None and version.status in OPEN_STATUSES]

    def orders(self, account: str, symbol: str | None = None) -> Sequence[Order]:
        versions = (self._history.version(order, self._cutoff) for order in self._books.orders(account, symbol))
        return [version for version in versions if version is not None]

    def fills(self, account: str, symbol: str | None = None) -> Sequence[Fill]:
        fills = self._books.fills(account, symbol)
        return fills[: bisect_right(fills, self._cutoff, key=lambda fill: fill.time)]

    def income(self, account: str) -> Sequence[Income]:
        lines = self._books.income(account)
        return lines[: bisect_right(lines, self._cutoff, key=lambda line: line.time)]

    def positions(self, account: str, *, all: bool = False) -> Sequence[Position]:
        moment = self._history.moment(account, self._cutoff)
        return moment.all_positions if all else moment.positions

    def told_positions(self, account: str) -> Sequence[Position]:
        return self.positions(account, all=True)

    def balances(self, account: str) -> Sequence[Balance]:
        return self._history.moment(account, self._cutoff).balances

    def algo_orders(self, account: str, symbol: str | None = None, open_only: bool = False) -> Sequence[AlgoOrder]:
        return [
            algo
            for algo in self._history.moment(account, self._cutoff).algo_orders
            if symbol in (None, algo.symbol) and (not open_only or algo.status in OPEN_ALGO_STATUSES)
        ]

    def settings(self, account: str) -> AccountSettings:
        return self._history.moment(account, self._cutoff).settings

    def debts(self, account: str) -> Sequence[Debt]:
        return self._history.moment(account, self._cutoff).debts
