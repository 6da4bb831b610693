"""Many accounts on one Spot socket: whose is a frame, and who may subscribe here (Binance Spot, 2.3, 3.1). Pure.

Events name their subscription, answers their request. What names neither is told to every line if it is about the socket, or to one line
if nobody knows what it is: so that it is kept and counted once. An account's event that does not say whose it is reaches no account: all
are warned, and read their books.
"""

from __future__ import annotations

import re
from types import MappingProxyType
from typing import Final, get_args

import msgspec

from userstream.kernel.secret import Secret
from userstream.venues.binance.frames import TROUBLE
from userstream.venues.binance.spot_messages import Reply, SpotMessage
from userstream.venues.binance.spot_requests import LOGON, SUBSCRIBE, SUBSCRIBE_SIGNED, TIME, is_refused, pause_of_reply, used_weight_of
from userstream.wire.session import Refrain
from userstream.wire.switchboard import NOBODY, Cut, Deliver, End, SwitchEffect, Transmit, Used, Warn
from userstream.wire.venue import AccountPlace, Sharing

MOST_ACTIVE: Final = 1_000
MOST_OVER_A_LIFE: Final = 65_535
UNSUBSCRIBE: Final = "userDataStream.unsubscribe"
SUBSCRIBES: Final = (SUBSCRIBE, SUBSCRIBE_SIGNED, "userDataStream.subscribe.listenToken")
WEIGHTS: Final = MappingProxyType({TIME: 1, LOGON: 2, UNSUBSCRIBE: 2} | dict.fromkeys(SUBSCRIBES, 2))
ALREADY_ACTIVE: Final = -2035
TOO_MANY: Final = -2042
SHUTDOWN: Final = "serverShutdown"
TERMINATED: Final = "eventStreamTerminated"
ACCOUNT_EVENTS: Final = frozenset(str(kind.__struct_config__.tag) for kind in get_args(SpotMessage)) - {SHUTDOWN, TERMINATED}
CLOSED_BY_US: Final = "closed by us"

_PLAIN_EVENT: Final = re.compile(rb'\{"subscriptionId":(\d{1,9}),"event":\{"e":"(?!serverShutdown"|eventStreamTerminated")').match


class _Top(msgspec.Struct, frozen=True):
    subscription: msgspec.Raw = msgspec.field(name="subscriptionId", default=msgspec.Raw())
    event: msgspec.Raw = msgspec.Raw()
    name: msgspec.Raw = msgspec.field(name="e", default=msgspec.Raw())
    id: msgspec.Raw = msgspec.Raw()
    status: msgspec.Raw = msgspec.Raw()


class _Named(msgspec.Struct, frozen=True):
    name: str = msgspec.field(name="e", default="")


class _Request(msgspec.Struct, frozen=True):
    id: str | int
    method: str


_SUBSCRIPTION: Final = re.compile(rb'\s*\{\s*"subscriptionId"\s*:\s*(\d{1,9})\s*,')
_TOP: Final = msgspec.json.Decoder(_Top).decode
_NAMED: Final = msgspec.json.Decoder(_Named).decode
_NUMBER: Final = msgspec.json.Decoder(int).decode
_REPLY: Final = msgspec.json.Decoder(Reply).decode
_REQUEST: Final = msgspec.json.Decoder(_Request).decode


class _Line:
    """`waiting`: the ids of its requests without an answer."""

    __slots__ = ("owner", "subscription", "waiting")

    def __init__(self, owner: Secret) -> None:
        self.owner = owner
        self.subscription: int | None = None
        self.waiting: list[str | int] = []


class _Asked(msgspec.Struct, frozen=True):
    """A request on its way. Of a line that has hung up, or of our own, nobody waits for the answer. `ending`: the subscription that it
    ends."""

    line: int
    method: str
    owner: Secret
    ending: int | None = None


class SpotSwitchboard:
    """The lines of one socket; see `wire.switchboard.Switchboard`.

    Promises: an event reaches the line that subscribed, and no other; an answer the line that asked. A line that hangs up leaves no
    subscription behind. No owner has two lines here, for the venue knows one subscription of an account on a socket.
    """

    def __init__(self) -> None:
        self._lines: dict[int, _Line] = {}
        self._line_by_subscription: dict[int, int] = {}
        self._ending: set[int] = set()
        self._asked: dict[str | int, _Asked] = {}
        self._occupied: dict[Secret, int] = {}
        self._barred: set[Secret] = set()
        self._subscribed = self._own_requests = 0
        self._is_retired = False
        self._strays = 0

    def __repr__(self) -> str:
        return f"<SpotSwitchboard, {len(self._lines)} lines, {len(self._line_by_subscription)} subscriptions>"

    @property
    def strays(self) -> int:
        """As in `wire.switchboard.Switchboard`."""
        return self._strays

    # --- lines ---

    def can_take(self, owner: Secret) -> bool:
        room = len(self._occupied) < MOST_ACTIVE and self._subscribed + len(self._lines) < MOST_OVER_A_LIFE
        return room and not self._is_retired and owner not in self._occupied and owner not in self._barred

    def join(self, line: int, owner: Secret) -> None:
        self._lines[line] = _Line(owner)
        self._occupy(owner)

    def send(self, line: int, text: Secret) -> list[SwitchEffect]:
        try:
            asked = _REQUEST(text.reveal())
        except TROUBLE:
            return [Transmit(text, 1)]
        if line not in self._lines:
            return []
        if asked.id in self._asked:
            return [Cut(line, "its request has the id of another one on this socket")]
        self._note(asked.id, _Asked(line, asked.method, self._lines[line].owner))
        return [Transmit(text, WEIGHTS.get(asked.method, 2))]

    def hang_up(self, line: int) -> list[SwitchEffect]:
        gone = self._lines.pop(line, None)
        if gone is None:
            return []
        if not self._lines:
            return [End(CLOSED_BY_US)]
        for number in gone.waiting:
            self._orphan(number, self._asked[number])
        self._free(gone.owner)
        if gone.subscription is None:
            return []
        del self._line_by_subscription[gone.subscription]
        return self._unsubscribe(gone.subscription, gone.owner)

    def unreadable(self) -> list[SwitchEffect]:
        self._strays += 1
        lines = tuple(self._lines)
        return [Deliver(lines[:1]), Warn(lines[1:])]

    def _note(self, number: str | int, asked: _Asked) -> None:
        self._asked[number] = asked
        self._subscribed += asked.method in SUBSCRIBES
        if asked.line in self._lines:
            self._lines[asked.line].waiting.append(number)

    def _orphan(self, number: str | int, asked: _Asked) -> None:
        """What the line asked for may still be done, and must then be undone; until then its owner is here."""
        self._asked[number] = _Asked(NOBODY, asked.method, asked.owner)
        self._occupy(asked.owner)

    def _unsubscribe(self, subscription: int, owner: Secret) -> list[SwitchEffect]:
        self._own_requests += 1
        number = f"switchboard-{self._own_requests}"
        self._ending.add(subscription)
        self._occupy(owner)
        self._note(number, _Asked(NOBODY, UNSUBSCRIBE, owner, subscription))
        text = {"id": number, "method": UNSUBSCRIBE, "params": {"subscriptionId": subscription}}
        return [Transmit(Secret(msgspec.json.encode(text).decode()), WEIGHTS[UNSUBSCRIBE])]

    def _occupy(self, owner: Secret) -> None:
        self._occupied[owner] = self._occupied.get(owner, 0) + 1

    def _free(self, owner: Secret) -> None:
        left = self._occupied.pop(owner, 1) - 1
        if left:
            self._occupied[owner] = left

    # --- frames ---

    def line_of(self, frame: bytes) -> int:
        found = _PLAIN_EVENT(frame)
        return NOBODY if found is None else self._line_by_subscription.get(int(found[1]), NOBODY)

    def sort(self, frame: bytes) -> list[SwitchEffect]:
        try:
            top = _TOP(frame)
        except TROUBLE:
            return self._sort_broken(frame)
        if top.event or top.name:
            return self._sort_event(top, frame)
        if top.id or top.status:
            return self._sort_reply(frame)
        return self._stray()

    def _stray(self) -> list[SwitchEffect]:
        self._strays += 1
        return [Deliver(tuple(self._lines)[:1])]

    def _sort_broken(self, frame: bytes) -> list[SwitchEffect]:
        """A frame that breaks off may have said before whose it is."""
        named = _SUBSCRIPTION.match(frame)
        line = NOBODY if named is None else self._line_by_subscription.get(int(named[1]), NOBODY)
        if line == NOBODY:
            return self.unreadable()
        self._strays += 1
        return [Deliver((line,))]

    def _drop(self) -> list[SwitchEffect]:
        self._strays += 1
        return []

    def _sort_event(self, top: _Top, frame: bytes) -> list[SwitchEffect]:
        try:
            name = _NAMED(top.event or frame).name
            subscription = _NUMBER(top.subscription) if top.subscription and bytes(top.subscription) != b"null" else None
        except TROUBLE:
            return self._stray()
        if name == SHUTDOWN:
            self._is_retired = True
            return [Deliver(tuple(self._lines))]
        if subscription is None:
            return self._sort_unowned(name)
        return self._sort_by_subscription(subscription, is_end=name == TERMINATED)

    def _sort_unowned(self, name: str) -> list[SwitchEffect]:
        """An event that does not say whose it is. A lone line's is its own; of several, none may take another's for its own."""
        lines = tuple(self._lines)
        if name == TERMINATED:
            return [Deliver(lines)]
        if name in ACCOUNT_EVENTS and len(lines) > 1:
            self._strays += 1
            return [Warn(lines)]
        return self._stray()

    def _sort_by_subscription(self, subscription: int, *, is_end: bool) -> list[SwitchEffect]:
        """An event from before its subscription's acknowledgement lies in the time that its session reads from the books anyway. Those of
        a subscription that is none of ours must not reach another account's journal: they are dropped, and their source is closed."""
        line = self._line_by_subscription.get(subscription, NOBODY)
        if line and is_end:
            del self._line_by_subscription[subscription]
            self._lines[line].subscription = None
        if line:
            return [Deliver((line,))]
        if is_end or subscription in self._ending:
            return []
        if any(asked.method in SUBSCRIBES for asked in self._asked.values()):
            return self._drop()
        return self._drop() + self._unsubscribe(subscription, Secret(f"subscription {subscription}"))

    # --- answers ---

    def _sort_reply(self, frame: bytes) -> list[SwitchEffect]:
        try:
            reply = _REPLY(frame)
        except TROUBLE:
            return self._stray()
        used, effects = used_weight_of(reply), self._sort_named(reply.id, reply) if reply.id is not None else self._sort_nameless(reply)
        # a line that hears of a limit says so itself
        pause_ms = pause_of_reply(reply) if is_refused(reply) and not any(isinstance(effect, Deliver) for effect in effects) else 0
        return [*([Used(used)] if used else []), *([Refrain(pause_ms)] if pause_ms else []), *effects]

    def _sort_named(self, number: str | int, reply: Reply) -> list[SwitchEffect]:
        asked = self._asked.pop(number, None)
        if asked is None:
            return self._drop()
        return self._answered_nobody(asked, reply) if asked.line == NOBODY else self._answered(number, asked, reply)

    def _answered_nobody(self, asked: _Asked, reply: Reply) -> list[SwitchEffect]:
        self._free(asked.owner)
        if asked.ending is not None:
            self._ending.discard(asked.ending)
        subscription = _subscription_of(asked, reply)
        return [] if subscription is None or subscription in self._ending else self._unsubscribe(subscription, asked.owner)

    def _answered(self, number: str | int, asked: _Asked, reply: Reply) -> list[SwitchEffect]:
        line = self._lines[asked.line]
        line.waiting.remove(number)
        code = 0 if reply.error is None else reply.error.code
        if code == ALREADY_ACTIVE:
            self._barred.add(asked.owner)
        self._is_retired = self._is_retired or code == TOO_MANY
        subscription = _subscription_of(asked, reply)
        if subscription is None:
            return [Deliver((asked.line,))]
        if self._line_by_subscription.get(subscription, asked.line) != asked.line:
            return [End("the venue gave one subscription to two accounts")]
        return [Deliver((asked.line,)), *self._subscribe(asked.line, subscription)]

    def _subscribe(self, number: int, subscription: int) -> list[SwitchEffect]:
        """A renewal may be answered with another subscription: it tells all from here on, so the former one is ended."""
        line = self._lines[number]
        former, line.subscription = line.subscription, subscription
        self._line_by_subscription[subscription] = number
        if former in (None, subscription):
            return []
        del self._line_by_subscription[former]
        return self._unsubscribe(former, line.owner)

    def _sort_nameless(self, reply: Reply) -> list[SwitchEffect]:
        """Without an id a refusal is about the session or about a request that could not be read. Told to all, one account's fault would
        be the end of all: only who waits alone can be meant. Of several none is told; each asks again, on another socket."""
        if not is_refused(reply):
            return self._drop()
        waiting = sorted({asked.line for asked in self._asked.values() if asked.line != NOBODY})
        if len(waiting) == 1:
            self._forget_waiting(waiting[0])
            return [Deliver((waiting[0],))]
        self._is_retired = True
        self._strays += 1
        if waiting:
            return [Cut(line, "the venue refused a request and did not say whose") for line in waiting]
        return [] if self._asked else [End("the venue refused this socket")]

    def _forget_waiting(self, line: int) -> None:
        for number in self._lines[line].waiting:
            del self._asked[number]
        self._lines[line].waiting.clear()


def _subscription_of(asked: _Asked, reply: Reply) -> int | None:
    """The subscription that an answer opens."""
    if asked.method not in SUBSCRIBES or is_refused(reply) or reply.result is None:
        return None
    return reply.result.subscription_id


def may_share(place: AccountPlace) -> bool:
    """A socket that is logged on belongs to one account: a later subscription there would be that of whoever logged on last. So does the
    socket of who wants one for itself."""
    return place.shared_socket and not place.session_logon


def may_share_tokens(place: AccountPlace) -> bool:
    """Tokens subscribe without the session's authorization, each for an account of its own (Binance margin, 2.4 and 4.4)."""
    return place.shared_socket


SPOT_SHARING: Final = Sharing(
    make_switchboard=SpotSwitchboard,
    may_share=may_share,
    dial_weight=2,
    line_weight=WEIGHTS[TIME] + WEIGHTS[SUBSCRIBE_SIGNED],
    dials_per_5_minutes=200,
)
MARGIN_SHARING: Final = msgspec.structs.replace(SPOT_SHARING, may_share=may_share_tokens)
"""Binance Spot, 2.3, 3.1 and 3.2: what a socket and a subscription weigh. Both products dial the same host, which takes 300 connection
attempts in 5 minutes from an address, and counts what is asked there as Spot's weight."""
