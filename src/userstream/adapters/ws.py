"""WebSockets over picows: frames reach their owner on the event loop's own stack, without a task in between.

The address holds the listen key. It goes to the venue and nowhere else: not into an error, a log line or a reason.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import ssl
from collections.abc import Callable, Sequence
from http import HTTPStatus
from typing import Final
from urllib.parse import parse_qsl, unquote, urlsplit

import aiohappyeyeballs
import structlog
from picows import WSCloseCode, WSError, WSFrame, WSHandshakeError, WSListener, WSMsgType, WSTransport, WSUpgradeResponse, ws_connect
from picows.url import WSParsedURL

from userstream.adapters.network import check_address, trusted_roots, words_for
from userstream.kernel.errors import ConnectionError
from userstream.kernel.secret import Secret
from userstream.ports import Clock, SocketEvents

LARGEST_MESSAGE: Final = 1024 * 1024
"""Bytes of one message; a larger one ends its socket."""
LARGEST_SAMPLE: Final = 4096
"""Bytes that `on_odd_frame` gets to see."""

_TOO_LARGE: Final = "message over 1 MiB"
_SECOND_ADDRESS_AFTER_S: Final = 0.25
_RECEIVE_BUFFER: Final = 64 * 1024
"""Left alone it grows to megabytes while a socket is busy, and a whole one is read in one turn: nobody else's turn comes meanwhile."""
_LONGEST_REASON: Final = 120
_SHORTEST_SECRET: Final = 8
_TEXT: Final = WSMsgType.TEXT
_log = structlog.stdlib.get_logger("userstream.socket")


class PicowsTransport:
    """Opens WebSockets and owns them until they are gone. Certificates are verified against this system's roots and `extra_roots` (PEM)."""

    def __init__(self, clock: Clock, extra_roots: str | None = None) -> None:
        self._clock = clock
        self._roots = trusted_roots(extra_roots)
        self._sockets: set[PicowsSocket] = set()

    async def connect(self, url: Secret, events: SocketEvents, *, time_limit_ms: int) -> PicowsSocket:
        """Opens a socket; name, TCP, TLS and handshake share one time limit. No event comes before the caller has the socket.

        Raises ConnectionError with one line for people, SettingsError for an address that is neither wss:// nor ws:// to this machine.
        A cancelled call leaves no socket behind.
        """
        address = check_address(url.reveal(), secure="wss", plain="ws")
        opened = PicowsSocket(events, _secret_parts(url), self._part_with)
        attempt, limit = _Attempt(opened), asyncio.timeout(time_limit_ms / 1000)
        try:
            async with limit:
                await attempt.open(url, self._roots)
        except (OSError, UnicodeError, WSError) as error:
            reason = f"no answer within {time_limit_ms} ms" if limit.expired() else _connect_words(error)
            raise ConnectionError(f"cannot reach {address.scheme}://{address}: {reason}") from None
        finally:
            attempt.settle()
        if not opened.gone.is_set():
            self._sockets.add(opened)
        asyncio.get_running_loop().call_soon(opened.hand_over)
        return opened

    async def close(self) -> None:
        """Closes every socket that is still open and waits until all are gone."""
        sockets = tuple(self._sockets)
        for each in sockets:
            each.close()
        await asyncio.gather(*(each.gone.wait() for each in sockets))

    def _part_with(self, ended: PicowsSocket, broken: WSTransport | None) -> None:
        self._sockets.discard(ended)
        if broken is not None:
            self._clock.spawn(_collect_trouble(broken), "end of a broken socket")


async def _collect_trouble(broken: WSTransport) -> None:
    # picows keeps a parser's complaint in a future; uncollected, asyncio would report it as forgotten
    with contextlib.suppress(Exception):
        await broken.wait_disconnected()


class _Attempt:
    """One way from an address to an open socket. `settle` makes sure that it ends as that, or as nothing at all."""

    def __init__(self, listener: PicowsSocket) -> None:
        self._listener = listener
        self._raw: socket.socket | None = None
        self._done = False

    async def open(self, url: Secret, roots: ssl.SSLContext) -> None:
        await ws_connect(
            lambda _request, _response: self._listener,
            url.reveal(),
            ssl_context=roots,
            websocket_handshake_timeout=None,  # the caller's limit covers it
            logger_name=_Whisper(self._listener.on_broken),
            enable_auto_pong=False,  # it would keep the pings to itself
            max_frame_size=LARGEST_MESSAGE,
            max_redirects=0,
            socket_factory=self._dial,
        )
        if not self._listener.is_connected:
            # picows returns as if all were well when the other side hangs up before its answer
            raise ConnectionResetError
        self._done = True

    def settle(self) -> None:
        """Ends what was begun, unless it is open. picows gives no way to stop a handshake but through its raw socket."""
        if self._done:
            return
        self._listener.abandon()
        if self._raw is not None and self._raw.fileno() != -1:
            with contextlib.suppress(OSError):
                self._raw.shutdown(socket.SHUT_RDWR)

    async def _dial(self, url: WSParsedURL) -> socket.socket:
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(url.host, url.port, type=socket.SOCK_STREAM)
        self._raw = await aiohappyeyeballs.start_connection(found, happy_eyeballs_delay=_SECOND_ADDRESS_AFTER_S)
        self._raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER)
        return self._raw


class PicowsSocket(WSListener):
    """An open WebSocket; made by `PicowsTransport`. After `close` nothing comes but `on_closed`, once; what is being taken is still taken.

    Messages that came in one packet with the one during which `pause` was called are still delivered.
    """

    def __init__(self, owner: SocketEvents, secrets: Sequence[str], on_gone: Callable[[PicowsSocket, WSTransport | None], None]) -> None:
        self.gone = asyncio.Event()
        self._owner = owner
        self._secrets = secrets
        self._on_gone = on_gone
        self._transport: WSTransport | None = None
        self._held: _Held | None = _Held()
        self._events: SocketEvents = self._held
        # looked up once: this is the way of every message
        self._on_frames = self._events.on_frames
        self._gathered: list[bytes] = []
        self._unfinished: bytearray | None = None
        self._oddity: str | None = None
        self._reason: str | None = None
        self._broken = False
        self._ended_here = False

    def __repr__(self) -> str:
        return f"PicowsSocket({self._reason or 'open'})"

    @property
    def is_connected(self) -> bool:
        """True once the handshake is through; stays true after the end."""
        return self._transport is not None

    def send(self, text: str) -> None:
        """Sends a text message; does nothing once the socket is closed."""
        if self._transport is not None and self._reason is None:
            self._transport.send(_TEXT, text)

    def ping(self) -> None:
        """Sends a ping; the pong comes back as `on_ping`."""
        if self._transport is not None and self._reason is None:
            self._transport.send_ping()

    def pause(self) -> None:
        if self._transport is not None and self._reason is None:
            self._transport.underlying_transport.pause_reading()

    def resume(self) -> None:
        if self._transport is not None and self._reason is None:
            self._transport.underlying_transport.resume_reading()

    def close(self) -> None:
        self._ended_here = True
        self._end("closed by us")

    def abandon(self) -> None:
        """Ends a socket that nobody waits for any more; its owner hears nothing."""
        self._owner = self._events = _Held()
        self.close()

    def hand_over(self) -> None:
        """From now on the owner hears everything at once; first it hears what came since the handshake."""
        held, self._held, self._events = self._held, None, self._owner
        if self._reason is None:
            self._on_frames = self._owner.on_frames
        for tell in held.told if held is not None else ():
            # the owner may end the socket half way; what came before the venue ended it is still delivered
            if not self._ended_here:
                self._guarded(tell)
        if held is not None and (reason := held.closed) is not None:
            self._guarded(lambda owner: owner.on_closed(reason))

    def on_broken(self) -> None:
        """picows cannot read on. What it read before goes to the owner first."""
        self._broken = True
        asyncio.get_running_loop().call_soon(self._break_off)

    # ------------------------------------------------------------ called by picows

    def on_ws_connected(self, transport: WSTransport) -> None:
        self._transport = transport

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        try:
            if frame.msg_type is _TEXT and frame.fin and self._unfinished is None and not (frame.rsv1 or frame.rsv2 or frame.rsv3):
                self._gathered.append(frame.get_payload_as_bytes())
                if frame.last_in_buffer:
                    self._hand_on()
            else:
                self._hand_on()
                if self._reason is None:
                    self._take_other(transport, frame)
        except Exception as error:
            self._blame(error)

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        self._guarded(lambda _: self._hand_on())  # as in `_break_off`, which may not have had its turn yet
        reason = self._reason or "the connection broke off"
        self._silence(reason)
        self.gone.set()
        self._on_gone(self, transport if self._broken else None)
        self._guarded(lambda events: events.on_closed(reason))

    def _hand_on(self) -> None:
        """What came in one packet is taken together."""
        if frames := self._gathered:
            self._gathered = []
            self._on_frames(frames)

    # ------------------------------------------------------------ all that is not a whole text message

    def _take_other(self, transport: WSTransport, frame: WSFrame) -> None:
        payload = frame.get_payload_as_bytes()
        match frame.msg_type:
            case WSMsgType.PING:
                transport.send_pong(payload)
                self._events.on_ping()
            case WSMsgType.PONG:
                self._events.on_ping()
            case WSMsgType.CLOSE:
                transport.send(WSMsgType.CLOSE, payload[:2])
                self._end(f"closed by the venue: {self._clean(_close_words(payload))}")
            case kind:
                self._collect(payload, frame, continued=kind is WSMsgType.CONTINUATION)

    def _collect(self, payload: bytes, frame: WSFrame, *, continued: bool) -> None:
        if continued is (self._unfinished is None):
            self._refuse(payload, "fragment out of order")
            return
        message = self._unfinished = self._unfinished if self._unfinished is not None else bytearray()
        self._oddity = self._oddity or _oddity_of(frame)
        message += payload
        if len(message) > LARGEST_MESSAGE:
            self._refuse(message, _TOO_LARGE)
        elif frame.fin:
            oddity, self._unfinished, self._oddity = self._oddity, None, None
            self._deliver(message, oddity)

    def _deliver(self, message: bytearray, oddity: str | None) -> None:
        if oddity is None:
            self._on_frames((bytes(message),))
        else:
            self._events.on_odd_frame(bytes(message[:LARGEST_SAMPLE]), oddity)

    def _refuse(self, message: bytes | bytearray, reason: str) -> None:
        self._end(reason)
        self._events.on_odd_frame(bytes(message[:LARGEST_SAMPLE]), reason)

    # ------------------------------------------------------------ the end

    def _end(self, reason: str) -> None:
        if self._reason is None:
            self._silence(reason)
            if self._transport is not None:
                self._transport.disconnect(graceful=False)

    def _silence(self, reason: str) -> None:
        self._reason = reason
        self._on_frames = _drop
        self._unfinished = None

    def _break_off(self) -> None:
        self._guarded(lambda _: self._hand_on())  # what stood before the broken one had no last of its packet behind it
        told = self._transport.close_handshake if self._transport is not None else None
        if self._reason is not None or told is None or told.sent is None:
            return
        if told.sent.code is WSCloseCode.MESSAGE_TOO_BIG:
            self._end(_TOO_LARGE)
            self._guarded(lambda events: events.on_odd_frame(b"", _TOO_LARGE))
        else:
            self._end(f"broken framing: {self._clean(told.sent.reason or '')}")

    def _guarded(self, tell: Callable[[SocketEvents], None]) -> None:
        try:
            tell(self._events)
        except Exception as error:
            self._blame(error)

    def _blame(self, error: Exception) -> None:
        _log.error("the owner of a socket failed", action="socket_owner_failed", exc_info=error)
        self._ended_here = True
        self._end(f"our own fault while handling a message: {type(error).__name__}")

    def _clean(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, "***")
        return "".join(letter if letter.isprintable() else "?" for letter in text[:_LONGEST_REASON])


class _Held:
    """Keeps what a socket tells until its owner knows the socket."""

    def __init__(self) -> None:
        self.told: list[Callable[[SocketEvents], None]] = []
        self.closed: str | None = None

    def on_frames(self, frames: Sequence[bytes]) -> None:
        self.told.append(lambda owner: owner.on_frames(frames))

    def on_odd_frame(self, frame: bytes, reason: str) -> None:
        self.told.append(lambda owner: owner.on_odd_frame(frame, reason))

    def on_ping(self) -> None:
        self.told.append(lambda owner: owner.on_ping())

    def on_closed(self, reason: str) -> None:
        self.closed = reason


class _Whisper(logging.LoggerAdapter[logging.Logger]):
    """What picows logs through: its lines may hold addresses and answers, so none is kept. An error means that it cannot read on."""

    def __init__(self, on_error: Callable[[], None]) -> None:
        super().__init__(logging.Logger("userstream.picows"), {})
        self._on_error = on_error

    def isEnabledFor(self, level: int) -> bool:  # noqa: N802 - the name is the base's
        return False

    def log(self, level: int, msg: object, *args: object, **kwargs: object) -> None:
        if level >= logging.ERROR:
            self._on_error()


def _drop(frames: Sequence[bytes]) -> None:
    return


def _oddity_of(frame: WSFrame) -> str | None:
    if frame.rsv1 or frame.rsv2 or frame.rsv3:
        return "compressed frame"
    return "binary frame" if frame.msg_type is WSMsgType.BINARY else None


def _close_words(payload: bytes) -> str:
    if len(payload) < 2:
        return "no code"
    code = int.from_bytes(payload[:2], "big")
    known = {each.value: each.name.replace("_", " ").lower() for each in WSCloseCode}
    return f"{code} {payload[2:].decode(errors='replace') or known.get(code, '')}".rstrip()


def _connect_words(error: Exception) -> str:
    match error:
        case WSHandshakeError(response=WSUpgradeResponse(status=status)) if status != HTTPStatus.SWITCHING_PROTOCOLS:
            return f"handshake answered {int(status)}"
        case WSError():
            return "the answer is no WebSocket handshake"
        case _:
            return words_for(error)


def _secret_parts(url: Secret) -> tuple[str, ...]:
    """The parts of an address that may be keys, the longest first."""
    parts = urlsplit(url.reveal())
    values = [*parts.path.split("/"), *(value for _, value in parse_qsl(parts.query)), parts.path, parts.query]
    spellings = {each for value in values for each in (value, unquote(value)) if len(each) >= _SHORTEST_SECRET}
    return tuple(sorted(spellings, key=len, reverse=True))
