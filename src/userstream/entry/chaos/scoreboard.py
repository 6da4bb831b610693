"""The judge: what a user saw against the exchange's own books. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Final, Self

import msgspec

from userstream.entry.chaos.products import USDM
from userstream.entry.chaos.sightings import FillKey, LegKey, OrderKey, OrderState, Sightings, state_of
from userstream.kernel.amount import format_amount

Row = Mapping[str, object]
ZERO = Decimal(0)
MOST_TOLD: Final = 3
WALLET = "wallet"
"""The side of a leg that is the whole of an asset."""


class BookFill(msgspec.Struct, frozen=True, kw_only=True):
    """A fill in the books; `time_ms` is when it was executed (ms since 1970)."""

    price: Decimal
    quantity: Decimal
    time_ms: int


class Books(msgspec.Struct, frozen=True, kw_only=True):
    """What really happened on an account. `names`: the orders' client ids. `opening`: the legs before anything happened; what stayed as it
    was need not be told."""

    fills: dict[FillKey, BookFill]
    orders: dict[OrderKey, OrderState]
    legs: dict[LegKey, Decimal]
    names: Mapping[OrderKey, str] = {}
    opening: Mapping[LegKey, Decimal] = {}


def read_books(truth: Mapping[str, object], opening: Mapping[LegKey, Decimal] | None = None) -> Books:
    """The books out of what `GET control_url/truth/ACCOUNT` answers. With `opening`, the wallets then, wallets are legs as well."""
    fills, orders, positions = (_rows(truth, name) for name in ("fills", "orders", "positions"))
    wallets = [] if opening is None else _rows(truth, "balances")
    return Books(
        fills={(str(row["symbol"]), str(row["trade_id"]), str(row["order_id"])): _book_fill(row) for row in fills},
        orders={(str(row["symbol"]), str(row["order_id"])): _book_order(row) for row in orders},
        legs={(str(row["symbol"]), str(row["position_side"])): _amount(row, "amount") for row in positions}
        | {(str(row["asset"]), WALLET): _amount(row, "wallet") for row in wallets},
        names={(str(row["symbol"]), str(row["order_id"])): str(row["client_order_id"]) for row in orders},
        opening=opening or {},
    )


def _rows(truth: Mapping[str, object], name: str) -> list[dict[str, object]]:
    return msgspec.convert(truth[name], list[dict[str, object]])


def _book_fill(row: Row) -> BookFill:
    return BookFill(price=_amount(row, "price"), quantity=_amount(row, "quantity"), time_ms=int(str(row["time"])))


def _book_order(row: Row) -> OrderState:
    return (state_of(str(row["status"])), _amount(row, "filled_quantity"))


def _amount(row: Row, name: str) -> Decimal:
    return Decimal(str(row[name]))


class Score(msgspec.Struct, frozen=True, kw_only=True):
    """How one client came through one script with one seed, or, as a total, through all.

    lost: fills the user was not told of within the script's patience, or never. doubled: fills told more often than once, each copy
    counted. invented: fills nobody made. wrong: orders and legs whose last told state was not that of the books when the script and the
    patience after it were over, or after the last sign of life, and fills told with another price or quantity. stale_ms: the longest time
    from an execution until the user saw it, of the fills seen.
    recovered: the user saw a fill made after everything else, without a restart of its program; where the account's key was taken away
    for good, the user was told so. note: why nothing was played, or how the program ended. differences: each order, leg and fill that was
    not told as it is, in words.
    """

    client: str
    script: str
    venue: str = USDM.venue
    seed: int = 0
    is_judged: bool = True
    fills: int = 0
    lost: int = 0
    doubled: int = 0
    invented: int = 0
    wrong: int = 0
    stale_ms: int = 0
    recovered: bool = True
    troubles: int = 0
    note: str = ""
    differences: tuple[str, ...] = ()

    @property
    def is_flawless(self) -> bool:
        """Zeros in every column, and the client is alive at the end."""
        return self.is_judged and self.recovered and not (self.lost or self.doubled or self.invented or self.wrong)

    @property
    def words(self) -> str:
        """What is to be said of it in a line; of many differences the first, and how many more there are."""
        more = len(self.differences) - MOST_TOLD
        return self.note or "; ".join((*self.differences[:MOST_TOLD], *([f"and {more} more"] if more > 0 else ())))

    def plus(self, other: Self) -> Self:
        """Both together; what could not be judged adds nothing but its note."""
        if not other.is_judged:
            return self
        return msgspec.structs.replace(
            self,
            fills=self.fills + other.fills,
            lost=self.lost + other.lost,
            doubled=self.doubled + other.doubled,
            invented=self.invented + other.invented,
            wrong=self.wrong + other.wrong,
            stale_ms=max(self.stale_ms, other.stale_ms),
            recovered=self.recovered and other.recovered,
            troubles=self.troubles + other.troubles,
        )


def total_of(client: str, scores: Iterable[Score], venue: str = USDM.venue) -> Score:
    """The total line of a client on a product. Judged when at least one run was."""
    own = [score for score in scores if (score.client, score.venue) == (client, venue)]
    total = Score(client=client, script="all", venue=venue, is_judged=any(score.is_judged for score in own))
    for score in own:
        total = total.plus(score)
    return total


def find_differences(books: Books, sightings: Sightings) -> dict[str, str]:
    """Orders and legs that the user was last told otherwise than the books have them, each with how, in words, and orders told under the
    name of another. An order never told of is wrong; a leg that is what it was at the beginning need not be told."""
    orders = {
        f"order {'/'.join(key)}": f"told {_words(sightings.orders.get(key))}, is {_words(books.orders.get(key))}"
        for key in sorted(books.orders.keys() | sightings.orders.keys())
        if sightings.orders.get(key) != books.orders.get(key)
    }
    names = {
        f"name of order {'/'.join(key)}": f"told {sightings.names[key]}, is {name}"
        for key, name in sorted(books.names.items())
        if sightings.names.get(key, "") not in ("", name)
    }
    told = {**books.opening, **sightings.legs}
    legs = {
        f"position {'/'.join(key)}": f"told {format_amount(told.get(key, ZERO))}, is {format_amount(books.legs.get(key, ZERO))}"
        for key in sorted(books.legs.keys() | told.keys())
        if told.get(key, ZERO) != books.legs.get(key, ZERO)
    }
    return orders | names | legs


def _words(state: OrderState | None) -> str:
    return "nothing" if state is None else f"{state[0]} {format_amount(state[1])}"


def is_complete(books: Books, sightings: Sightings) -> bool:
    """Every fill is told and every order and leg is right: nothing is left to wait for."""
    return books.fills.keys() <= {fill.key for fill in sightings.fills} and not find_differences(books, sightings)


def find_late(books: Books, sightings: Sightings, ended_ms: int, patience_ms: int) -> frozenset[FillKey]:
    """Fills that the user was told of, but later than the patience after their execution, or after the script's end if that was later."""
    first = _first_told(sightings)
    due = {key: max(fill.time_ms, ended_ms) + patience_ms for key, fill in books.fills.items()}
    return frozenset(key for key, at_ms in first.items() if key in due and at_ms > due[key])


def judge_fills(books: Books, sightings: Sightings, score: Score, late: frozenset[FillKey] = frozenset()) -> Score:
    """The score with the columns of the fills. `late`: those that count as lost although they were told at last."""
    copies = Counter(fill.key for fill in sightings.fills)
    seen = [(fill, books.fills[fill.key]) for fill in sightings.fills if fill.key in books.fills]
    other = {fill.key for fill, real in seen if (fill.price, fill.quantity) != (real.price, real.quantity)}
    return msgspec.structs.replace(
        score,
        fills=len(books.fills),
        lost=len((books.fills.keys() - copies.keys()) | late),
        doubled=sum(count - 1 for key, count in copies.items() if key in books.fills),
        invented=len(copies.keys() - books.fills.keys()),
        wrong=score.wrong + len(other),
        stale_ms=worst_staleness(books, sightings),
    )


def name_lost(books: Books, sightings: Sightings, late: frozenset[FillKey] = frozenset()) -> tuple[str, ...]:
    """The fills that the user was never told of, or too late, in words, in the order of their execution (ms since 1970)."""
    lost = (books.fills.keys() - {fill.key for fill in sightings.fills}) | late
    return tuple(
        f"fill {'/'.join(key)}: {'told too late' if key in late else 'never told'}, executed at {books.fills[key].time_ms}"
        for key in sorted(lost, key=lambda key: (books.fills[key].time_ms, key))
    )


def worst_staleness(books: Books, sightings: Sightings) -> int:
    """The longest way (ms) of a fill from its execution to the first time the user saw it; 0 where none was seen."""
    ways = [at_ms - books.fills[key].time_ms for key, at_ms in _first_told(sightings).items() if key in books.fills]
    return max((*ways, 0))


def _first_told(sightings: Sightings) -> dict[FillKey, int]:
    """When the user was first told of each fill (ms since 1970)."""
    first: dict[FillKey, int] = {}
    for fill in sightings.fills:
        first.setdefault(fill.key, fill.at_ms)
    return first


def are_flawless(scores: Sequence[Score], client: str) -> bool:
    """Whether a client has zeros in every column of every run."""
    return all(score.is_flawless for score in scores if score.client == client)
