"""What recovery asks a venue, in words every venue understands; the venue's REST dialect turns a question into a call and the call's
answer into events. Symbols, ids and times are the venue's own."""

from __future__ import annotations

from typing import Protocol, TypeAlias

import msgspec

from userstream.domain.events import Event
from userstream.kernel.ids import Millis, OrderId, Symbol
from userstream.wire.request import HttpRequest, HttpResponse


class AskClock(msgspec.Struct, frozen=True, tag=True):
    """The venue's time. The answer carries it in `Answer.venue_time`."""


class AskBalances(msgspec.Struct, frozen=True, tag=True):
    """All wallets: a complete list of `BalanceSet`."""


class AskPositions(msgspec.Struct, frozen=True, tag=True):
    """All legs: a complete list of `PositionSet`; a leg that is missing is flat."""


class AskSettings(msgspec.Struct, frozen=True, tag=True):
    """Modes and leverages: `AccountConfigChanged`. Venues that keep them in two places answer the second by a follow-up question."""

    symbol_settings: bool = False


class AskOpenOrders(msgspec.Struct, frozen=True, tag=True):
    """All open orders of one kind: a complete list of `OrderChanged`."""

    conditional: bool


class AskOrder(msgspec.Struct, frozen=True, tag=True):
    """One order by its id: one `OrderChanged`, or OrderNotFound."""

    symbol: Symbol
    order_id: OrderId
    conditional: bool


class AskOrders(msgspec.Struct, frozen=True, tag=True):
    """Orders of all symbols (one symbol where the venue insists) made or changed since `since`: `OrderChanged`. `conditional`: those of
    that kind instead, of one symbol."""

    since: Millis
    until: Millis
    symbol: Symbol | None = None
    cursor: str = ""
    conditional: bool = False


class AskOrderLists(msgspec.Struct, frozen=True, tag=True):
    """All lists of linked orders that are open: a complete list of `OrderListChanged`."""


class AskOrderList(msgspec.Struct, frozen=True, tag=True):
    """One list of linked orders by its id: one `OrderListChanged`, or nothing where the venue does not know it any more."""

    order_list_id: str


class AskFills(msgspec.Struct, frozen=True, tag=True):
    """Fills of a symbol between two times: `Filled`. Where there are more pages, the answer carries the next question."""

    symbol: Symbol
    since: Millis
    until: Millis
    cursor: str = ""


class AskOrderFills(msgspec.Struct, frozen=True, tag=True):
    """The fills of one order between two times: `Filled`. Where there are more pages, the answer carries the next question."""

    symbol: Symbol
    order_id: OrderId
    since: Millis
    until: Millis


class AskMovements(msgspec.Struct, frozen=True, tag=True):
    """The cash history between two times. The answer names in `traded` every (symbol, trade id) it mentions, and carries
    `BalanceMoved` for what is neither profit nor trading fee."""

    since: Millis
    until: Millis
    cursor: str = ""


class AskSymbols(msgspec.Struct, frozen=True, tag=True):
    """All pairs of assets that can be traded. The answer carries them in `Answer.pairs`."""


Question: TypeAlias = (
    AskClock
    | AskBalances
    | AskPositions
    | AskSettings
    | AskOpenOrders
    | AskOrder
    | AskOrders
    | AskOrderLists
    | AskOrderList
    | AskFills
    | AskOrderFills
    | AskMovements
    | AskSymbols
)


class Pair(msgspec.Struct, frozen=True):
    """A symbol at which one asset is traded for another. is_trading: whether it is now; where it is not, it may have been until lately."""

    symbol: Symbol
    base: str
    quote: str
    is_trading: bool = True


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What a venue's answer says. `more` are questions that must be answered too before this one is complete."""

    events: tuple[Event, ...] = ()
    more: tuple[Question, ...] = ()
    traded: tuple[tuple[Symbol, str], ...] = ()
    venue_time: Millis | None = None
    pairs: tuple[Pair, ...] = ()


class Traits(msgspec.Struct, frozen=True, kw_only=True):
    """What a venue's books can be asked at all. Balances, open orders, orders, fills and the clock all venues tell.

    movements: there is a cash history that names traded symbols; without it only known symbols are covered, and those of `pairs` whose
    assets moved. by_symbol: past orders are told for one symbol at a time. symbols: those that are always read then. only_symbols: with
    these wallets nothing else is traded; what the venue tells of another symbol would belong to another account.
    order_lists: orders may hang on each other, and the lists of them can be asked.
    orders_of_an_audit: how many open orders an audit asks one by one, by what one costs. audits_list_orders: an audit asks the list of open
    orders instead, because it reads no past ones, which would tell of those that no socket told.
    """

    positions: bool = True
    settings: bool = True
    conditional_orders: bool = True
    movements: bool = True
    by_symbol: bool = False
    symbols: tuple[Symbol, ...] = ()
    only_symbols: bool = False
    order_lists: bool = False
    orders_of_an_audit: int = 10
    audits_list_orders: bool = False


class RestDialect(Protocol):
    """A venue's REST language for one account. Pure: `venue_now` is our estimate of the venue's clock, used in signatures."""

    def weight(self, question: Question) -> int:
        """What the call that asks it costs of the venue's request budget; nothing is signed for it. The same as `request(...).weight`."""

    def request(self, question: Question, venue_now: Millis) -> HttpRequest:
        """The call that asks it, signed where the venue wants that."""

    def answer(self, question: Question, response: HttpResponse, as_of: Millis, received_time: Millis) -> Answer:
        """Reads the answer; `as_of` is stamped on the events. Raises the error of `kernel.errors` that says how to react."""

    def history_depth_ms(self) -> int:
        """How far back fills can be asked (ms)."""

    def unfilled_depth_ms(self) -> int:
        """How long the venue surely knows an order that ends without a fill, from its making on (ms)."""

    def traits(self) -> Traits:
        """What can be asked; the same for the whole life of the dialect."""
