"""The events: facts about an account, frozen, past tense, exact, keyword-only, with the venue's time in them.

`Set` replaces a value, `Moved` adds to one. Amounts are Decimal in the venue's own order unit, times are integer milliseconds.
An amount that the venue did not say is None, never 0. Field names are the public JSON vocabulary.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Final, TypeAlias

import msgspec
from msgspec.structs import force_setattr

from userstream.domain.words import FINAL, MarginType, OrderStatus, Origin, PositionSide, Side, Source, StreamState
from userstream.kernel.ids import AccountId, ClientOrderId, Millis, OrderId, Symbol, VenueName

NO_TIME: Final = Millis(0)
GONE: Final = "gone"
"""The execution type of an order that the venue no longer knows, because it keeps what ended only for some days."""

AMENDMENT: Final = "amendment"
"""The execution type of an order whose price or quantity was changed: such news may leave out what stayed as it was."""

PRIVATE: Final = frozenset({"as_of", "frame"})
"""Fields that are no part of the public form."""


class Frame(msgspec.Struct, dict=True):
    """The venue's own bytes behind facts. It has no fields, so that facts are compared, shown and written without them."""

    @classmethod
    def of(cls, data: bytes) -> Frame:
        frame = cls()
        frame.__dict__["data"] = data
        return frame

    def read(self) -> bytes | None:
        """The bytes; None when the facts were read back without them."""
        return self.__dict__.get("data")


class Fact(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False, tag_field="kind"):
    """What all events carry.

    event_time: the venue's time of the message (ms). received_time: ours. sequence: place in the account's journal, growing, unique;
    0 before it has one. source: how we learned it. as_of: for REST answers the venue-clock time at which the request began. frame: what
    `raw()` reads. Facts hold nothing that could hold them, so the garbage collector need not look at them (`gc=False`).
    """

    account: AccountId = AccountId("")
    venue: VenueName = VenueName("")
    event_time: Millis = NO_TIME
    received_time: Millis = NO_TIME
    sequence: int = 0
    source: Source = Source.STREAM
    as_of: Millis = NO_TIME
    frame: Frame | None = None

    def raw(self) -> bytes | None:
        """The venue's own bytes this fact was read from: the frame or the REST body. None for facts of our own making, and for fills and
        ended orders in the account's memory that came before a restart or more than some twenty seconds ago: the journal has them."""
        return None if self.frame is None else self.frame.read()


def stamp(fact: Fact, sequence: int, frame: Frame | None) -> None:
    """Gives a fact its place and its bytes, once, before anybody else sees it."""
    force_setattr(fact, "sequence", sequence)
    if frame is not None:
        force_setattr(fact, "frame", frame)


class OrderChanged(Fact, frozen=True, kw_only=True, tag="order_changed"):
    """An order is now in this state. Conditional (algo) orders have `conditional=True`, ids of their own and, once triggered, the
    id of the real order in `triggered_order_id`. prevented_quantity: what self-trade prevention took away; prevented_match_id: the last
    match that it prevented."""

    symbol: Symbol
    order_id: OrderId
    client_order_id: ClientOrderId
    side: Side
    position_side: PositionSide = PositionSide.BOTH
    order_type: str
    original_type: str = ""
    time_in_force: str = ""
    status: OrderStatus
    execution_type: str
    price: Decimal
    stop_price: Decimal | None = None
    average_price: Decimal | None = None
    quantity: Decimal
    filled_quantity: Decimal
    reduce_only: bool = False
    post_only: bool = False
    close_position: bool = False
    origin: Origin = Origin.OWN
    transaction_time: Millis
    created_time: Millis = NO_TIME
    good_till_time: Millis = NO_TIME
    reason: str = ""
    conditional: bool = False
    triggered_order_id: OrderId = OrderId("")
    activation_price: Decimal | None = None
    callback_rate: Decimal | None = None
    activated: bool | None = None
    self_trade_prevention: str = ""
    working_type: str = ""
    amendment_id: str = ""
    order_list_id: str = ""
    iceberg_quantity: Decimal | None = None
    prevented_quantity: Decimal | None = None
    prevented_match_id: str = ""

    @property
    def has_ended(self) -> bool:
        """Whether it is open no more: its status is final, or it is gone at the venue and nobody can say how it ended."""
        return self.status in FINAL or self.execution_type == GONE


class Filled(Fact, frozen=True, kw_only=True, tag="filled"):
    """One execution of one order, known by (symbol, trade_id, order_id). fee, fee_asset, realized_pnl and position_side are None while
    a fast message may bring the fill first and `FillCompleted` the rest. A fee paid is positive, a rebate negative. Of fills read
    from a history of trades (source snapshot) neither client order id nor origin is known (empty, `own`): the order has them."""

    symbol: Symbol
    order_id: OrderId
    client_order_id: ClientOrderId = ClientOrderId("")
    trade_id: str
    side: Side
    position_side: PositionSide | None = None
    price: Decimal
    quantity: Decimal
    fee: Decimal | None = None
    fee_asset: str | None = None
    maker: bool | None = None
    realized_pnl: Decimal | None = None
    origin: Origin = Origin.OWN
    transaction_time: Millis


class FillCompleted(Fact, frozen=True, kw_only=True, tag="fill_completed"):
    """The rest of a fill that was told before: the same identity, never a second execution."""

    symbol: Symbol
    order_id: OrderId
    trade_id: str
    position_side: PositionSide | None
    fee: Decimal | None
    fee_asset: str | None
    maker: bool | None
    realized_pnl: Decimal | None
    transaction_time: Millis


class BalanceSet(Fact, frozen=True, kw_only=True, tag="balance_set"):
    """The wallet of one asset is now `total`. `available` and `cross_total` are None where the message does not say."""

    asset: str
    total: Decimal
    cross_total: Decimal | None = None
    available: Decimal | None = None
    reason: str = ""
    transaction_time: Millis


class BalanceMoved(Fact, frozen=True, kw_only=True, tag="balance_moved"):
    """The wallet of one asset changed by `delta` for a reason other than profit and trading fee (deposit, funding_fee, ...)."""

    asset: str
    delta: Decimal
    reason: str
    symbol: Symbol | None = None
    movement_id: str = ""
    transaction_time: Millis


class BalanceLocked(Fact, frozen=True, kw_only=True, tag="balance_locked"):
    """Another system of the venue locked so much of a wallet (collateral), or with a negative `delta` gave it free. The wallet's total
    stays what it was."""

    asset: str
    delta: Decimal
    transaction_time: Millis


class PositionSet(Fact, frozen=True, kw_only=True, tag="position_set"):
    """One leg is now `amount` (signed; short is negative)."""

    symbol: Symbol
    position_side: PositionSide
    amount: Decimal
    entry_price: Decimal
    break_even_price: Decimal | None = None
    unrealized_pnl: Decimal | None = None
    realized_pnl: Decimal | None = None
    margin_type: MarginType | None = None
    isolated_wallet: Decimal | None = None
    mark_price: Decimal | None = None
    liquidation_price: Decimal | None = None
    leverage: int | None = None
    reason: str = ""
    transaction_time: Millis


class MarginCalled(Fact, frozen=True, kw_only=True, tag="margin_called"):
    """The venue warns of liquidation: one event for each position at risk, or one without a symbol for an account that is margined as a
    whole. margin_level: its assets by its debts; status: how near it is (normal: the warning is over). Read from the books (source
    snapshot), the status follows from the level: the warnings themselves have no history."""

    symbol: Symbol
    position_side: PositionSide
    amount: Decimal
    margin_type: MarginType
    isolated_wallet: Decimal | None = None
    mark_price: Decimal | None = None
    unrealized_pnl: Decimal | None = None
    maintenance_margin: Decimal | None = None
    cross_wallet: Decimal | None = None
    margin_level: Decimal | None = None
    status: str = ""
    transaction_time: Millis

    @property
    def is_over(self) -> bool:
        """Whether this is the end of a warning."""
        return self.status == "normal"


class LiabilityChanged(Fact, frozen=True, kw_only=True, tag="liability_changed"):
    """What a margin account owes in one asset changed: by borrowing, by paying back, by interest. Read from the books (source snapshot,
    reason reading), the amounts are all that is owed now."""

    asset: str
    reason: str
    principal: Decimal
    interest: Decimal
    transaction_time: Millis


class AccountConfigChanged(Fact, frozen=True, kw_only=True, tag="account_config_changed"):
    """A setting changed. Only the fields that were told are not None; symbol is None for settings of the whole account."""

    symbol: Symbol | None = None
    leverage: int | None = None
    margin_type: MarginType | None = None
    hedge_mode: bool | None = None
    multi_asset_mode: bool | None = None
    can_trade: bool | None = None
    transaction_time: Millis


class OrderListChanged(Fact, frozen=True, kw_only=True, tag="order_list_changed"):
    """A list of linked orders changed. status: the state of the list; contingency: how its orders depend on each other (oco, oto);
    update: what kind of news it is."""

    symbol: Symbol
    order_list_id: str
    status: str
    order_ids: tuple[OrderId, ...] = ()
    client_order_list_id: str = ""
    contingency: str = ""
    update: str = ""
    reason: str = ""
    transaction_time: Millis


class StrategyChanged(Fact, frozen=True, kw_only=True, tag="strategy_changed"):
    """A strategy that runs at the venue (grid and the like) changed."""

    strategy_id: str
    strategy_type: str
    status: str
    symbol: Symbol
    reason: str = ""
    realized_pnl: Decimal | None = None
    unmatched_average_price: Decimal | None = None
    unmatched_quantity: Decimal | None = None
    unmatched_fee: Decimal | None = None
    matched_pnl: Decimal | None = None
    transaction_time: Millis


class TriggerRejected(Fact, frozen=True, kw_only=True, tag="trigger_rejected"):
    """A conditional order was triggered and the venue refused the order it became."""

    symbol: Symbol
    order_id: OrderId
    reason: str
    transaction_time: Millis


class StreamChanged(Fact, frozen=True, kw_only=True, tag="stream_changed"):
    """The feed itself changed. `state` is the account's new state, `reason` one line for people."""

    state: StreamState
    reason: str
    connection: int = 0


class GapOpened(Fact, frozen=True, kw_only=True, tag="gap_opened"):
    """From `since` (venue ms) on, events may be missing. A `GapRepaired` with the same `since` closes it."""

    since: Millis
    reason: str


class GapRepaired(Fact, frozen=True, kw_only=True, tag="gap_repaired"):
    """History between `since` and `until` was read from the venue; `fills` of them were new to us and came before this event.
    `read_since`, if it is above `since`: what is older was no longer kept by anybody, and its fills stay unknown for ever."""

    since: Millis
    until: Millis
    fills: int
    read_since: Millis = NO_TIME


class FilledBefore(msgspec.Struct, frozen=True, gc=False):
    """So much of an order was filled before the venue time `before` (ms), from where on its fills are in our care."""

    symbol: Symbol
    order_id: OrderId
    quantity: Decimal
    before: Millis


class SnapshotTaken(Fact, frozen=True, kw_only=True, tag="snapshot_taken"):
    """One reading of the venue's books, whose answers came before this event. Times are the venue's (ms), but for `asked_time`.

    proven_until: history is complete up to here, and nothing in it is unexplained (0: never). read_since, read_until: between these
    fills were read; what is older rests on earlier readings. Beyond `proven_until` something of it is unexplained (0: it is the same).
    lost_since: what lies between it and `read_since` the venue keeps no more: it can never be read (0: nothing is lost).
    filled_before: what of some orders was filled before our care began. forgotten_before: what ended earlier has left memory.
    asked_time: our own clock (ms) when the reading began. unexplained: wallets whose amounts do not follow from the known fills, where
    that can be told: the next reading looks again.
    """

    epoch: int
    reason: str
    started_time: Millis
    proven_until: Millis
    read_since: Millis = NO_TIME
    weight: int = 0
    read_until: Millis = NO_TIME
    lost_since: Millis = NO_TIME
    filled_before: tuple[FilledBefore, ...] = ()
    forgotten_before: Millis = NO_TIME
    asked_time: Millis = NO_TIME
    unexplained: tuple[str, ...] = ()


class Mismatch(Fact, frozen=True, kw_only=True, tag="mismatch"):
    """Two sources disagree for longer than the venue's lag allows. `subject` is what (order, position, tie, fills: a trade that no fill
    tells, question: one that the venue refuses to answer, history: an interval that nobody keeps any more), `key` which. `cause`: which
    sum found it, or what became of it; it stays open until it is explained, over restarts."""

    subject: str
    key: str
    ours: str
    theirs: str
    since: Millis
    cause: str = ""
    resolved: bool = False


class Unrecognized(Fact, frozen=True, kw_only=True, tag="unrecognized"):
    """Something the venue's documents did not promise: an event, a field, a word, or bytes that are no message. `name` is what,
    `reason` why; the bytes are kept (`raw()`), here `sample` shows their beginning."""

    name: str
    reason: str
    sample: str = ""


Event: TypeAlias = (
    OrderChanged
    | Filled
    | FillCompleted
    | BalanceSet
    | BalanceMoved
    | BalanceLocked
    | PositionSet
    | MarginCalled
    | LiabilityChanged
    | AccountConfigChanged
    | OrderListChanged
    | StrategyChanged
    | TriggerRejected
    | StreamChanged
    | GapOpened
    | GapRepaired
    | SnapshotTaken
    | Mismatch
    | Unrecognized
)


def public_form(event: Event) -> dict[str, object]:
    """The event as people and other programs see it: kind first, every field of the vocabulary present, None where unknown."""
    fields = {name: getattr(event, name) for name in event.__struct_fields__ if name not in PRIVATE}
    return {"kind": event.__struct_config__.tag, **fields}
