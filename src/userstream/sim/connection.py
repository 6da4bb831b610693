"""One open WebSocket: reads what the client sends, writes what its lane lets out, pings, counts, and ends it when it is time."""

import asyncio
import contextlib
import socket
import struct
from collections.abc import Callable

import msgspec
from aiohttp import ClientError, WSMsgType, web

from userstream.sim.books import Millis
from userstream.sim.clock import ExchangeClock, spawn
from userstream.sim.lanes import Kind, Lane, Parcel
from userstream.sim.limits import Window

RESET_ON_CLOSE = struct.pack("ii", 1, 0)
MOST_WAITING = 200_000
OPCODES = {Kind.TEXT: WSMsgType.TEXT, Kind.BINARY: WSMsgType.BINARY, Kind.PING: WSMsgType.PING, Kind.PONG: WSMsgType.PONG}
ENDS = frozenset({WSMsgType.CLOSE, WSMsgType.CLOSING, WSMsgType.CLOSED, WSMsgType.ERROR})
POLICY_VIOLATION = 1008
GOING_AWAY = 1001
NORMAL = 1000


class LifeSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How long a socket lives and how its client must prove that it does (Binance USD-M, 3.1)."""

    ping_interval_ms: int
    pong_deadline_ms: int
    life_ms: int


class Connection:
    """Owns one socket from the handshake to its end. `serve` returns when the socket is gone."""

    def __init__(
        self,
        lane: Lane,
        request: web.Request,
        response: web.WebSocketResponse,
        clock: ExchangeClock,
        life: LifeSettings,
        on_text: Callable[[Lane, str], None],
    ) -> None:
        self.lane = lane
        self._request = request
        self._response = response
        self._clock = clock
        self._life = life
        self._on_text = on_text
        self._wake = asyncio.Event()
        self._ended = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None
        self._farewell: tuple[int, str] | None = None
        self._messages = Window(1000)
        self._pinged_at = clock.now()
        self._pings: dict[bytes, Millis] = {}

    async def serve(self) -> None:
        """Carry the socket until it ends."""
        writer = spawn(self._write(), f"paper socket {self.lane.number}")
        try:
            await self._read()
        finally:
            self._ended.set()
            self._cancel_timer()
            writer.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await writer

    def wake(self) -> None:
        """The lane may have something to send."""
        self._wake.set()

    def look(self, now: Millis) -> None:
        """Ping, and end a socket that is too old, gives no answer or cannot keep up."""
        if self._is_gone():
            self._ended.set()
            self._wake.set()
            return
        if self.lane.waiting > MOST_WAITING:
            self.abort()
        elif any(now - sent > self._life.pong_deadline_ms for sent in self._pings.values()):
            self.close(POLICY_VIOLATION, "pong timeout")
        elif now - self.lane.opened_at >= self._life.life_ms:
            self.close(NORMAL, "the connection is too old")
        elif self.lane.close_at is not None and now >= self.lane.close_at:
            self.close(GOING_AWAY, "going away")
        elif now - self._pinged_at >= self._life.ping_interval_ms:
            self._ping(now)
        if self.lane.waiting:
            self._wake.set()

    def close(self, code: int, reason: str) -> None:
        """End with a close frame, after what is on its way; a silent socket keeps silent."""
        self._farewell = self._farewell or (code, reason)
        self._wake.set()

    def abort(self) -> None:
        """End without a word: the client sees a reset."""
        transport = self._request.transport
        if transport is None:
            return
        raw = transport.get_extra_info("socket")
        if raw is not None:
            with contextlib.suppress(OSError):
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
        transport.abort()
        self._ended.set()
        self._wake.set()

    def _is_gone(self) -> bool:
        transport = self._request.transport
        return transport is None or transport.is_closing()

    def _ping(self, now: Millis) -> None:
        payload = str(now).encode()
        self._pinged_at = now
        self._pings[payload] = now
        self.lane.send(Parcel(kind=Kind.PING, body=payload))
        self._wake.set()

    # --- reading -------------------------------------------------------------------------------------------------------

    async def _read(self) -> None:
        while not self._ended.is_set():
            message = await self._response.receive()
            now = self._clock.now()
            if self.lane.is_silent(now) and message.type not in (WSMsgType.CLOSED, WSMsgType.ERROR):
                await self._ignore(message.type)
            elif message.type in ENDS:
                await self._response.close()
                return
            else:
                self._take(message.type, message.data, now)

    async def _ignore(self, kind: WSMsgType) -> None:
        """A silent socket hears nothing; a close frame gets no answer, so only the end of the TCP connection ends it."""
        if kind in ENDS:
            await self._ended.wait()

    def _take(self, kind: WSMsgType, data: str | bytes, now: Millis) -> None:
        limit = self.lane.session.messages_per_second
        if self._messages.add(1, now) > limit > 0:
            self.close(POLICY_VIOLATION, "too many messages")
            return
        if kind is WSMsgType.PONG and isinstance(data, bytes | bytearray):
            self._take_pong(bytes(data))
        elif kind is WSMsgType.PING and isinstance(data, bytes | bytearray):
            self.lane.send(Parcel(kind=Kind.PONG, body=bytes(data)))
        elif kind is WSMsgType.TEXT and isinstance(data, str):
            self._on_text(self.lane, data)
            if self.lane.session.wants_close:
                self.close(POLICY_VIOLATION, "disconnected")
        self._wake.set()

    def _take_pong(self, payload: bytes) -> None:
        """A pong with the payload of a ping answers that ping and the older ones; an unsolicited one counts for nothing."""
        sent = self._pings.get(payload)
        if sent is not None:
            self._pings = {ping: moment for ping, moment in self._pings.items() if moment > sent}

    # --- writing -------------------------------------------------------------------------------------------------------

    async def _write(self) -> None:
        try:
            while not self._ended.is_set():
                await self._send_due()
                if self._farewell is not None and not self.lane.is_silent(self._clock.now()):
                    code, reason = self._farewell
                    await self._response.close(code=code, message=reason.encode())
                    return
                await self._wake.wait()
                self._wake.clear()
        except (ConnectionError, ClientError, RuntimeError):
            # The client went away between two frames; the reading side ends the connection.
            self._ended.set()

    async def _send_due(self) -> None:
        while parcels := self.lane.take_due(self._clock.now()):
            for parcel in parcels:
                await self._response.send_frame(parcel.body, OPCODES[parcel.kind])
        self._set_timer()

    def _set_timer(self) -> None:
        self._cancel_timer()
        now = self._clock.now()
        due = self.lane.next_due(now)
        if due is not None:
            self._timer = asyncio.get_running_loop().call_later(max(due - now, 1) / 1000, self._wake.set)

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
