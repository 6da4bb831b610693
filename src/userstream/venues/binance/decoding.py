"""Frames of the private feed to events. One fast pass for what the documents promise; a slower, careful one for everything else.

Nothing here raises: what is no message becomes `Unrecognized`, what is new is counted and told once, and the rest is decoded all
the same.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final, TypeAlias

import msgspec

from userstream.domain.events import NO_TIME, Event, StreamChanged
from userstream.domain.words import StreamState
from userstream.kernel.errors import DecodeError
from userstream.kernel.ids import AccountId, Millis, VenueName
from userstream.venues.binance.account_facts import (
    account_facts,
    config_facts,
    grid_facts,
    margin_call_facts,
    strategy_facts,
)
from userstream.venues.binance.amounts import unsound_paths
from userstream.venues.binance.coin_messages import CoinAccountUpdate, CoinAlgoUpdate, CoinMarginCall, CoinOrderTradeUpdate
from userstream.venues.binance.drift import Drift, short
from userstream.venues.binance.frames import MOST_BYTES, MOST_LEVELS, TROUBLE, event_time_of, has_more_levels, time_of
from userstream.venues.binance.languages import USD_M_LANGUAGE, Language, Told
from userstream.venues.binance.margin_risk import (
    CamelMarginLevelStatusChange,
    CamelUserLiabilityChange,
    MarginLevelStatusChange,
    UserLiabilityChange,
    level_facts,
    liability_facts,
)
from userstream.venues.binance.messages import (
    AccountConfigUpdate,
    AccountUpdate,
    AlgoUpdate,
    ConditionalOrderTriggerReject,
    GridUpdate,
    MarginCall,
    OrderTradeUpdate,
    ServerShutdown,
    StrategyUpdate,
    TradeLite,
)
from userstream.venues.binance.order_facts import OrderReader, algo_facts, rejected_trigger_facts, trade_facts
from userstream.venues.binance.reasons import reason_of
from userstream.venues.binance.shapes import prune

REFUSED_CONTROL: Final = "event (control)"
KEY_EXPIRED: Final = "listen key expired"
SHUTDOWN: Final = "the venue announces that it closes this socket"


class KeyExpired(msgspec.Struct, frozen=True):
    """The venue says that the key of this socket is dead (Binance USD-M, 4.1.9)."""


class ShutdownAnnounced(msgspec.Struct, frozen=True):
    """The venue asks to open another connection now (Binance USD-M, 3.1)."""


class ControlReply(msgspec.Struct, frozen=True):
    """The answer to a control frame (Binance USD-M, 2.2). `refusal` is empty when the venue agreed."""

    request_id: int | None
    refusal: str


Notice: TypeAlias = KeyExpired | ShutdownAnnounced | ControlReply
"""What a frame says about the stream itself, beside or instead of events."""


class _Refusal(msgspec.Struct, frozen=True):
    code: int = 0
    msg: str = ""


class _Control(msgspec.Struct, frozen=True):
    id: int | None = None
    error: _Refusal | None = None


Reader: TypeAlias = Callable[..., tuple[Event, ...]]

_TOP: Final = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_TEXT: Final = msgspec.json.Decoder(str).decode
_CONTROL: Final = msgspec.json.Decoder(_Control).decode
_WRAPPED_START: Final = b'{"stream"'
_READERS: Final[dict[type[Told], Reader]] = {
    TradeLite: trade_facts,
    AccountUpdate: account_facts,
    AlgoUpdate: algo_facts,
    MarginCall: margin_call_facts,
    AccountConfigUpdate: config_facts,
    GridUpdate: grid_facts,
    StrategyUpdate: strategy_facts,
    ConditionalOrderTriggerReject: rejected_trigger_facts,
    CoinAccountUpdate: account_facts,
    CoinAlgoUpdate: algo_facts,
    CoinMarginCall: margin_call_facts,
    MarginLevelStatusChange: level_facts,
    CamelMarginLevelStatusChange: level_facts,
    UserLiabilityChange: liability_facts,
    CamelUserLiabilityChange: liability_facts,
}


class Decoder:
    """Reads one account's frames. `notice` is what the last frame said about the stream; `drift` counts what is not documented."""

    __slots__ = ("_bare", "_drift", "_readers", "_shapes", "_wrapped", "notice")

    def __init__(self, account: AccountId, venue: VenueName, language: Language = USD_M_LANGUAGE) -> None:
        drift = self._drift = Drift(account, venue)
        orders = OrderReader(drift).read
        readers: dict[type[Told], Reader] = {kind: partial(reader, drift) for kind, reader in _READERS.items()}
        self._readers = readers | {OrderTradeUpdate: orders, CoinOrderTradeUpdate: orders}
        self._bare, self._wrapped, self._shapes = language.bare, language.wrapped, language.shapes
        self.notice: Notice | None = None

    @property
    def drift(self) -> dict[str, int]:
        """How often each unknown thing was seen: 'event NAME', 'field EVENT.path', 'word EVENT.path=VALUE', 'bytes REASON'."""
        return self._drift.counts

    def decode(self, frame: bytes, received_time: Millis) -> tuple[Event, ...]:
        """The events of one frame, in order: a fill before the order's new state. Bare and wrapped frames alike. Never raises.

        received_time: our wall clock (ms), stamped on the events. An unknown event type, and bytes that are no message, give
        `Unrecognized` each time; an unknown field or word gives it once, after the events it came with.
        """
        self.notice = None
        drift = self._drift
        if len(frame) > MOST_BYTES:
            return (self._unreadable("longer than 1 MiB", frame, NO_TIME, received_time),)
        try:
            message = self._wrapped(frame).data if frame.startswith(_WRAPPED_START) else self._bare(frame)
        except TROUBLE:
            events = self._decode_carefully(frame, received_time)
        else:
            events = self._facts(message, frame, received_time)
        return (*events, *self._told(events, frame, received_time)) if drift.news else events

    def _facts(self, message: Told, frame: bytes, received_time: Millis) -> tuple[Event, ...]:
        try:
            return self._read(message, received_time)
        except DecodeError as error:
            name = str(message.__struct_config__.tag)
            wrong = next(unsound_paths(message, name), "")
            reason = f"field {wrong} is no finite number" if wrong else error.reason
            return (self._unreadable(reason, frame, time_of(message.event_time), received_time),)

    def _read(self, message: Told, received_time: Millis) -> tuple[Event, ...]:
        reader = self._readers.get(type(message))
        if reader is not None:
            return reader(message, received_time)
        if isinstance(message, ServerShutdown):
            self.notice = ShutdownAnnounced()
            return self._stream_changed(SHUTDOWN, message.event_time, received_time)
        self.notice = KeyExpired()
        return self._stream_changed(KEY_EXPIRED, time_of(message.event_time), received_time)

    def _decode_carefully(self, frame: bytes, received_time: Millis) -> tuple[Event, ...]:
        if has_more_levels(frame, MOST_LEVELS):
            return (self._unreadable("nested too deeply", frame, NO_TIME, received_time),)
        try:
            top = _TOP(frame)
            inner = self._unwrapped(top)
            top = _TOP(inner) if inner is not None else top
            return self._message(bytes(inner) if inner is not None else frame, top, frame, received_time)
        except RecursionError:
            return (self._unreadable("nested too deeply", frame, NO_TIME, received_time),)
        except (msgspec.MsgspecError, ValueError) as error:
            return (self._unreadable(reason_of(error), frame, NO_TIME, received_time),)

    def _unwrapped(self, top: dict[str, msgspec.Raw]) -> msgspec.Raw | None:
        if "e" in top or "data" not in top:
            return None
        for key in top:
            if key not in ("stream", "data"):
                self._drift.field(f"(envelope).{key}")
        return top["data"]

    def _message(self, text: bytes, top: dict[str, msgspec.Raw], frame: bytes, received_time: Millis) -> tuple[Event, ...]:
        if "e" not in top:
            return self._control(text, top, frame, received_time)
        event_time = event_time_of(top)
        name = _TEXT(top["e"])
        shape = self._shapes.get(name)
        if shape is None:
            label = short(f"event {name}")
            self._drift.count(label)
            return (self._drift.unrecognized(label, "an event the documents do not list", frame, event_time, received_time),)
        pruned, unknown = prune(text, shape, name)
        for path in unknown:
            self._drift.field(path)
        try:
            message = self._bare(pruned)
        except (msgspec.MsgspecError, ValueError) as error:
            return (self._unreadable(f"{name}: {reason_of(error)}", frame, event_time, received_time),)
        return self._facts(message, frame, received_time)

    def _control(self, text: bytes, top: dict[str, msgspec.Raw], frame: bytes, received_time: Millis) -> tuple[Event, ...]:
        if "id" not in top or not ("result" in top or "error" in top):
            return (self._unreadable("no event name", frame, event_time_of(top), received_time),)
        reply = _CONTROL(text)
        refusal = "" if reply.error is None else short(f"{reply.error.code}: {reply.error.msg}")
        self.notice = ControlReply(reply.id, refusal)
        if not refusal:
            return ()
        self._drift.count(REFUSED_CONTROL)
        return (self._drift.unrecognized(REFUSED_CONTROL, f"refused: {refusal}", frame, NO_TIME, received_time),)

    def _told(self, events: tuple[Event, ...], frame: bytes, received_time: Millis) -> tuple[Event, ...]:
        news, self._drift.news = self._drift.news, []
        event_time = events[0].event_time if events else NO_TIME
        return tuple(self._drift.unrecognized(name, reason, frame, event_time, received_time) for name, reason in news)

    def _unreadable(self, reason: str, frame: bytes, event_time: Millis, received_time: Millis) -> Event:
        reason = short(reason)
        self._drift.count(f"bytes {reason}")
        return self._drift.unrecognized("bytes", reason, frame, event_time, received_time)

    def _stream_changed(self, reason: str, event_time: Millis, received_time: Millis) -> tuple[Event, ...]:
        return (
            StreamChanged(
                account=self._drift.account,
                venue=self._drift.venue,
                event_time=event_time,
                received_time=received_time,
                state=StreamState.STALE,
                reason=reason,
            ),
        )
