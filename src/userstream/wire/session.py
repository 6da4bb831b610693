"""One private stream over one socket, as an object without I/O: from asking for a listen key to the socket's end.

The driver opens sockets, makes calls and keeps time; the session says what it wants as effects. A session never awaits, reads a clock
or draws a random number: `now` comes in, in milliseconds of a clock that never jumps.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol, TypeAlias

import msgspec

from userstream.domain.events import Event
from userstream.kernel.errors import UserStreamError
from userstream.kernel.ids import Millis
from userstream.kernel.secret import Secret
from userstream.wire.request import HttpRequest, HttpResponse


class Connect(msgspec.Struct, frozen=True):
    """Open the socket. `label` is the address without secrets."""

    url: Secret
    label: str


class Send(msgspec.Struct, frozen=True):
    """Send a text frame."""

    text: Secret


class Ping(msgspec.Struct, frozen=True):
    """Send a ping frame; the pong comes back through `pong`."""


class Call(msgspec.Struct, frozen=True):
    """Make an HTTP call; the answer comes back through `respond(tag, ...)`."""

    tag: str
    request: HttpRequest


class Emit(msgspec.Struct, frozen=True, gc=False):
    """The frame just received means these events."""

    events: tuple[Event, ...]


class Opened(msgspec.Struct, frozen=True):
    """The venue delivers to this socket from now on (subscription acknowledged or delivery otherwise assured)."""


class Reset(msgspec.Struct, frozen=True):
    """Replace this socket. `alive`: it still delivers, so the successor can be opened first and nothing is dark."""

    reason: str
    alive: bool


class Troubled(msgspec.Struct, frozen=True):
    """What the socket needs failed; the session tries again by itself at its `deadline`. `reason` is one line for people, without
    secrets."""

    reason: str


class Refrain(msgspec.Struct, frozen=True):
    """The venue wants no call from this address for so long: a limit was met on the socket."""

    pause_ms: int


class GiveUp(msgspec.Struct, frozen=True):
    """Retrying cannot help."""

    error: UserStreamError


Effect: TypeAlias = Connect | Send | Ping | Call | Emit | Opened | Reset | Troubled | Refrain | GiveUp


class FrameDecoder(Protocol):
    """Bytes of one frame to events: without a socket, a key or a past. What `userstream decode` and replay use."""

    def decode(self, frame: bytes, received_time: Millis) -> tuple[Event, ...]:
        """Never raises: what is no message becomes `Unrecognized`."""

    @property
    def drift(self) -> Mapping[str, int]:
        """As in `Session`."""


class Session(Protocol):
    """One socket's life. After `Reset` or `GiveUp` the driver still passes frames in until it closes the socket."""

    def open(self, now: Millis) -> list[Effect]:
        """The first wishes: fetch a key, or connect at once."""

    def connected(self, now: Millis) -> list[Effect]:
        """The socket that `Connect` asked for is open."""

    def receive(self, frame: bytes, now: Millis, received_time: Millis) -> list[Effect]:
        """A text or binary frame arrived. `received_time` is the wall clock (ms) and is stamped on the events. Never raises."""

    def pinged(self, now: Millis) -> list[Effect]:
        """The venue sent a ping (the driver has answered it) or a pong came back."""

    def respond(self, tag: str, response: HttpResponse, now: Millis) -> list[Effect]:
        """The answer to `Call(tag)`."""

    def tick(self, now: Millis) -> list[Effect]:
        """Time has passed; called at or after `deadline`."""

    def deadline(self) -> Millis:
        """When `tick` wants to be called next."""

    def close(self, now: Millis) -> list[Effect]:
        """The user stops: last calls (such as giving up an exclusively owned listen key). The socket is closed afterwards."""

    @property
    def drift(self) -> Mapping[str, int]:
        """How often each unknown thing was seen: 'event NAME', 'field EVENT.path', 'word EVENT.path=VALUE', 'bytes REASON'."""

    @property
    def listen_key(self) -> Secret | None:
        """The key of this socket, where the venue has one."""

    @property
    def common_key(self) -> Secret | None:
        """The key that all of the account's sockets have at a time, where the venue has one: another one means that it has died."""
