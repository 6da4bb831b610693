"""The commands as processes of their own: a paper exchange, and a client with its configuration file. Tests pull their strings."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from types import TracebackType
from typing import Final, TypeAlias

import aiohttp
import msgspec

from tests.processes.history import Books
from userstream.adapters.clock import SystemClock
from userstream.sim.settings import Listing

Json: TypeAlias = dict[str, object]
ROOT: Final = Path(__file__).parents[2]
SOURCES: Final = os.pathsep.join([str(ROOT), str(ROOT / "src")])
"""The children run what stands here, whatever the environment has installed."""

VENUE: Final = "binance-usdm"
ACCOUNT: Final = "paper-1"
KEY: Final = "canary-key-of-the-paper-account-0001"
SECRET: Final = "canary-secret-of-the-paper-account-0002"
LOOK_MS: Final = 10
LIVING: Final = ("new", "partially_filled")
LONG_S: Final = 90.0
"""Longer than a minute: a client whose request budget is used up waits for the next one."""
START_S: Final = 30.0

QUICK_RECOVERY: Final = {"lag_s": 0.2, "overlap_s": 1.0, "audit_s": 3.0, "history_s": 30.0, "poll_s": 1.0, "backfill_s": 600.0}
QUICK_STREAM: Final = {
    "own_ping_s": 0.5,
    "silence_s": 1.5,
    "first_delay_s": 0.05,
    "max_delay_s": 1.0,
    "dial_limit_s": 3.0,
    "call_limit_s": 5.0,
}

clock: Final = SystemClock()


async def until(holds: Callable[[], bool], what: Callable[[], str], limit_s: float = LONG_S) -> None:
    """Waits, with the loop running, until something holds."""
    limit = clock.now() + limit_s * 1000
    while not holds():
        if clock.now() > limit:
            raise AssertionError(f"never came within {limit_s:g} s: {what()}")
        await clock.sleep(LOOK_MS)


async def start_process(*words: str, environment: Mapping[str, str] = {}, cwd: Path | None = None) -> asyncio.subprocess.Process:
    """Starts a Python program whose output can be read."""
    pipe = asyncio.subprocess.PIPE
    return await asyncio.create_subprocess_exec(
        sys.executable, *words, stdin=pipe, stdout=pipe, stderr=pipe, env={**os.environ, "PYTHONPATH": SOURCES, **environment}, cwd=cwd
    )


class _VenueState(msgspec.Struct, frozen=True):
    answered_429: int
    answered_418: int


class _State(msgspec.Struct, frozen=True):
    venues: dict[str, _VenueState]


class Exchange:
    """A paper exchange in a process of its own. `wide`: with a request budget that a test cannot use up; such an exchange is no command."""

    def __init__(self, *, seed: int = 1, rate: float = 0.0, wide: bool = False) -> None:
        self._module = "tests.processes.child_exchange" if wide else "userstream"
        self._words = () if wide else ("simulate", "--venue", VENUE)
        self._rest = ("--seed", str(seed), "--rate", str(rate), "--api-key", KEY, "--api-secret", SECRET)
        self.listing: Listing
        self._process: asyncio.subprocess.Process
        self._web: aiohttp.ClientSession

    async def __aenter__(self) -> Exchange:
        self._process = await start_process("-m", self._module, *self._words, *self._rest)
        assert self._process.stdout is not None
        line = await asyncio.wait_for(self._process.stdout.readline(), START_S)
        assert line, await self._last_words()
        self.listing = msgspec.json.decode(line, type=Listing)
        self._web = aiohttp.ClientSession()
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self._web.close()
        self._process.send_signal(signal.SIGCONT)
        self._process.terminate()
        await self._process.communicate()

    @property
    def port(self) -> int:
        return int(self.listing.control_url.split(":")[2].split("/")[0])

    async def act(self, action: str, **fields: object) -> None:
        """Carries out an action of the control interface."""
        async with self._web.post(f"{self.listing.control_url}/{action}", data=msgspec.json.encode(fields)) as answer:
            assert answer.status == 200, await answer.text()

    async def trade(self, events_per_s: float) -> None:
        """Lets the account trade from now on."""
        await self.act("rate", events_per_s=str(events_per_s))

    async def fall_silent(self, account: str) -> None:
        """Nothing happens to the account any more: it trades no longer, and no order is left that the moving prices could fill."""
        await self.act("pause_trading")
        while living := [order for order in (await self.books(account)).orders if order.status in LIVING]:
            for order in living:
                # it may have been filled meanwhile
                with contextlib.suppress(AssertionError):
                    await self.act("cancel", account=account, symbol=order.symbol, order_id=order.order_id)

    async def truth(self, account: str = ACCOUNT) -> bytes:
        """The exchange's own books, as it tells them."""
        async with self._web.get(f"{self.listing.control_url}/truth/{account}") as answer:
            assert answer.status == 200
            return await answer.read()

    async def books(self, account: str = ACCOUNT) -> Books:
        return msgspec.json.decode(await self.truth(account), type=Books)

    async def refusals(self) -> int:
        """How often it had to answer that it was asked too much."""
        async with self._web.get(f"{self.listing.control_url}/state") as answer:
            state = msgspec.json.decode(await answer.read(), type=_State)
        return sum(venue.answered_429 + venue.answered_418 for venue in state.venues.values())

    def freeze(self) -> None:
        """The venue stands still: nothing is closed, nothing is answered."""
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._process.send_signal(signal.SIGCONT)

    async def _last_words(self) -> str:
        _, words = await self._process.communicate()
        return words.decode()


class Client:
    """`userstream run` in a process of its own. `lines` is what it logged so far, `faults` what it wrote that is no log line."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.started = clock.now()
        self.lines: list[Json] = []
        self.faults: list[str] = []
        self.live_after_ms: int | None = None
        self._reading = clock.spawn(self._read(), "log of the client")

    async def _read(self) -> None:
        assert self.process.stderr is not None
        async for line in self.process.stderr:
            try:
                told = msgspec.json.decode(line, type=Json)
            except msgspec.DecodeError:
                self.faults.append(line.decode().rstrip())
                continue
            self.lines.append(told)
            if told.get("state") == "live" and self.live_after_ms is None:
                self.live_after_ms = clock.now() - self.started

    def said(self, **fields: object) -> int:
        """How many log lines have these fields."""
        return sum(all(line.get(name) == value for name, value in fields.items()) for line in self.lines)

    @property
    def state(self) -> str:
        """The account's last state, empty before the first."""
        return next((str(line["state"]) for line in reversed(self.lines) if "state" in line), "")

    async def until_live(self, times: int = 1) -> None:
        """Waits until the account was proven so many times."""
        await self.until(lambda: self.said(state="live") >= times, f"live for the {times}. time")

    async def until(self, holds: Callable[[], bool], what: str) -> None:
        def words() -> str:
            return f"{what}; exit {self.process.returncode}; {self.lines[-5:]}; {self.faults[-5:]}"

        await until(lambda: holds() or self.process.returncode is not None, words)
        assert holds(), words()

    def send(self, number: signal.Signals) -> None:
        """A signal, if it still runs. Not through the process object, which would take the exit code away from who waits for it."""
        if self.process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.process.pid, number)

    async def kill(self) -> None:
        """SIGKILL: no farewell, no flush."""
        if self.process.returncode is None:
            self.send(signal.SIGKILL)
        assert await self.wait() == -signal.SIGKILL

    async def stop(self) -> int:
        """SIGTERM, and the exit code that follows."""
        self.send(signal.SIGTERM)
        return await self.wait()

    async def wait(self) -> int:
        code = await asyncio.wait_for(self.process.wait(), LONG_S)
        await asyncio.wait([self._reading])
        # A kill may cut a log line short, and no line may ever hold a secret or a traceback.
        whole = " ".join([*map(str, self.lines), *self.faults])
        assert KEY not in whole
        assert SECRET not in whole
        assert "Traceback" not in whole, whole
        return code

    async def end(self) -> None:
        """Leaves nothing running, however the test went."""
        self.send(signal.SIGKILL)
        await self.process.wait()
        await asyncio.wait([self._reading])


class Place:
    """A folder with a configuration, and the programs that run from it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store = folder / "desk.db"
        self.configuration = folder / "userstream.toml"
        self._clients: list[Client] = []

    def configure(self, rest_url: str, ws_url: str, *, recovery: Mapping[str, float] = {}, stream: Mapping[str, float | bool] = {}) -> None:
        """Writes the configuration file: quick settings, unless others are given."""
        account = {
            "name": ACCOUNT,
            "venue": VENUE,
            "api_key_env": "KEY",
            "api_secret_env": "SECRET",
            "rest_url": rest_url,
            "ws_url": ws_url,
        }
        sections: dict[str, Mapping[str, str | float]] = {
            "store": {"path": str(self.store)},
            "log": {"format": "json"},
            "recovery": {**QUICK_RECOVERY, **recovery},
            "stream": {**QUICK_STREAM, **stream},
            "[account]": account,
        }
        text = "".join(
            f"[{name}]\n" + "".join(f"{key} = {_toml(value)}\n" for key, value in rows.items()) for name, rows in sections.items()
        )
        self.configuration.write_text(text)

    def configure_for(self, exchange: Exchange) -> None:
        """Straight to the exchange."""
        place = exchange.listing.venues[VENUE]
        self.configure(place.rest_url, place.ws_url)

    async def start(self, *words: str) -> Client:
        """Starts `userstream run`; it is up to the test to wait for it."""
        environment = {"KEY": KEY, "SECRET": SECRET}
        process = await start_process("-m", "userstream", "run", "--config", str(self.configuration), *words, environment=environment)
        client = Client(process)
        self._clients.append(client)
        return client

    async def end(self) -> None:
        for client in self._clients:
            await client.end()


@asynccontextmanager
async def open_place(folder: Path) -> AsyncIterator[Place]:
    """Whatever was started from here is gone at the end of the block."""
    place = Place(folder)
    try:
        yield place
    finally:
        await place.end()


def _toml(value: str | float) -> str:
    return msgspec.json.encode(value).decode()
