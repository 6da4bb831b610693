"""An event loop in virtual time, and the clocks of both programs that read it.

Time stands still while anything can be done: while a call-back is ready or a file descriptor readable. Then it jumps to the next timer.
All sockets are local ones of this very process, into which the kernel puts bytes before the sender goes on, so that no real time comes in.
"""

from __future__ import annotations

import asyncio
import selectors
import socket
from collections.abc import Callable, Mapping
from random import Random
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from userstream.adapters.clock import SystemClock
from userstream.kernel.ids import Millis
from userstream.sim.books import Millis as BooksMillis

if TYPE_CHECKING:
    from tests.simulation.shell.relay import Network

START_S: Final = 1_000.0
"""The steady clock at the beginning."""

EPOCH_MS: Final = 1_795_000_000_000
"""The wall clock, counted from the steady one."""

Ready: TypeAlias = list[tuple[selectors.SelectorKey, int]]
Context: TypeAlias = Mapping[str, object]


class Deadlock(RuntimeError):
    """Nothing can ever happen any more."""


class JumpingSelector(selectors.DefaultSelector):
    """Never waits: where another one would, it says for how long. What is ready comes in the order of registration, not of numbers that
    the kernel gave."""

    def __init__(self, jump: Callable[[float], None]) -> None:
        super().__init__()
        self._jump = jump
        self._places: dict[int, int] = {}
        self._registrations = 0
        self.turns = 0
        self.interruption: tuple[int, Callable[[], object]] | None = None

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        key = super().register(fileobj, events, data)
        self._registrations += 1
        self._places[key.fd] = self._registrations
        return key

    def select(self, timeout: float | None = None) -> Ready:
        self.turns += 1
        ready = super().select(0)
        if self.interruption is not None and self.interruption[0] <= self.turns:
            (_, interrupt), self.interruption = self.interruption, None
            interrupt()
            return self._in_order(ready)
        if not ready and timeout is None:
            raise Deadlock("nothing is ready, and no timer is set")
        if not ready and timeout:
            self._jump(timeout)
        return self._in_order(ready)

    def _in_order(self, ready: Ready) -> Ready:
        return sorted(ready, key=lambda each: self._places[each[0].fd])


class NumberedTask(asyncio.Task[Any]):
    """A task whose hash is its number: sets of tasks are walked in the same order in every run."""

    _last = 0

    def __init__(self, *arguments: Any, **named: Any) -> None:
        NumberedTask._last += 1
        self._hash = NumberedTask._last
        super().__init__(*arguments, **named)

    def __hash__(self) -> int:
        return self._hash


def _make_task(loop: asyncio.AbstractEventLoop, work: Any, **named: Any) -> NumberedTask:
    return NumberedTask(work, loop=loop, **named)


class VirtualLoop(asyncio.SelectorEventLoop):
    """`network` carries what is dialed and served here. `complaints`: what the loop's exception handler heard."""

    network: Network

    def __init__(self) -> None:
        self._virtual_s = START_S
        self._jumping = JumpingSelector(self._jump)
        super().__init__(self._jumping)
        self.complaints: list[str] = []
        NumberedTask._last = 0
        self.set_task_factory(_make_task)
        self.set_exception_handler(self._note)

    def time(self) -> float:
        return self._virtual_s

    @property
    def now_ms(self) -> Millis:
        # a thousandth of a millisecond is rounding, not time
        return Millis(int(self._virtual_s * 1_000 + 0.001))

    @property
    def turns(self) -> int:
        """How often the loop went round."""
        return self._jumping.turns

    def interrupt_after(self, turns: int, interrupt: Callable[[], object]) -> None:
        """Calls once, between two turns: after so many from now."""
        self._jumping.interruption = (self._jumping.turns + turns, interrupt)

    def _jump(self, seconds: float) -> None:
        self._virtual_s += seconds

    def _note(self, loop: asyncio.AbstractEventLoop, context: Context) -> None:
        self.complaints.append(f"{context.get('message')}: {context.get('exception')!r}")

    # --- the ways out of this process ---

    async def getaddrinfo(self, host: Any, port: Any, *, family: int = 0, type: int = 0, proto: int = 0, flags: int = 0) -> Any:
        """Numeric addresses only: a name would be asked of the outside."""
        return socket.getaddrinfo(host, port, family, type, proto, flags | socket.AI_NUMERICHOST)

    async def sock_connect(self, sock: socket.socket, address: Any) -> None:
        await self.network.connect(sock, address)

    async def create_server(self, protocol_factory: Any, host: Any = None, port: Any = None, **_: Any) -> Any:
        return self.network.listen(protocol_factory, host, port)


class LoopClock(SystemClock):
    """The clock of a program of ours. After `die` it calls nobody back and every task it started is cancelled: its process is gone."""

    def __init__(self, loop: VirtualLoop, chance: Random) -> None:
        super().__init__()
        self._loop, self._chance = loop, chance
        self.is_dead = False
        self.wall_error_ms = 0

    def now(self) -> Millis:
        return self._loop.now_ms

    def wall(self) -> Millis:
        return Millis(self._loop.now_ms + EPOCH_MS + self.wall_error_ms)

    def call_at(self, when: Millis, callback: Callable[[], None]) -> Any:
        return super().call_at(when, lambda: None if self.is_dead else callback())

    def chance(self) -> float:
        return self._chance.random()

    def die(self) -> None:
        self.is_dead = True
        for task in sorted(self._tasks, key=hash):
            task.cancel()


class VenueClock:
    """The paper exchange's clock."""

    def __init__(self, loop: VirtualLoop) -> None:
        self._loop = loop

    def now(self) -> BooksMillis:
        return BooksMillis(self._loop.now_ms + EPOCH_MS)
