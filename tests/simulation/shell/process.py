"""A life of our program: the application with its real adapters, a journal that survives it, and a watch that holds what it tells."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from random import Random
from typing import Final

from tests.simulation.claims import Violation, check
from tests.simulation.ground import Ground
from tests.simulation.shell.loop import LoopClock, VirtualLoop
from tests.simulation.shell.relay import Network
from tests.simulation.watch import Watch
from userstream.adapters.http import AiohttpClient
from userstream.adapters.memory import MemoryJournal
from userstream.adapters.ws import PicowsTransport
from userstream.domain.events import Event
from userstream.domain.words import StreamState
from userstream.entry.bootstrap import AccountSettings, Application
from userstream.kernel.ids import AccountId, Millis
from userstream.ports import Clock, HttpClient, Record
from userstream.wire.machine import Machine
from userstream.wire.request import HttpRequest, HttpResponse

STOPPED_WITHIN_MS: Final = 1_600
"""Farewells and handlers may take 1.5 s; the last checkpoint takes no time here."""

BREAK_TOLD_WITHIN_MS: Final = 200
"""How long an account may call itself live after its last socket was told that it broke."""

PARTED_WITHIN_MS: Final = 500
"""After a stop both ends of every connection that works are closed within so long."""

REFUSALS: Final = frozenset({429, 418})
ALL: Final = 1_000_000


class Disk(MemoryJournal):
    """What survives a process. While `is_frozen` nothing is written: the process that writes is dead."""

    is_frozen = False

    def append(self, record: Record) -> None:
        if not self.is_frozen:
            super().append(record)

    async def durable(self, account: str) -> list[Record]:
        await self.flush()
        return await self.read_account(AccountId(account), after=0, limit=ALL)


class NotingClient:
    """The real client; notes for the watch when a call failed. `early`: a call that went out before the venue wanted one again."""

    def __init__(self, inner: HttpClient, ground: Ground, clock: Clock) -> None:
        self._inner, self._ground, self._clock = inner, ground, clock
        self._silent_until = Millis(0)
        self.early = ""

    async def send(self, base_url: str, request: HttpRequest, *, time_limit_ms: int) -> HttpResponse:
        if self._clock.now() < self._silent_until:
            self.early = self.early or f"{request.label} at {self._clock.now()}, no call was wanted until {self._silent_until}"
        response = await self._inner.send(base_url, request, time_limit_ms=time_limit_ms)
        if response.status != 200:
            self._ground.last_trouble = self._clock.now()
        if response.status in REFUSALS and (wait_s := response.headers.get("retry-after", "")).isdecimal():
            self._silent_until = max(self._silent_until, Millis(self._clock.now() + int(wait_s) * 1_000))
        return response

    async def close(self) -> None:
        await self._inner.close()


class Process:
    """From `start` until `stop` or `kill`. `wrong`: the first thing that it did wrong while nobody could be told."""

    def __init__(self, loop: VirtualLoop, network: Network, ground: Ground, disk: Disk, watches: Mapping[str, Watch], seed: str) -> None:
        self._network, self._ground, self._disk, self._watches = network, ground, disk, watches
        self.clock = LoopClock(loop, Random(seed))
        self._transport = PicowsTransport(self.clock)
        self._http = NotingClient(AiohttpClient(), ground, self.clock)
        self.application = Application(self.clock, self._transport, self._http, disk)
        self._told: dict[str, list[int]] = {account: [] for account in watches}
        self._heard: dict[str, list[int]] = {account: [] for account in watches}
        self._durable: dict[str, list[Event]] = {}
        self._machines: dict[str, Machine] = {}
        self._broken_since: Millis | None = None
        self.wrong: Violation | None = None

    async def start(self, settings: AccountSettings) -> None:
        """Runs one more account, from what the journal holds of it."""
        name = settings.name
        self._durable[name] = [event for record in await self._disk.durable(name) for event in record.events]
        self._told[name].clear()
        self._heard[name].clear()
        account = await self.application.add(settings, on_record=self._take)
        self._begin(name)
        self._told[name].clear()
        account.on(handler=self._hear)

    async def stop(self) -> None:
        """An ordered end. Raises Violation if it takes too long or leaves something behind."""
        begun = self.clock.now()
        await self.application.stop()
        for account, watch in self._watches.items():
            watch.stopped(self.clock.now())
            check("listeners", self._heard[account] == self._told[account], f"handlers of {account} were not told all, once, in order")
        await self._close_adapters()
        late_ms = self.clock.now() - begun
        check("stop", late_ms <= STOPPED_WITHIN_MS, f"took {late_ms} ms")
        held = self._network.held_wires()
        check("leak", not held, f"{len(held)} connections are still open")
        await asyncio.sleep(PARTED_WITHIN_MS / 1_000)
        check("leak", self.clock.running == 0, f"tasks still run: {sorted(task.get_name() for task in self.clock._tasks)}")
        self.hold()

    async def kill(self) -> None:
        """The process ends within an instruction: nothing is said, written or closed in order."""
        self._disk.is_frozen = True
        for wire in self._network.open_wires():
            wire.reset()
        self.clock.die()
        await self._close_adapters()
        while self.clock.running:
            await asyncio.sleep(0)
        self._disk.is_frozen = False
        for watch in self._watches.values():
            watch.stopped(self.clock.now())
        self.hold()

    async def _close_adapters(self) -> None:
        await self._http.close()
        await self._transport.close()

    def hold(self) -> None:
        """Raises what was wrong, if anything was."""
        if self.wrong is not None:
            raise self.wrong

    def look(self) -> None:
        check("I7", not self._http.early, self._http.early)
        for account, watch in self._watches.items():
            if account in self.application.accounts:
                watch.look(self._machines[account], self, self.clock.now())
        self._look_at_breaks()
        self.hold()

    def _look_at_breaks(self) -> None:
        now = self.clock.now()
        if any(wire.is_whole for wire in self._network.open_wires(sockets_only=True)):
            self._broken_since = None
        elif self._broken_since is None:
            self._broken_since = now
        elif now - self._broken_since > BREAK_TOLD_WITHIN_MS:
            live = [name for name, machine in self._machines.items() if machine.account.state is StreamState.LIVE]
            check("I6", not live, f"{live} live without a socket since {self._broken_since}")

    async def hold_at_rest(self) -> None:
        """Raises Violation unless all is known, proven and in the journal."""
        self.hold()
        for account, watch in self._watches.items():
            machine = self._machines[account]
            check("alive", machine.error is None, f"{account} failed: {machine.error}")
            durable = [event for record in await self._disk.durable(account) for event in record.events]
            watch.hold_at_rest(machine, durable)
            check("listeners", self._heard[account] == self._told[account], f"handlers of {account} are behind")
        held = len(self._network.held_wires(sockets_only=True))
        lines = sum(len(machine.feed.lines) for machine in self._machines.values())
        check("sockets", held == lines, f"{held} web sockets are open, {lines} are wanted")

    @property
    def can_deliver(self) -> bool:
        return any(wire.can_deliver for wire in self._network.open_wires(sockets_only=True))

    @property
    def last_opened(self) -> Millis:
        return self._network.last_opened

    # --- what it tells ---

    def _begin(self, account: str) -> None:
        durable = self._durable.pop(account, None)
        if durable is not None:
            self._machines[account] = self.application.runner(account).machine
            self._watches[account].restarted(self._machines[account], durable, set_back=True)  # each life has a clock of its own

    def _take(self, record: Record) -> None:
        if self.clock.is_dead:
            return
        self._begin(record.account)
        self._told[record.account] += [event.sequence for event in record.events]
        try:
            self._watches[record.account].told(record.events, self._machines[record.account], self.clock.now())
        except Violation as wrong:  # whoever reads a socket would take it for its own fault
            self.wrong = self.wrong or wrong

    async def _hear(self, event: Event) -> None:
        self._heard[event.account].append(event.sequence)
        if event.sequence % 5 == 0:
            await self.clock.sleep(event.sequence % 40)
