"""The outside market: a seeded random walk per symbol and endless liquidity around it. The only file with randomness.

Prices walk in whole ticks and in steps of 100 ms, so the path depends on the seed alone, never on who calls or how often.
Amounts of money are never floats here: a float only decides by how many ticks the price moves.
"""

from __future__ import annotations

import random
from bisect import bisect
from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal
from functools import cached_property, lru_cache
from itertools import accumulate
from typing import Final, TypeVar

from userstream.sim.books import BUY, SELL, Instrument, Millis, Order, Side
from userstream.sim.engine import OPPOSITE, Book, Level, reaches

STEP_MS: Final = 100
OptionT = TypeVar("OptionT")

CROSSING_IN_PARTS: Final = 0.3  # how often a price that crosses an order takes only a part of it
_STEP_VOLATILITY: Final = 8e-5  # largest relative move of one step; about 3% a day
_PULL: Final = 5e-7  # share of the distance to the anchor that one step goes back
_MARK_SHARE: Final = 1000  # the mark price is kept in thousandths of a tick
_MARK_LAG: Final = 8
_FIRST_LEVEL_NOTIONAL: Final = Decimal(300)
_LEVEL_GROWTH: Final = Decimal("1.6")
_NEAR_SHARE: Final = Decimal("0.0008")
_FUNDING_UNIT: Final = Decimal("0.000001")
_ONE: Final = Decimal(1)


class Dice:
    """A named stream of draws: the same seed and name give the same draws for ever."""

    def __init__(self, seed: int, name: str) -> None:
        self._random = random.Random(f"{seed}:{name}")
        self.draw: Callable[[], float] = self._random.random
        """From 0 on and below 1, all alike."""

    def chance(self, probability: float) -> bool:
        return self.draw() < probability

    def between(self, low: int, high: int) -> int:
        """A whole number from low to high, both included."""
        return self._random.randint(low, high)

    def choose(self, options: Sequence[OptionT]) -> OptionT:
        return options[int(self.draw() * len(options))]

    def weigh(self, options: Sequence[OptionT], weights: tuple[int, ...]) -> OptionT:
        sums = _sums(weights)
        return options[bisect(sums, self.draw() * sums[-1], hi=len(sums) - 1)]

    def share(self) -> Decimal:
        """A part of a whole, above 0 and below 1, in thousandths."""
        return Decimal(self._random.randint(1, 999)) / 1000


@lru_cache(maxsize=64)
def _sums(weights: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(accumulate(weights))


@lru_cache(maxsize=16_384)
def _mixed(*numbers: int) -> int:
    """A well-spread number below 2**32 from small ones: noise that needs no state, the same for all symbols."""
    value = 0x9E3779B9
    for number in numbers:
        value = ((value ^ number) * 0x85EBCA6B) & 0xFFFFFFFF
        value ^= value >> 13
    return value


class Market:
    """Prices of one symbol. `last` and `mark` are always positive; `last` is a multiple of the tick. `mark_units`: the mark price in
    thousandths of a tick."""

    def __init__(self, instrument: Instrument, seed: int) -> None:
        self._instrument = instrument
        self._tick = instrument.tick_size
        self._draw = Dice(seed, f"walk:{instrument.symbol}").draw
        self._seed = seed
        self._steps = 0
        self.trades_elsewhere = 0
        """How many trades of strangers the tape saw in this step, so that trade ids have holes as on a real tape."""
        self._half_spread = 1
        self._marked_units, self._mark = 0, self._tick
        self._settle(max(int(instrument.start_price / self._tick), 2))

    def _settle(self, ticks: int) -> None:
        self._anchor = self._middle = ticks
        self.mark_units = ticks * _MARK_SHARE
        self._reach = max(1.2, ticks * _STEP_VOLATILITY)

    # Prices and draws are made when asked for: most steps of most symbols interest nobody.

    @cached_property
    def dice(self) -> Dice:
        """Decides which part of an order a crossing price takes."""
        return Dice(self._seed, f"crossings:{self._instrument.symbol}")

    @cached_property
    def _funding(self) -> Dice:
        return Dice(self._seed, f"funding:{self._instrument.symbol}")

    @property
    def last(self) -> Decimal:
        return self._tick * self._middle

    @property
    def mark(self) -> Decimal:
        units = self.mark_units
        if units != self._marked_units:
            self._marked_units, self._mark = units, self._tick * units / _MARK_SHARE
        return self._mark

    @property
    def best_bid(self) -> Decimal:
        return self.best(SELL)

    @property
    def best_ask(self) -> Decimal:
        return self.best(BUY)

    def step(self) -> None:
        """One step of the walk: small moves more often than large ones. The mark price follows the middle slowly."""
        self._steps += 1
        draw, middle = self._draw, self._middle
        swing = draw() + draw() - 1.0
        middle = self._middle = max(middle + round(swing * self._reach + (self._anchor - middle) * _PULL), 2)
        self.mark_units += (middle * _MARK_SHARE - self.mark_units) // _MARK_LAG
        noise = _mixed(self._steps)
        self._half_spread = 1 + noise % 2
        self.trades_elsewhere = (noise >> 8) % 4

    def jump(self, price: Decimal, mark: Decimal | None = None) -> None:
        """The last price, and the mark price unless it is given apart, are this from now on; the walk goes on from here."""
        self._settle(max(int(price / self._tick), 2))
        if mark is not None:
            self.mark_units = int(mark / self._tick * _MARK_SHARE)

    def best(self, side: Side) -> Decimal:
        """The best outside price for somebody who trades on this side."""
        if side is BUY:
            return self._tick * (self._middle + self._half_spread)
        return self._tick * max(self._middle - self._half_spread, 1)

    def levels(self, side: Side) -> Iterator[Level]:
        """What somebody who trades on this side can take, best price first, without end on the ask side."""
        sign, salt = (1, 0) if side is BUY else (-1, 1)
        ticks = self._middle + sign * self._half_spread
        notional, depth = _FIRST_LEVEL_NOTIONAL, 0
        while ticks >= 1:
            noise = _mixed(self._steps, depth, salt)
            price = self._tick * ticks
            yield Level(price, self._sized(self._instrument.contract.quantity_for(price, notional * (50 + noise % 100) / 100)))
            notional, depth = notional * _LEVEL_GROWTH, depth + 1
            ticks += sign * (1 + (noise >> 8) % 3)

    def _sized(self, quantity: Decimal) -> Decimal:
        step = self._instrument.step_size
        return max(quantity // step, _ONE) * step

    def depth_price(self, side: Side, depth: int) -> Decimal:
        """The outside price at this place of the queue, 1 being the best."""
        price = self.best(side)
        for place, level in enumerate(self.levels(side), start=1):
            price = level.price
            if place >= depth:
                break
        return price

    def price_near(self, side: Side, dice: Dice, *, taking: bool) -> Decimal:
        """A price for somebody who plays: some ticks behind the best one of his side, or a little through it if he wants to take."""
        away = max(int(self._middle * _NEAR_SHARE), 4)
        ticks = dice.between(0, 6) if taking else -dice.between(1, away)
        start = self.best(side) if taking else self.best(OPPOSITE[side])
        return max(start + self._tick * ticks * (1 if side is BUY else -1), self._tick)

    def part(self, quantity: Decimal) -> Decimal:
        """A part of a quantity, in whole steps and at least one."""
        step = self._instrument.step_size
        return max(quantity * self.dice.share() // step, _ONE) * step

    def funding_rate(self) -> Decimal:
        """Draw the rate of one funding, between -0.03% and 0.03%."""
        return _FUNDING_UNIT * self._funding.between(-300, 300)


def cross(
    book: Book,
    market: Market,
    executable: Callable[[Order], Decimal],
    fill: Callable[[Order, Decimal], object],
    *,
    in_parts: bool,
) -> None:
    """Fill the resting orders that the outside prices have reached, sometimes only a part at a time. `executable`: how much of an order may
    still trade; `fill`: lets somebody outside take so much of it at its own price."""
    bid = book.bids.best_price
    if bid is not None and bid >= market.best(BUY):
        _cross_side(book, market, BUY, executable, fill, in_parts=in_parts)
    ask = book.asks.best_price
    if ask is not None and ask <= market.best(SELL):
        _cross_side(book, market, SELL, executable, fill, in_parts=in_parts)


def _cross_side(
    book: Book,
    market: Market,
    side: Side,
    executable: Callable[[Order], Decimal],
    fill: Callable[[Order, Decimal], object],
    *,
    in_parts: bool,
) -> None:
    resting = book.side(side)
    while (front := resting.front()) is not None and reaches(side, front.price, market.best(side)):
        quantity = executable(front)
        part = market.part(quantity) if in_parts and market.dice.chance(CROSSING_IN_PARTS) else quantity
        fill(front, part)
        if part < quantity:
            return


def grid_after(time: Millis, interval_ms: int) -> Millis:
    """The first moment after `time` that is a multiple of the interval."""
    return Millis((time // interval_ms + 1) * interval_ms)
