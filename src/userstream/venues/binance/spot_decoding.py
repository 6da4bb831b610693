"""Frames of a Spot socket to events and notices. One fast pass for what the documents promise; a slower, careful one for everything else.

On this socket answers to requests and events of accounts come mixed (Binance Spot, 2.3). Nothing here raises: what is no message becomes
`Unrecognized`, what is new is counted and told once, and the rest is decoded all the same.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeAlias, get_args

import msgspec

from userstream.domain.events import NO_TIME, Event, StreamChanged
from userstream.domain.words import StreamState
from userstream.kernel.errors import DecodeError
from userstream.kernel.ids import AccountId, Millis, VenueName
from userstream.venues.binance.amounts import unsound_paths
from userstream.venues.binance.drift import Drift, short
from userstream.venues.binance.frames import MOST_BYTES, MOST_LEVELS, TROUBLE, event_time_of, has_more_levels, milliseconds
from userstream.venues.binance.reasons import reason_of
from userstream.venues.binance.shapes import Shape, prune, shapes_of
from userstream.venues.binance.spot_facts import list_facts, lock_facts, movement_facts, report_facts, wallet_facts
from userstream.venues.binance.spot_messages import (
    BalanceUpdate,
    EventStreamTerminated,
    ExecutionReport,
    ExternalLockUpdate,
    ListStatus,
    OutboundAccountPosition,
    Reply,
    SpotEnvelope,
    SpotMessage,
    SpotServerShutdown,
)

SHUTDOWN: Final = "the venue announces that it closes this socket"
TERMINATED: Final = "the venue ended the subscription"


class ShutdownAnnounced(msgspec.Struct, frozen=True):
    """The venue asks to open another connection now (Binance Spot, 3.1)."""


class SubscriptionEnded(msgspec.Struct, frozen=True):
    """The venue tells nothing more of this subscription; the socket stays open (Binance Spot, 4.3.6)."""


Notice: TypeAlias = Reply | ShutdownAnnounced | SubscriptionEnded
"""What a frame says about the socket itself, beside or instead of events."""

_ENVELOPE: Final = msgspec.json.Decoder(SpotEnvelope).decode
_BARE: Final = msgspec.json.Decoder(SpotMessage).decode
_REPLY: Final = msgspec.json.Decoder(Reply).decode
_TOP: Final = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_TEXT: Final = msgspec.json.Decoder(str).decode
_NUMBER: Final = msgspec.json.Decoder(int | None).decode
_SHAPES: Final[dict[str, Shape]] = shapes_of(get_args(SpotMessage))
_READERS: Final[dict[type[SpotMessage], Callable[..., tuple[Event, ...]]]] = {
    ExecutionReport: report_facts,
    OutboundAccountPosition: wallet_facts,
    BalanceUpdate: movement_facts,
    ListStatus: list_facts,
    ExternalLockUpdate: lock_facts,
}
_NUMBER_KEY: Final = "subscriptionId"
_EVENT_KEY: Final = "event"


class SpotDecoder:
    """Reads one account's frames. `notice` is what the last frame said about the socket, `subscription` whose events it brought (None:
    it did not say); `drift` counts what is not documented."""

    __slots__ = ("_drift", "notice", "subscription")

    def __init__(self, account: AccountId, venue: VenueName) -> None:
        self._drift = Drift(account, venue)
        self.notice: Notice | None = None
        self.subscription: int | None = None

    @property
    def drift(self) -> dict[str, int]:
        """How often each unknown thing was seen: 'event NAME', 'field EVENT.path', 'word EVENT.path=VALUE', 'bytes REASON'."""
        return self._drift.counts

    def decode(self, frame: bytes, received_time: Millis) -> tuple[Event, ...]:
        """The events of one frame, in order: a fill before the order's new state. Never raises.

        received_time: our wall clock (ms), stamped on the events. An answer to a request gives no event, but a notice. An unknown event
        type, and bytes that are no message, give `Unrecognized` each time; an unknown field or word gives it once, after the events it
        came with.
        """
        self.notice = self.subscription = None
        drift = self._drift
        if len(frame) > MOST_BYTES:
            return (self._unreadable("longer than 1 MiB", frame, NO_TIME, received_time),)
        try:
            envelope = _ENVELOPE(frame)
        except TROUBLE:
            events = self._decode_carefully(frame, received_time)
        else:
            self.subscription = envelope.subscription_id
            events = self._facts(envelope.event, frame, received_time)
        return (*events, *self._told(events, frame, received_time)) if drift.news else events

    def _facts(self, message: SpotMessage, frame: bytes, received_time: Millis) -> tuple[Event, ...]:
        try:
            return self._read(message, received_time)
        except DecodeError as error:
            name = str(message.__struct_config__.tag)
            wrong = next(unsound_paths(message, name), "")
            reason = f"field {wrong} is no finite number" if wrong else error.reason
            return (self._unreadable(reason, frame, milliseconds(message.event_time), received_time),)

    def _read(self, message: SpotMessage, received_time: Millis) -> tuple[Event, ...]:
        if isinstance(message, SpotServerShutdown):
            self.notice = ShutdownAnnounced()
            return self._stream_changed(SHUTDOWN, message.event_time, received_time)
        if isinstance(message, EventStreamTerminated):
            self.notice = SubscriptionEnded()
            return self._stream_changed(TERMINATED, message.event_time, received_time)
        return _READERS[type(message)](self._drift, message, received_time)

    def _decode_carefully(self, frame: bytes, received_time: Millis) -> tuple[Event, ...]:
        if has_more_levels(frame, MOST_LEVELS):
            return (self._unreadable("nested too deeply", frame, NO_TIME, received_time),)
        try:
            top = _TOP(frame)
            if _EVENT_KEY in top and "e" not in top:
                return self._enveloped(top, frame, received_time)
            if "e" in top:
                return self._message(frame, top, frame, received_time)
            return self._reply(top, frame, received_time)
        except RecursionError:
            return (self._unreadable("nested too deeply", frame, NO_TIME, received_time),)
        except (msgspec.MsgspecError, ValueError) as error:
            return (self._unreadable(reason_of(error), frame, NO_TIME, received_time),)

    def _enveloped(self, top: dict[str, msgspec.Raw], frame: bytes, received_time: Millis) -> tuple[Event, ...]:
        if not bytes(top[_EVENT_KEY]).lstrip().startswith(b"{"):
            label = short(f"event {bytes(top[_EVENT_KEY]).decode('utf-8', 'replace')}")
            return self._unknown_event(label, frame, NO_TIME, received_time)
        self.subscription = _NUMBER(top[_NUMBER_KEY]) if _NUMBER_KEY in top else None
        for key in top:
            if key not in (_NUMBER_KEY, _EVENT_KEY):
                self._drift.field(f"(envelope).{key}")
        inner = top[_EVENT_KEY]
        return self._message(bytes(inner), _TOP(inner), frame, received_time)

    def _message(self, text: bytes, top: dict[str, msgspec.Raw], frame: bytes, received_time: Millis) -> tuple[Event, ...]:
        event_time = milliseconds(event_time_of(top))
        if "e" not in top:
            return (self._unreadable("no event name", frame, event_time, received_time),)
        name = _TEXT(top["e"])
        shape = _SHAPES.get(name)
        if shape is None:
            return self._unknown_event(short(f"event {name}"), frame, event_time, received_time)
        pruned, unknown = prune(text, shape, name)
        for path in unknown:
            self._drift.field(path)
        try:
            message = _BARE(pruned)
        except (msgspec.MsgspecError, ValueError) as error:
            return (self._unreadable(f"{name}: {reason_of(error)}", frame, event_time, received_time),)
        return self._facts(message, frame, received_time)

    def _unknown_event(self, label: str, frame: bytes, event_time: Millis, received_time: Millis) -> tuple[Event, ...]:
        self._drift.count(label)
        return (self._drift.unrecognized(label, "an event the documents do not list", frame, event_time, received_time),)

    def _reply(self, top: dict[str, msgspec.Raw], frame: bytes, received_time: Millis) -> tuple[Event, ...]:
        """An answer is news for whoever asked, and nothing for the account."""
        if "id" not in top or not ("status" in top or "result" in top or "error" in top):
            return (self._unreadable("no event name", frame, event_time_of(top), received_time),)
        self.notice = _REPLY(frame)
        return ()

    def _told(self, events: tuple[Event, ...], frame: bytes, received_time: Millis) -> tuple[Event, ...]:
        news, self._drift.news = self._drift.news, []
        event_time = events[0].event_time if events else NO_TIME
        return tuple(self._drift.unrecognized(name, reason, frame, event_time, received_time) for name, reason in news)

    def _unreadable(self, reason: str, frame: bytes, event_time: Millis, received_time: Millis) -> Event:
        reason = short(reason)
        self._drift.count(f"bytes {reason}")
        return self._drift.unrecognized("bytes", reason, frame, event_time, received_time)

    def _stream_changed(self, reason: str, event_time: int, received_time: Millis) -> tuple[Event, ...]:
        return (
            StreamChanged(
                account=self._drift.account,
                venue=self._drift.venue,
                event_time=milliseconds(event_time),
                received_time=received_time,
                state=StreamState.STALE,
                reason=reason,
            ),
        )
