"""The other clients on the same frames: ccxt pro and python-binance, each as it comes, only its addresses set.

`python -m benchmarks.peers NAME RATE COUNT`. What is timed is what each does with a frame of the private feed: ccxt pro until the frame
is in its caches (its state) and its waiting callers are resolved; python-binance until the caller has the raw message. Neither keeps a
journal. `given` is the share of all order reports that a plain `while True: await watch_orders()` was handed.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module, metadata, util
from types import MappingProxyType
from typing import Any, Final, Protocol

from benchmarks.feed import Feeder, quantiles, reached, show

INSTALL: Final = "uv pip install --group peers"
PACKAGES: Final = MappingProxyType({"ccxt": "ccxt", "python-binance": "binance"})
ROOMY_QUEUE: Final = 10_000_000
"""python-binance ends its reader when a hundred messages wait; flat out that is at once."""

REPORTS: Final = 0.6
"""The share of order reports among the frames."""

Note = Callable[[], None]


@dataclass(frozen=True)
class Place:
    """Where a client finds its venue, and as whom."""

    rest_url: str
    ws_url: str
    api_key: str = "bench-key"
    api_secret: str = "bench-secret"


class Peer(Protocol):
    """Another client with its private socket open."""

    reports: int

    async def open(self, place: Place, note: Note) -> None:
        """Opens the private socket; calls `note` whenever it is done with a frame."""

    async def close(self) -> None: ...


class CcxtPro:
    """ccxt pro, watching orders and fills."""

    def __init__(self) -> None:
        self.reports = 0
        self._tasks: list[asyncio.Task[None]] = []
        self._client: Any = None

    async def open(self, place: Place, note: Note) -> None:
        self._client = _counting_ccxt(note)(
            {
                "apiKey": place.api_key,
                "secret": place.api_secret,
                "enableRateLimit": False,
                "options": {
                    "fetchCurrencies": False,
                    "fetchMarkets": {"types": ["linear"]},
                    "watchPositions": {"fetchPositionsSnapshot": False},
                },
            }
        )
        addresses = self._client.urls["api"]
        for name, address in addresses.items():
            if isinstance(address, str):
                addresses[name] = f"{place.rest_url}/fapi/{address.rpartition('/')[2]}"
        addresses["ws"]["linear"] = f"{place.ws_url}/ws"
        await self._client.load_markets()
        self._tasks = [asyncio.create_task(self._watch_orders()), asyncio.create_task(self._watch_trades())]

    async def _watch_orders(self) -> None:
        while True:
            self.reports += len(await self._client.watch_orders())

    async def _watch_trades(self) -> None:
        while True:
            await self._client.watch_my_trades()

    async def close(self) -> None:
        await _cancel(self._tasks)
        await self._client.close()


def _counting_ccxt(note: Note) -> Any:
    client: Any = import_module("ccxt.pro").binanceusdm

    class Counting(client):  # type: ignore[misc]
        """Says when it is done with a frame; all else is the client's own."""

        def handle_message(self, socket: object, message: object) -> None:
            super().handle_message(socket, message)
            note()

    return Counting


class PythonBinance:
    """python-binance, reading its futures user socket."""

    def __init__(self) -> None:
        self.reports = 0
        self._tasks: list[asyncio.Task[None]] = []
        self._client: Any = None

    async def open(self, place: Place, note: Note) -> None:
        binance = import_module("binance")
        self._client = binance.AsyncClient(place.api_key, place.api_secret)
        self._client.FUTURES_URL = f"{place.rest_url}/fapi"
        manager = binance.BinanceSocketManager(self._client, max_queue_size=ROOMY_QUEUE)
        manager.FSTREAM_URL = f"{place.ws_url}/"
        socket = manager.futures_user_socket()
        await socket.connect()
        self._tasks = [asyncio.create_task(self._read(socket, note))]

    async def _read(self, socket: Any, note: Note) -> None:
        while True:
            message = await socket.recv()
            self.reports += message["e"] == "ORDER_TRADE_UPDATE"
            note()

    async def close(self) -> None:
        # its own reader notices the end only after its next message, or as an error that is none here
        logging.getLogger("binance").setLevel(logging.CRITICAL)
        await _cancel(self._tasks)
        await self._client.close_connection()


async def _cancel(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    for task in tasks:
        with suppress(asyncio.CancelledError):
            await task


MAKERS: Final[MappingProxyType[str, Callable[[], Peer]]] = MappingProxyType({"ccxt": CcxtPro, "python-binance": PythonBinance})


def installed() -> dict[str, str]:
    """The other clients that are here, with their versions."""
    return {name: metadata.version(name) for name, module in PACKAGES.items() if util.find_spec(module) is not None}


class Meter:
    """When each frame was done with."""

    def __init__(self, frames: int) -> None:
        self.done = [0] * frames
        self.frames = 0

    def note(self) -> None:
        if self.frames < len(self.done):
            self.done[self.frames] = time.monotonic_ns()
        self.frames += 1


async def run(name: str, frames: int, rate: int, warm: int) -> dict[str, float]:
    """Frames a second of one client; with a rate, microseconds from the feeder's write until a frame was done with."""
    async with Feeder(frames + warm) as feeder:
        peer, meter = MAKERS[name](), Meter(frames + warm)
        await peer.open(Place(feeder.rest_url, feeder.ws_url), meter.note)
        await asyncio.sleep(0.5)
        await feeder.warm_up(warm, lambda: meter.frames)
        already, begun = peer.reports, time.perf_counter()
        await feeder.go(rate, frames)
        whole = await reached(lambda: meter.frames, frames + warm)
        spent = time.perf_counter() - begun
        figures = {"frames_per_s": (meter.frames - warm) / spent, "frames_lost": float(frames + warm - meter.frames)}
        await asyncio.sleep(0.05)
        figures["given"] = (peer.reports - already) / (frames * REPORTS)
        await peer.close()
        return figures | (quantiles("callback", feeder.times, meter.done, warm) if rate and whole else {})


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers", description="Another client on the same frames.")
    parser.add_argument("name", choices=sorted(MAKERS))
    parser.add_argument("rate", type=int, nargs="?", default=0, help="frames a second; 0: flat out")
    parser.add_argument("count", type=int, nargs="?", default=20_000)
    parser.add_argument("--warm", type=int, default=0, help="frames before the clock starts")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    if given.name not in installed():
        parser.error(f"{given.name} is not installed; {INSTALL}")
    show(asyncio.run(run(given.name, given.count, given.rate, given.warm)), as_json=given.json)
