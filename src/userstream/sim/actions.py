"""What the control interface and a fault script can do: one record for each action, and the reader that checks names.

Pure. Amounts and seconds are decimals (text or JSON numbers), times in milliseconds are integers. `account` may be "*" (all accounts)
where it has that default.
"""

from __future__ import annotations

import types
from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, TypeAlias

import msgspec

from userstream.sim.books import ZERO, PositionSide, Side
from userstream.sim.bounds import MOST_EVENTS_PER_S, check_close, check_hex, check_numbers
from userstream.sim.rules import explain_mistake, nearest

EVERYBODY = "*"
LARGEST_FRAME = 64 * 1024 * 1024
Meta = msgspec.Meta


class BadAction(Exception):
    """The action or one of its fields is not known or not right. The text is for a person and names the nearest word."""


class Action(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Something the world does to the paper exchange."""


# --- the market and the accounts ---------------------------------------------------------------------------------------


class Place(Action, frozen=True, kw_only=True):
    """Place a plain order on behalf of an account."""

    account: str
    symbol: str
    side: Side
    quantity: Decimal
    order_type: Annotated[str, Meta(description="limit, market")] = "limit"
    price: Annotated[Decimal, Meta(description="0 for market")] = ZERO
    time_in_force: Annotated[str, Meta(description="gtc, ioc, fok, gtx, gtd")] = "gtc"
    position_side: PositionSide = PositionSide.BOTH
    client_order_id: Annotated[str, Meta(description="empty: the exchange makes one")] = ""
    reduce_only: bool = False
    good_till_time: Annotated[int, Meta(description="ms, only with gtd")] = 0


class Cancel(Action, frozen=True, kw_only=True):
    """Cancel an order on behalf of an account, or all orders of the symbol when no id is given."""

    account: str
    symbol: str
    order_id: int | None = None
    client_order_id: str | None = None


class FillOrder(Action, frozen=True, kw_only=True):
    """A counter-order from outside takes (a part of) a resting order, which is named by one of its two ids."""

    account: str
    symbol: str
    order_id: Annotated[int | None, Meta(description="null: named by client_order_id")] = None
    client_order_id: Annotated[str | None, Meta(description="null: named by order_id")] = None
    quantity: Annotated[Decimal | None, Meta(description="null: all that is left")] = None
    price: Annotated[Decimal | None, Meta(description="null: the order's own price")] = None

    def __post_init__(self) -> None:
        if self.order_id is None and self.client_order_id is None:
            raise ValueError("give one of order_id and client_order_id")


class MovePrice(Action, frozen=True, kw_only=True):
    """Mark and last price jump; crossed orders fill, triggers and margin checks follow."""

    symbol: str
    price: Decimal
    venue: str = ""


class Liquidate(Action, frozen=True, kw_only=True):
    """The exchange closes (a part of) a position by force; a margin account is closed as a whole."""

    account: str
    symbol: Annotated[str, Meta(description="of the position; none for a margin account")] = ""
    position_side: PositionSide = PositionSide.BOTH
    quantity: Annotated[Decimal | None, Meta(description="null: the whole position")] = None


class Adl(Action, frozen=True, kw_only=True):
    """Auto-deleveraging: the exchange closes (a part of) a winning position."""

    account: str
    symbol: str
    position_side: PositionSide = PositionSide.BOTH
    quantity: Decimal | None = None


class Settle(Action, frozen=True, kw_only=True):
    """Delist the symbol: all its positions are closed at the mark price."""

    symbol: str
    venue: str = ""


class Fund(Action, frozen=True, kw_only=True):
    """Pay funding on all open positions of the symbol. A positive rate is paid by longs."""

    symbol: str
    rate: Decimal
    venue: str = ""


class Transfer(Action, frozen=True, kw_only=True):
    """Money comes into an account (positive) or leaves it (negative)."""

    account: str
    asset: str
    amount: Decimal
    reason: Annotated[str, Meta(description="empty: deposit or withdraw by the sign; also admin_deposit, auto_exchange, ...")] = ""


class ExternalLock(Action, frozen=True, kw_only=True):
    """Another system locks a part of a spot balance (positive), or unlocks it (negative)."""

    account: str
    asset: str
    amount: Decimal


class Borrow(Action, frozen=True, kw_only=True):
    """Borrow for a margin account, as far as its margin level allows."""

    account: str
    asset: str
    amount: Decimal


class Repay(Action, frozen=True, kw_only=True):
    """Pay back what a margin account owes."""

    account: str
    asset: str
    amount: Annotated[Decimal | None, Meta(description="null: as much as is owed and free")] = None


class MarginCall(Action, frozen=True, kw_only=True):
    """Send a margin call to the account now."""

    account: str


class Leverage(Action, frozen=True, kw_only=True):
    """Change the leverage of a symbol."""

    account: str
    symbol: str
    leverage: int


class MarginType(Action, frozen=True, kw_only=True):
    """Change the margin type of a symbol."""

    account: str
    symbol: str
    margin_type: Annotated[str, Meta(description="cross, isolated")]


class HedgeMode(Action, frozen=True, kw_only=True):
    """Switch between one-way and hedge mode."""

    account: str
    on: bool = True


class FeeAsset(Action, frozen=True, kw_only=True):
    """Pay fees in another asset from now on."""

    account: str
    asset: Annotated[str, Meta(description="empty: the margin asset")] = ""


# --- keys --------------------------------------------------------------------------------------------------------------


class ExpireKey(Action, frozen=True, kw_only=True):
    """The account's listen key expires now: the event is pushed, then the sockets of the key are silent."""

    account: str


class ExpireToken(Action, frozen=True, kw_only=True):
    """The listen tokens of a margin account expire now: subscriptions that began with them end, their sockets stay open."""

    account: str


class TokenLife(Action, frozen=True, kw_only=True):
    """Listen tokens that a margin account is given from now on live no longer than this, whatever is asked for."""

    account: str
    life_s: Annotated[Decimal | None, Meta(description="null: a day, as the venue")] = None


class DeleteKey(Action, frozen=True, kw_only=True):
    """The account's listen key is deleted: its sockets go silent and nobody is told."""

    account: str


class ReplaceKey(Action, frozen=True, kw_only=True):
    """Another process replaces the listen key: the old one dies in silence, a new one lives."""

    account: str


class RevokeApiKey(Action, frozen=True, kw_only=True):
    """The account's API keys stop working."""

    account: str


class RestoreApiKey(Action, frozen=True, kw_only=True):
    """Revoked API keys work again."""

    account: str


# --- sockets -----------------------------------------------------------------------------------------------------------


class Cut(Action, frozen=True, kw_only=True):
    """Abort the TCP connections without a close frame."""

    account: str = EVERYBODY


class Close(Action, frozen=True, kw_only=True):
    """Close the sockets with a close frame."""

    account: str = EVERYBODY
    code: Annotated[int, Meta(description="1000 to 1003, 1007 to 1014, or 3000 to 4999")] = 1001
    reason: Annotated[str, Meta(description="123 bytes at most")] = ""

    def __post_init__(self) -> None:
        check_close(self.code, self.reason)


class Silence(Action, frozen=True, kw_only=True):
    """The sockets stay open and say nothing: no frames, no pings, no pongs. Frames are held until the end, or lost."""

    account: str = EVERYBODY
    for_s: Annotated[Decimal | None, Meta(description="null: until resume")] = None
    deaf: Annotated[bool, Meta(description="pings are answered, only events are withheld")] = False
    lose: Annotated[bool, Meta(description="withheld frames are lost, not held")] = False
    new_sockets: Annotated[bool, Meta(description="sockets opened meanwhile are silent as well")] = False


class Resume(Action, frozen=True, kw_only=True):
    """End silences; held frames are delivered in order."""

    account: str = EVERYBODY


class Delay(Action, frozen=True, kw_only=True):
    """Deliver frames late, in order. 0 and 0 ends it."""

    ms: Annotated[int, Meta(ge=0, description="0 or more")]
    jitter_ms: Annotated[int, Meta(ge=0, description="0 or more")] = 0
    account: str = EVERYBODY


class FrameRule(Action, frozen=True, kw_only=True):
    """Something done to the next `count` matching frames, or to each with a probability."""

    account: str = EVERYBODY
    event: Annotated[str, Meta(description="event name of the venue, * for all")] = EVERYBODY
    count: Annotated[int | None, Meta(description="how many frames; null: 1, or without end when a probability or for_s is given")] = None
    probability: Annotated[Decimal | None, Meta(description="0 to 1; null: each")] = None
    for_s: Annotated[Decimal | None, Meta(description="null: without end")] = None

    def __post_init__(self) -> None:
        if self.count is not None and self.count < 1:
            raise ValueError(f"count {self.count} must be 1 or more")
        if self.probability is not None and not (self.probability.is_finite() and 0 <= self.probability <= 1):
            raise ValueError(f"probability {self.probability} must be between 0 and 1")


class Drop(FrameRule, frozen=True, kw_only=True):
    """Lose frames on their way: each socket draws by itself."""


class Double(FrameRule, frozen=True, kw_only=True):
    """Deliver frames twice."""


class Reorder(FrameRule, frozen=True, kw_only=True):
    """Deliver the next `count` frames in another order; with a probability: after the frame that follows."""


class Omit(FrameRule, frozen=True, kw_only=True):
    """The exchange never publishes the event: no socket gets it."""


class Raw(Action, frozen=True, kw_only=True):
    """Send a frame as it is. Exactly one of `text` and `hex`; `hex` makes a binary frame."""

    account: str = EVERYBODY
    text: str | None = None
    hex: Annotated[str | None, Meta(description="pairs of hexadecimal digits")] = None

    def __post_init__(self) -> None:
        if (self.text is None) == (self.hex is None):
            raise ValueError("give exactly one of text and hex")
        check_hex(self.hex or "")


class Oversize(Action, frozen=True, kw_only=True):
    """Send a valid JSON text frame of about this size."""

    account: str = EVERYBODY
    size_bytes: Annotated[int, Meta(ge=1, le=LARGEST_FRAME, description=f"1 to {LARGEST_FRAME}")] = 2 * 1024 * 1024


class ShutdownNotice(Action, frozen=True, kw_only=True):
    """Tell the sockets that the server will go down, and close them later if asked."""

    account: str = EVERYBODY
    close_after_s: Decimal | None = None


class TerminateSubscription(Action, frozen=True, kw_only=True):
    """End the user data subscriptions of the account on the sockets of a WebSocket API; the sockets stay open."""

    account: str = EVERYBODY


class Event(Action, frozen=True, kw_only=True):
    """Send one of the venue's rare events. `fields` overwrite those of a sensible sample."""

    account: str
    name: Annotated[str, Meta(description="for instance STRATEGY_UPDATE")]
    fields: dict[str, str | int | bool] = {}


class Clear(Action, frozen=True, kw_only=True):
    """End all faults: silences, delays, frame rules, prepared answers, lags, skew, bans."""


# --- REST, limits, the loop --------------------------------------------------------------------------------------------


class Answer(Action, frozen=True, kw_only=True):
    """Answer the next calls below a path with this instead. A WebSocket API call has the path of its socket, a slash and its method."""

    path: Annotated[str, Meta(pattern="^(/|$)", description="a slash and the beginning of a path, for instance /fapi/v1/order")] = "/"
    method: Annotated[str, Meta(description="GET, POST, ... or *")] = EVERYBODY
    status: Annotated[int, Meta(ge=200, le=599, description="200 to 599")] = 503
    body: Annotated[str, Meta(description="sent as it is")] = ""
    headers: dict[str, str] = {}
    count: Annotated[int, Meta(ge=1, description="1 or more")] = 1
    apply: Annotated[bool, Meta(description="do what was asked, then answer with this")] = False
    abort: Annotated[bool, Meta(description="cut the connection instead of any answer")] = False


class RestLag(Action, frozen=True, kw_only=True):
    """REST reads show the books as of so long ago. 0 ends it."""

    ms: Annotated[int, Meta(ge=0, le=30_000, description="0 to 30000")]


class Skew(Action, frozen=True, kw_only=True):
    """The clock of the gateway (stated time, timestamp check, `E`) is ahead by so much; the books keep their time."""

    ms: int


class Ban(Action, frozen=True, kw_only=True):
    """Ban the address. 0 lifts the ban."""

    seconds: Annotated[int, Meta(ge=0, description="0 or more")] = 120


class Strict(Action, frozen=True, kw_only=True):
    """Private sockets opened without a list of events stay silent."""

    on: bool = True


class Rate(Action, frozen=True, kw_only=True):
    """Events per second over all accounts."""

    events_per_s: Annotated[Decimal, Meta(description=f"0 to {MOST_EVENTS_PER_S}")]

    def __post_init__(self) -> None:
        check_numbers(self)


class PauseTrading(Action, frozen=True, kw_only=True):
    """The accounts stop trading; the market goes on, so that orders which rest at the exchange may still fill: `cancel` them for quiet."""


class ResumeTrading(Action, frozen=True, kw_only=True):
    """The accounts trade again."""


ACTIONS: Mapping[str, type[Action]] = types.MappingProxyType(
    {
        "place": Place,
        "cancel": Cancel,
        "fill": FillOrder,
        "move_price": MovePrice,
        "liquidate": Liquidate,
        "adl": Adl,
        "settle": Settle,
        "fund": Fund,
        "transfer": Transfer,
        "external_lock": ExternalLock,
        "borrow": Borrow,
        "repay": Repay,
        "margin_call": MarginCall,
        "leverage": Leverage,
        "margin_type": MarginType,
        "hedge_mode": HedgeMode,
        "fee_asset": FeeAsset,
        "expire_key": ExpireKey,
        "expire_token": ExpireToken,
        "token_life": TokenLife,
        "delete_key": DeleteKey,
        "replace_key": ReplaceKey,
        "revoke_api_key": RevokeApiKey,
        "restore_api_key": RestoreApiKey,
        "cut": Cut,
        "close": Close,
        "silence": Silence,
        "resume": Resume,
        "delay": Delay,
        "drop": Drop,
        "double": Double,
        "reorder": Reorder,
        "omit": Omit,
        "raw": Raw,
        "oversize": Oversize,
        "shutdown_notice": ShutdownNotice,
        "terminate_subscription": TerminateSubscription,
        "event": Event,
        "clear": Clear,
        "answer": Answer,
        "rest_lag": RestLag,
        "skew": Skew,
        "ban": Ban,
        "strict": Strict,
        "rate": Rate,
        "pause_trading": PauseTrading,
        "resume_trading": ResumeTrading,
    }
)
FrameRules: TypeAlias = Drop | Double | Reorder | Omit


def name_of(action: Action) -> str:
    """The word for an action, as in a script."""
    return next(name for name, kind in ACTIONS.items() if kind is type(action))


def parse_action(name: str, fields: Mapping[str, object]) -> Action:
    """The action of this name with these fields.

    Raises BadAction with the nearest valid word for an unknown name or field, and with the field, its value and its rule for a wrong one.
    """
    kind = ACTIONS.get(name)
    if kind is None:
        raise BadAction(f"action {name!r} is not known; the nearest is {nearest(name, ACTIONS)!r}")
    for field in fields:
        if field not in kind.__struct_fields__:
            raise BadAction(_unknown_field(name, kind, field))
    try:
        action = msgspec.convert(dict(fields), kind)
        check_numbers(action)
        _check_account(action)
    except ValueError as wrong:  # one of the reader's is of this kind too
        raise BadAction(f"action {name!r}: {explain_mistake(kind, fields, wrong)}") from wrong
    return action


def _check_account(action: Action) -> None:
    """Only what may happen to all accounts at once says so by its default."""
    defaults = {field.name: field.default for field in msgspec.structs.fields(action)}
    if getattr(action, "account", "") == EVERYBODY != defaults["account"]:
        raise ValueError(f"account {EVERYBODY!r} must be the name of one account")


def _unknown_field(name: str, kind: type[Action], field: str) -> str:
    if not kind.__struct_fields__:
        return f"action {name!r} has no fields, so {field!r} is unknown"
    return f"action {name!r} has no field {field!r}; the nearest is {nearest(field, kind.__struct_fields__)!r}"
