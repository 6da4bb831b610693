"""Balances as a checksum over fills, for venues whose history is told by symbol: what no known fill explains was traded in a symbol that
nobody asked about, or came from outside.

Nothing is concluded from a difference but a question: amounts and fills of one moment are told apart, and a deposit looks like half a
trade.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterable, Iterator, Set
from decimal import Decimal
from itertools import accumulate
from typing import Final

from userstream.domain.account import Account
from userstream.domain.events import NO_TIME, BalanceSet, Filled
from userstream.domain.registers import held_since
from userstream.domain.words import Side
from userstream.kernel.amount import ZERO
from userstream.kernel.ids import Millis, Symbol
from userstream.wire.question import Pair

ROUNDING: Final = Decimal("0.00000001")
"""What a venue may round off the value of one fill."""

MOST_SEARCHED: Final = 500
"""So many symbols are searched in one reading at most; the next one goes on with the others."""

MOST_REMEMBERED: Final = 8
"""So many symbols are read at each reading though nothing is open there: one costs two calls."""

READINGS_KEPT: Final = 2
"""So many readings may leave a difference unexplained, not counted those that did not come to the end of the symbols; the second one is
beyond the venue's lag, and finds nothing more."""


class Holdings:
    """Compares the wallets with what the last reading found explained (`account.settled`, which outlives this process), and says which
    symbols could explain what has changed since."""

    def __init__(self, account: Account) -> None:
        self._account = account
        self._pairs: dict[Symbol, Pair] = {}
        self._readings: dict[str, int] = {}
        self._suspected: set[str] = set()
        self._symbols: dict[Symbol, None] = {}
        self._covered: set[str] = set()
        self._waiting: set[str] = set()
        self._searched: dict[str, set[Symbol]] = {}
        self._gap = NO_TIME

    @property
    def symbols(self) -> Set[Symbol]:
        """Those that this process has met last: an order that came and went in one of them moves no wallet."""
        return self._symbols.keys()

    def learn(self, pairs: Iterable[Pair], since: Millis = NO_TIME) -> None:
        """The symbols that can be traded. A venue has thousands: those of the unexplained assets are kept, for as long as they are."""
        if listed := tuple(pairs):
            self._covered = self.unexplained(since)
            self._pairs |= {pair.symbol: pair for pair in listed if self._needs(pair)}

    def lacks_pairs(self, since: Millis) -> bool:
        """Whether some asset is unexplained whose symbols nobody told yet."""
        return bool(self.unexplained(since) - self._covered)

    def _needs(self, pair: Pair) -> bool:
        return bool({pair.base, pair.quote} & self._covered) or pair.symbol in self._account.fills

    @property
    def is_first(self) -> bool:
        """Whether no reading of the books was ever finished, so that there is nothing to compare with."""
        return not self._account.read_until

    @property
    def has_difference(self) -> bool:
        """Whether balances moved otherwise than the known fills tell."""
        return not self.is_first and bool(self.unexplained(NO_TIME))

    def weigh(self, before: int) -> bool:
        """An audit ends: whether a difference is older than this venue time (ms), or was there at the last audit already. A younger one may
        be a fill that is on its way to us."""
        lost = set() if self.is_first else self.unexplained(NO_TIME)
        suspected, self._suspected = self._suspected, lost
        return any(
            asset in suspected or held_since(self._account.balances[asset], self._account.lag_ms) <= before for asset in sorted(lost)
        )

    def unexplained(self, since: Millis) -> set[str]:
        """The assets whose amounts do not follow from what was known before. In the first reading of all nothing was: there it is every
        asset that may have moved since `since` (venue ms); where the venue does not say when, that is each of which something is left."""
        account = self._account
        if self.is_first:
            return {asset for asset, balance in account.balances.items() if _may_have_moved(balance, since)}
        changed = [balance for asset, balance in account.balances.items() if account.settled.get(asset) is not balance]
        if not changed:
            return set()
        moves: dict[str, list[tuple[Millis, Decimal]]] = {}
        for asset, delta, time in self._effects():
            moves.setdefault(asset, []).append((time, delta))
        began = max((held_since(balance, account.lag_ms) for balance in account.settled.values()), default=NO_TIME)
        return {balance.asset for balance in changed if not self._is_explained(balance, sorted(moves.get(balance.asset, [])), began)}

    def _is_explained(self, balance: BalanceSet, moves: list[tuple[Millis, Decimal]], began: Millis) -> bool:
        """What no reading has heard of was not there when the last one ended."""
        before, times = self._account.settled.get(balance.asset), [time for time, _ in moves]
        total, starts = (ZERO, _cuts(times, began, began)) if before is None else (before.total, self._cuts_of(before, times))
        return _adds_up(balance.total - total, [delta for _, delta in moves], starts, self._cuts_of(balance, times))

    def _cuts_of(self, balance: BalanceSet, times: list[Millis]) -> range:
        """How many of the moves the wallet may contain. A message's time is exact; an answer contains what is older than the lag, and of
        what came later nobody knows how much."""
        lag_ms = self._account.lag_ms
        return _cuts(times, held_since(balance, lag_ms), Millis(balance.as_of + lag_ms))

    def _effects(self) -> Iterator[tuple[str, Decimal, Millis]]:
        """(asset, change, time) of all fills and movements in memory."""
        for symbol, fills in self._account.fills.items():
            pair = self._pair_of(symbol)
            for fill in fills.values():
                yield from _effects_of(fill, pair)
        for movement in self._account.movements:
            yield movement.asset, movement.delta, movement.time

    def _pair_of(self, symbol: Symbol) -> Pair | None:
        """Before the list is known: the two of our assets whose names make the symbol's."""
        known = self._pairs.get(symbol)
        if known is not None:
            return known
        assets = self._account.balances
        for base in assets:
            if symbol.startswith(base) and symbol[len(base) :] in assets:
                return Pair(symbol, base, symbol[len(base) :])
        return None

    def candidates(self, since: Millis, asked: Iterable[Symbol], most: int = MOST_SEARCHED) -> list[Symbol]:
        """At most so many symbols to search next for the fills that would explain the differences: those of two changed assets; then those
        of one with another that we know; last, where an earlier reading has left it open already, all of a changed asset: what was bought
        and sold again may have left nothing but the profit. What there is no room for waits for the next reading, which goes on there."""
        lost, done = self.unexplained(since), set(asked)
        self._begin_anew_after_a_gap()
        self._waiting = set()
        chosen: list[Pair] = []
        for step in self._steps(lost):
            found = sorted((pair for pair in step if pair.symbol not in done and not self._was_searched(pair, lost)), key=_likely_first)
            chosen = chosen or found[:most]
            self._waiting |= {asset for pair in found if pair not in chosen for asset in (pair.base, pair.quote)} & lost
        for pair in chosen:
            for asset in (each for each in (pair.base, pair.quote) if each in self._readings):
                self._searched.setdefault(asset, set()).add(pair.symbol)
        return [pair.symbol for pair in chosen]

    def _steps(self, lost: set[str]) -> Iterator[list[Pair]]:
        pairs, known = self._pairs.values(), self._account.balances.keys()
        yield [pair for pair in pairs if pair.base in lost and pair.quote in lost]
        if not self.is_first:
            yield [pair for pair in pairs if {pair.base, pair.quote} & lost and {pair.base, pair.quote} <= known]
            stubborn = lost & self._readings.keys()
            yield [pair for pair in pairs if {pair.base, pair.quote} & stubborn]

    def _was_searched(self, pair: Pair, lost: set[str]) -> bool:
        """By a reading that came after the one that found the difference: that one may have been too early to be told of its fills."""
        return all(pair.symbol in self._searched.get(asset, ()) for asset in {pair.base, pair.quote} & lost)

    def _begin_anew_after_a_gap(self) -> None:
        """Another gap may hide fills in symbols that were searched before it."""
        gap = self._account.gap_since
        if gap is not None and gap != self._gap:
            self._gap, self._searched = gap, {}

    def end_reading(self) -> tuple[str, ...]:
        """The assets that this reading leaves open for the next one, which is beyond the venue's lag. What that one leaves open too, with
        no symbol left to search, came from outside."""
        lost = self._waiting if self.is_first else self.unexplained(NO_TIME)
        known, self._suspected = self._readings, set()
        self._readings = {asset: max(1, known.get(asset, 0) + (asset not in self._waiting)) for asset in sorted(lost)}
        left = tuple(asset for asset, times in self._readings.items() if times < READINGS_KEPT)
        self._searched = {asset: symbols for asset, symbols in self._searched.items() if asset in left}
        self._covered &= set(left)
        self._pairs = {symbol: pair for symbol, pair in self._pairs.items() if self._needs(pair)}
        self._remember()
        return left

    def _remember(self) -> None:
        for symbol in sorted(self._account.symbols()):
            self._symbols.pop(symbol, None)
            self._symbols[symbol] = None
        for symbol in list(self._symbols)[:-MOST_REMEMBERED]:
            del self._symbols[symbol]


def _may_have_moved(balance: BalanceSet, since: Millis) -> bool:
    return balance.transaction_time >= since or (not balance.transaction_time and balance.as_of >= since and bool(balance.total))


def _likely_first(pair: Pair) -> tuple[bool, Symbol]:
    """Trading in a symbol may have been suspended since: it is searched as well, but last."""
    return not pair.is_trading, pair.symbol


def _cuts(times: list[Millis], surely: Millis, perhaps: Millis) -> range:
    """How many moves lie before a moment between two times."""
    first = bisect_right(times, surely)
    return range(first, max(first, bisect_right(times, perhaps)) + 1)


def _adds_up(change: Decimal, moves: list[Decimal], starts: range, ends: range) -> bool:
    """Whether the moves between one of the starts and one of the ends behind it make up the change."""
    sums = list(accumulate(moves, initial=ZERO))
    ends = range(max(ends.start, starts.start), max(ends.stop, starts.start + 1))
    begun: list[tuple[Decimal, int]] = []
    for end in range(starts.start, ends.stop):
        if end in starts:
            insort(begun, (sums[end], end))
        if end in ends and _is_near(begun, sums[end] - change, ROUNDING * (end - starts.start)):
            return True
    return False


def _is_near(sums: list[tuple[Decimal, int]], wanted: Decimal, tolerance: Decimal) -> bool:
    place = bisect_left(sums, (wanted - tolerance, 0))
    return place < len(sums) and sums[place][0] <= wanted + tolerance


def _effects_of(fill: Filled, pair: Pair | None) -> Iterator[tuple[str, Decimal, Millis]]:
    time = fill.transaction_time
    if pair is not None:
        sign = 1 if fill.side is Side.BUY else -1
        yield pair.base, sign * fill.quantity, time
        yield pair.quote, -sign * fill.quantity * fill.price, time
    if fill.fee and fill.fee_asset:
        yield fill.fee_asset, -fill.fee, time
