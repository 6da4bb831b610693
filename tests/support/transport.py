"""Sockets and HTTP without a network, for tests of what lies above them."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from userstream.kernel.errors import ConnectionError
from userstream.kernel.secret import Secret
from userstream.ports import SocketEvents
from userstream.wire.request import HttpRequest, HttpResponse


class RecordingEvents:
    """Writes down what a socket tells: ("frame", text), ("odd", bytes, reason), ("ping",), ("closed", reason)."""

    def __init__(self) -> None:
        self.told: list[tuple[str | bytes, ...]] = []
        self.on_each: Callable[[], None] = lambda: None
        self._changed = asyncio.Event()

    @property
    def frames(self) -> list[bytes]:
        return [entry[1] for entry in self.told if entry[0] == "frame" and isinstance(entry[1], bytes)]

    @property
    def closed(self) -> list[str]:
        return [entry[1] for entry in self.told if entry[0] == "closed" and isinstance(entry[1], str)]

    def on_frames(self, frames: Sequence[bytes]) -> None:
        for frame in frames:
            self._note("frame", frame)

    def on_odd_frame(self, frame: bytes, reason: str) -> None:
        self._note("odd", frame, reason)

    def on_ping(self) -> None:
        self._note("ping")

    def on_closed(self, reason: str) -> None:
        self._note("closed", reason)

    async def until(self, reached: Callable[[], bool]) -> None:
        """Waits until what was told so far makes `reached()` true."""
        async with asyncio.timeout(10):
            while not reached():
                self._changed.clear()
                await self._changed.wait()

    def _note(self, *entry: str | bytes) -> None:
        self.told.append(entry)
        self._changed.set()
        self.on_each()


class PipeSocket:
    """Both ends of a socket that is no socket. The methods of `Socket` are the client's; the others are the venue's."""

    def __init__(self, url: Secret, events: SocketEvents, on_gone: Callable[[PipeSocket], None]) -> None:
        self.url = url
        self.sent: list[str] = []
        self.pings = 0
        self.answers_pings = True
        self.on_sent: Callable[[str], None] = lambda text: None
        self._events = events
        self._on_gone = on_gone
        self._waiting: deque[Callable[[], None]] = deque()
        self._known = False
        self._paused = False
        self._closed: str | None = None
        asyncio.get_running_loop().call_soon(self._hand_over)

    @property
    def is_open(self) -> bool:
        return self._closed is None

    @property
    def is_paused(self) -> bool:
        return self._paused

    # ------------------------------------------------------------ the client's end

    def send(self, text: str) -> None:
        if self._closed is None:
            self.sent.append(text)
            self.on_sent(text)

    def ping(self) -> None:
        if self._closed is None:
            self.pings += 1
            if self.answers_pings:
                asyncio.get_running_loop().call_soon(self.deliver_ping)

    def pause(self) -> None:
        self._paused = True

    def resume(self) -> None:
        if self._paused:
            self._paused = False
            asyncio.get_running_loop().call_soon(self._drain)

    def close(self) -> None:
        if self._closed is None:
            self._waiting.clear()
        self._end("closed by us")

    # ------------------------------------------------------------ the venue's end

    def deliver(self, frame: bytes | str) -> None:
        """A text message arrives, at once if the client reads."""
        self.deliver_together([frame.encode() if isinstance(frame, str) else frame])

    def deliver_together(self, frames: Sequence[bytes]) -> None:
        """Text messages arrive in one packet."""
        self._tell(lambda: self._events.on_frames(frames))

    def deliver_odd(self, frame: bytes, reason: str) -> None:
        self._tell(lambda: self._events.on_odd_frame(frame, reason))

    def deliver_ping(self) -> None:
        self._tell(self._events.on_ping)

    def cut(self, reason: str = "the connection broke off") -> None:
        """The venue or the way to it is gone. What waits behind a pause is lost, as it is with a real socket."""
        if self._known:
            self._waiting.clear()
        self._end(reason)

    def _tell(self, tell: Callable[[], None]) -> None:
        if self._closed is None:
            self._waiting.append(tell)
            self._drain()

    def _hand_over(self) -> None:
        self._known = True
        self._drain()

    def _drain(self) -> None:
        while self._waiting and self._known and not self._paused:
            self._waiting.popleft()()

    def _end(self, reason: str) -> None:
        if self._closed is None:
            self._closed = reason
            self._on_gone(self)
            asyncio.get_running_loop().call_soon(self._report_closed, reason)

    def _report_closed(self, reason: str) -> None:
        self._events.on_closed(reason)


class PipeTransport:
    """The `Transport` of tests: every `connect` gives a `PipeSocket`, or the next of `refusals`."""

    def __init__(self) -> None:
        self.sockets: list[PipeSocket] = []
        self.refusals: deque[str] = deque()
        self.on_connect: Callable[[PipeSocket], None] = lambda opened: None
        self.time_limits: list[int] = []
        self._open: set[PipeSocket] = set()
        self._gate = asyncio.Event()
        self._gate.set()

    @property
    def open_sockets(self) -> list[PipeSocket]:
        return [each for each in self.sockets if each.is_open]

    def hold(self) -> None:
        """From now on `connect` waits, until `let_go`."""
        self._gate.clear()

    def let_go(self) -> None:
        self._gate.set()

    async def connect(self, url: Secret, events: SocketEvents, *, time_limit_ms: int) -> PipeSocket:
        self.time_limits.append(time_limit_ms)
        await self._gate.wait()
        if self.refusals:
            raise ConnectionError(f"cannot connect: {self.refusals.popleft()}")
        opened = PipeSocket(url, events, self._open.discard)
        self.sockets.append(opened)
        self._open.add(opened)
        self.on_connect(opened)
        return opened

    async def close(self) -> None:
        for each in tuple(self._open):
            each.close()
        await asyncio.sleep(0)


Answer = HttpResponse | Callable[[HttpRequest], HttpResponse]
NO_ANSWER: Final = HttpResponse(status=0, body=b"no answer was planned")


def json_answer(value: object, status: int = 200, **headers: str) -> HttpResponse:
    """An answer with a JSON body; `retry_after="3"` becomes the header retry-after."""
    named = {name.replace("_", "-"): text for name, text in headers.items()}
    return HttpResponse(status=status, body=msgspec.json.encode(value), headers=named)


class RecordingHttp:
    """The `HttpClient` of tests: writes down every request and answers by label, then by `default`.

    A list of answers is used up one by one, the last for ever.
    """

    def __init__(self, answers: dict[str, list[Answer]] | None = None, default: Answer = NO_ANSWER) -> None:
        self.answers = {label: deque(planned) for label, planned in (answers or {}).items()}
        self.default = default
        self.requests: list[HttpRequest] = []
        self.base_urls: list[str] = []
        self.closed = False
        self._gate = asyncio.Event()
        self._gate.set()

    @property
    def labels(self) -> list[str]:
        return [request.label for request in self.requests]

    def plan(self, label: str, *answers: Answer) -> None:
        """The next answers to requests with this label."""
        self.answers[label] = deque(answers)

    def hold(self) -> None:
        """From now on answers wait, until `let_go`; requests are written down at once."""
        self._gate.clear()

    def let_go(self) -> None:
        self._gate.set()

    async def send(self, base_url: str, request: HttpRequest, *, time_limit_ms: int) -> HttpResponse:
        self.requests.append(request)
        self.base_urls.append(base_url)
        await self._gate.wait()
        planned = self.answers.get(request.label)
        answer = self.default if not planned else planned[0] if len(planned) == 1 else planned.popleft()
        return answer(request) if callable(answer) else answer

    async def close(self) -> None:
        self.closed = True
