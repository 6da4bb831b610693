"""Matching: price-time priority between resting orders and the outside market. Nothing here knows money, fees or a clock."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Final, NamedTuple, TypeAlias

from userstream.sim.books import BUY, SELL, ZERO, ExpiryReason, Millis, Order, OrderStatus, Side
from userstream.sim.contracts import LINEAR, Contract

FINAL: Final = frozenset(
    {
        OrderStatus.FILLED,
        OrderStatus.CANCELED,
        OrderStatus.EXPIRED,
        OrderStatus.EXPIRED_IN_MATCH,
        OrderStatus.REJECTED,
    }
)
OPPOSITE: Final = {BUY: SELL, SELL: BUY}
PRICE_DIGITS: Final = Decimal("0.00000001")

# Self-trade prevention works for these only; a FOK or post-only order is judged before it can meet anybody (Binance USD-M, 6.4).
PREVENTING: Final = frozenset({"gtc", "ioc", "gtd"})


class Level(NamedTuple):
    """What the outside market offers at one price."""

    price: Decimal
    quantity: Decimal


class Match(NamedTuple):
    """The taker may trade this much at this price. `maker` is None for the outside market."""

    maker: Order | None
    price: Decimal
    quantity: Decimal


class Prevented(NamedTuple):
    """The taker met an order of its own account that it must not trade with."""

    maker: Order


Meeting: TypeAlias = Match | Prevented


def is_open(order: Order) -> bool:
    return order.status not in FINAL


def remaining(order: Order) -> Decimal:
    return order.quantity - order.filled_quantity


def reaches(side: Side, limit: Decimal, price: Decimal) -> bool:
    """Whether an order of this side and limit accepts this price."""
    return price <= limit if side is BUY else price >= limit


def improves(side: Side, price: Decimal, other: Decimal) -> bool:
    """Whether, for somebody who trades on this side, `price` is strictly better than `other`."""
    return price < other if side is BUY else price > other


def execute(order: Order, price: Decimal, quantity: Decimal, now: Millis, contract: Contract = LINEAR) -> None:
    """Book one execution on the order. The average price is rounded half-even to 8 decimals; `filled_quote` stays exact."""
    order.filled_quantity += quantity
    order.filled_quote += contract.quote(price, quantity)
    order.filled_base += contract.base(price, quantity)
    order.average_price = (order.filled_quote / order.filled_base).quantize(PRICE_DIGITS, ROUND_HALF_EVEN)
    order.status = OrderStatus.FILLED if order.filled_quantity == order.quantity else OrderStatus.PARTIALLY_FILLED
    order.updated_time = now


def finish(order: Order, status: OrderStatus, now: Millis, reason: ExpiryReason = ExpiryReason.NONE) -> None:
    """End an open order without an execution. What was filled stays."""
    order.status = status
    order.expiry_reason = int(reason)
    order.updated_time = now


class BookSide:
    """The resting orders of one side, best price first and oldest first within a price. `best_price`: None while there are none."""

    def __init__(self, side: Side) -> None:
        self._side = side
        self._prices: list[Decimal] = []  # ascending
        self._levels: list[dict[int, Order]] = []  # beside their prices, which are slow to hash
        self.best_price: Decimal | None = None

    def insert(self, order: Order) -> None:
        place = bisect_left(self._prices, order.price)
        if place < len(self._prices) and self._prices[place] == order.price:
            self._levels[place][order.order_id] = order
            return
        self._prices.insert(place, order.price)
        self._levels.insert(place, {order.order_id: order})
        self._note_best()

    def discard(self, order: Order) -> None:
        place = bisect_left(self._prices, order.price)
        if place == len(self._prices) or self._prices[place] != order.price:
            return
        level = self._levels[place]
        if level.pop(order.order_id, None) is not None and not level:
            del self._levels[place], self._prices[place]
            self._note_best()

    def _note_best(self) -> None:
        if not self._prices:
            self.best_price = None
        else:
            self.best_price = self._prices[-1] if self._side is BUY else self._prices[0]

    def front(self) -> Order | None:
        """The order that trades next."""
        if not self._levels:
            return None
        return next(iter(self._levels[-1 if self._side is BUY else 0].values()))

    def __iter__(self) -> Iterator[Order]:
        for level in reversed(self._levels) if self._side is BUY else self._levels:
            yield from level.values()


class Book:
    """The resting orders of all accounts on one symbol."""

    def __init__(self) -> None:
        self.bids, self.asks = BookSide(BUY), BookSide(SELL)

    def side(self, side: Side) -> BookSide:
        return self.bids if side is BUY else self.asks

    @property
    def is_empty(self) -> bool:
        return self.bids.best_price is None and self.asks.best_price is None

    def insert(self, order: Order) -> None:
        self.side(order.side).insert(order)

    def discard(self, order: Order) -> None:
        """Take the order off the book; an order that never rested is no error."""
        self.side(order.side).discard(order)


def prevents(taker: Order, maker: Order) -> bool:
    return taker.account == maker.account and taker.self_trade_prevention != "none" and taker.time_in_force in PREVENTING


def match(book: Book, taker: Order, limit: Decimal, outside: Iterator[Level], executable: Callable[[Order], Decimal]) -> Iterator[Meeting]:
    """Yield who the taker meets, best price first, resting orders before the outside market at equal price.

    The caller carries each meeting out (books the executions, expires prevented orders) before it asks for the next one;
    `executable` tells how much an order may still trade, which is less than its remainder for an order that only reduces.
    """
    resting = book.side(OPPOSITE[taker.side])
    level = next(outside, None)
    while is_open(taker) and (wanted := executable(taker)) > ZERO:
        maker = resting.front()
        if maker is not None and (level is None or not improves(taker.side, level.price, maker.price)):
            if not reaches(taker.side, limit, maker.price):
                return
            yield Prevented(maker) if prevents(taker, maker) else Match(maker, maker.price, min(wanted, executable(maker)))
        elif level is not None and reaches(taker.side, limit, level.price):
            taken = min(wanted, level.quantity)
            yield Match(None, level.price, taken)
            level = Level(level.price, level.quantity - taken) if taken < level.quantity else next(outside, None)
        else:
            return


def would_take(book: Book, side: Side, price: Decimal, outside_best: Decimal) -> bool:
    """Whether a limit order of this side and price would trade at once."""
    best = book.side(OPPOSITE[side]).best_price
    return reaches(side, price, outside_best) or (best is not None and reaches(side, price, best))


def is_fillable(
    book: Book, side: Side, price: Decimal, quantity: Decimal, outside: Iterator[Level], executable: Callable[[Order], Decimal]
) -> bool:
    """Whether the whole quantity could be taken at this price or better, without changing anything."""
    left = quantity
    for level in outside:
        if left <= ZERO or not reaches(side, price, level.price):
            break
        left -= level.quantity
    for maker in book.side(OPPOSITE[side]):
        if left <= ZERO or not reaches(side, price, maker.price):
            break
        left -= executable(maker)
    return left <= ZERO
