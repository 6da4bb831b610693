"""One simulated world in one process: the paper exchange's real server, the network, and lives of our program one after another."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Coroutine, Sequence
from typing import Final

from tests.simulation.claims import check
from tests.simulation.ground import Ground
from tests.simulation.shell.loop import VenueClock, VirtualLoop
from tests.simulation.shell.process import Disk, Process
from tests.simulation.shell.relay import Network
from tests.simulation.watch import Watch
from userstream.entry.bootstrap import AccountSettings, credentials_of
from userstream.kernel.settings import RecoverySettings, StreamSettings
from userstream.ports import Record
from userstream.sim.dialects.registry import VENUES
from userstream.sim.limits import LimitSettings
from userstream.sim.server import PaperExchangeServer
from userstream.sim.settings import AccountSpec, SimulatorSettings

VENUE: Final = "binance-usdm"
SYMBOLS: Final = 2
TICK_MS: Final = 250
WEIGHT_PER_MINUTE: Final = 6_000
QUICK: Final = RecoverySettings(lag_s=1.0, overlap_s=2.0, audit_s=4.0, history_s=9.0, poll_s=2.0)
SHORT: Final = StreamSettings(
    keep_alive_s=20,
    own_ping_s=1,
    silence_s=3,
    rotate_s=25,
    first_delay_s=0.2,
    max_delay_s=2,
    polling_after_failures=3,
    dial_limit_s=2,
    call_limit_s=3,
)


class World:
    """Everything of one run. `process` is None between two lives."""

    def __init__(self, loop: VirtualLoop, seed: int, accounts: Sequence[str]) -> None:
        self.loop, self.seed = loop, seed
        self.network = loop.network = Network(loop, seed)
        self.server = PaperExchangeServer(
            SimulatorSettings(
                accounts=tuple(AccountSpec(account=account, trades=False) for account in accounts),
                seed=seed,
                symbols=tuple(each.symbol for each in VENUES[VENUE].instruments[:SYMBOLS]),
                limits=LimitSettings(weight_per_minute=WEIGHT_PER_MINUTE),
                tick_ms=TICK_MS,
                ping_interval_s=2,
                pong_deadline_s=6,
            ),
            clock=VenueClock(loop),
        )
        self.exchange = Ground(self.server.house, VENUE, lambda: loop.now_ms)
        self.disk = Disk()
        self.trace = hashlib.blake2b(digest_size=8)
        """Of every record that was handed to the journal, when, and from which bytes: the same for the same run."""
        self.disk.watch(self._trace)
        self.watches = {account: Watch(account, self.exchange, spared=False) for account in accounts}
        self.process: Process | None = None
        self._lives = 0
        self._change: asyncio.Task[None] | None = None

    async def open(self) -> None:
        await self.server.start()
        await self.start()

    async def start(self) -> None:
        """A process comes up."""
        self._lives += 1
        process = Process(self.loop, self.network, self.exchange, self.disk, self.watches, f"{self.seed}:life {self._lives}")
        process.application.weight_limit = WEIGHT_PER_MINUTE
        for account in self.watches:
            await process.start(self.settings(account))
        self.process = process

    async def stop(self) -> None:
        process, self.process = self.process, None
        if process is not None:
            await process.stop()

    async def kill(self) -> None:
        process, self.process = self.process, None
        if process is not None:
            await process.kill()

    async def stop_and_cancel(self, turns: int) -> None:
        """Begins to stop, and gives up after so many turns of the loop; the process stays as it is then."""
        process = self.process
        if process is None:
            return
        stopping = self.loop.create_task(process.application.stop())
        for _ in range(turns):
            await asyncio.sleep(0)
        stopping.cancel()
        await asyncio.wait([stopping])

    async def hold_at_rest(self) -> None:
        if self.process is not None:
            await self.process.hold_at_rest()

    def _trace(self, records: Sequence[Record]) -> None:
        for record in records:
            self.trace.update(b"%d %d %d;" % (record.sequence, record.received_time, len(record.events)))
            self.trace.update(record.frame)

    def change(self, work: Callable[[], Coroutine[object, object, None]]) -> bool:
        """Begins something that happens to the process; False while something else does."""
        if self.process is None or (self._change is not None and not self._change.done()):
            return False
        self._change = self.loop.create_task(work())
        return True

    async def settle(self) -> None:
        """Returns when nothing happens to the process any more, and one runs."""
        if self._change is not None:
            await self._change
        if self.process is None:
            await self.start()

    def look(self) -> None:
        if self.process is not None:
            self.process.look()

    async def close(self) -> None:
        """The end of everything. Raises Violation if something of it stays."""
        await self.stop()
        await self.server.stop()
        await asyncio.sleep(0.1)
        self.network.close()
        await asyncio.sleep(0)
        left = [repr(task) for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        check("leak", not left, f"tasks still run: {left}")
        check("loop", not self.loop.complaints, f"the event loop complained: {self.loop.complaints}")

    def settings(self, account: str) -> AccountSettings:
        place, key = self.server.listing.venues[VENUE], self.exchange.listing(account)
        return AccountSettings(
            name=account,
            venue=VENUE,
            credentials=credentials_of(key.api_key, key.api_secret),
            rest_url=place.rest_url,
            ws_url=place.ws_url,
            ws_api_url=place.ws_api_url,
            recovery=QUICK,
            stream=SHORT,
        )
