"""Many Spot accounts on one socket: memory of each, events a second over all, and seconds from a cut until all are subscribed again.

`python -m benchmarks.shared_socket [--accounts N] [--events N]`. The venue is a process of its own that costs next to nothing: it answers
the few requests of an opening, empty books, and writes pre-built frames. Our side keeps state and journal of every account.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import logging
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

from aiohttp import web
from picows import WSFrame, WSListener, WSMsgType, WSTransport, WSUpgradeRequest, ws_create_server

from benchmarks.feed import reached, show
from benchmarks.feeder import CHUNK, HIGH_WATER, frame_header
from benchmarks.footprint import resident_mb
from benchmarks.venue import VenueProcess, open_rest

VENUE: Final = "binance-spot"
START_MS: Final = 1_790_000_000_000
WEIGHTS: Final = {"time": 1, "userDataStream.subscribe.signature": 2}
DIAL_WEIGHT: Final = 2
KILOBYTE_PER_MB: Final = 1024
NO_LIMIT: Final = 10_000_000
"""Of request weight, while the accounts come: how long their books take to read is not what is measured."""
VENUE_LIMIT: Final = 6_000
EDGE_S: Final = 5.0
LOOK_S: Final = 0.002

# ---------------------------------------------------------------- the venue's process


class Desk(WSListener):
    """One socket: subscriptions are numbered as they come. `weight` counts what all sockets were asked."""

    newest: Desk | None = None
    dials = weight = 0

    def on_ws_connected(self, transport: WSTransport) -> None:
        Desk.newest, self.transport, self.subscriptions = self, transport, 0
        Desk.dials, Desk.weight = Desk.dials + 1, Desk.weight + DIAL_WEIGHT

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type == WSMsgType.PING:
            transport.send_pong(frame.get_payload_as_bytes())
        elif frame.msg_type == WSMsgType.TEXT:
            request = json.loads(frame.get_payload_as_bytes())
            Desk.weight += WEIGHTS.get(request["method"], 2)
            answer = {"id": request["id"], "status": 200, "result": self._result(request["method"])}
            transport.send(WSMsgType.TEXT, json.dumps(answer).encode())

    def _result(self, method: str) -> dict[str, int]:
        if method == "time":
            return {"serverTime": int(time.time() * 1000)}
        if not method.startswith("userDataStream.subscribe"):
            return {}
        self.subscriptions += 1
        return {"subscriptionId": self.subscriptions - 1}


def build_frames(accounts: int, count: int) -> Iterator[bytes]:
    """Orders that are placed and filled, each with the wallet's change; the accounts take turns."""
    for number in range(count):
        subscription, turn = number % accounts, number // accounts
        order_id, step, moment = turn // 4, turn % 4, START_MS + number
        event = _report(order_id, moment, is_fill=step >= 2) if step % 2 == 0 else _wallet(moment, turn)
        yield json.dumps({"subscriptionId": subscription, "event": event}, separators=(",", ":")).encode()


def _report(order_id: int, moment: int, *, is_fill: bool) -> dict[str, object]:
    report: dict[str, object] = {"e": "executionReport", "E": moment, "s": "BTCUSDT", "c": f"bench-{order_id}", "S": "BUY", "o": "LIMIT"}
    report |= {"f": "GTC", "q": "0.01000000", "p": "81000.00000000", "P": "0.00000000", "F": "0.00000000", "g": -1, "C": ""}
    report |= {"x": "TRADE" if is_fill else "NEW", "X": "FILLED" if is_fill else "NEW", "r": "NONE", "i": 4_000_000 + order_id}
    report |= {"l": "0.01000000" if is_fill else "0.00000000", "z": "0.01000000" if is_fill else "0.00000000", "L": "81000.00000000"}
    report |= {
        "n": "0.00001000" if is_fill else "0",
        "N": "BTC" if is_fill else None,
        "T": moment,
        "t": 7_000_000 + order_id if is_fill else -1,
    }
    report |= {"I": 8_000_000 + moment, "w": not is_fill, "m": is_fill, "M": False, "O": moment - 5, "W": moment - 5, "V": "EXPIRE_MAKER"}
    return report | {"Z": "810.00000000" if is_fill else "0.00000000", "Y": "810.00000000" if is_fill else "0", "Q": "0.00000000"}


def _wallet(moment: int, turn: int) -> dict[str, object]:
    wallets = [{"a": "BTC", "f": f"1.{turn:08}", "l": "0.00000000"}, {"a": "USDT", "f": "9190.00000000", "l": "810.00000000"}]
    return {"e": "outboundAccountPosition", "E": moment, "u": moment, "B": wallets}


async def answer_calls() -> int:
    """An account with one wallet and empty books; returns the port."""
    books: dict[str, object] = {
        "/api/v3/account": {"canTrade": True, "updateTime": START_MS - 1, "balances": [{"asset": "USDT", "free": "1", "locked": "0"}]},
        "/api/v3/exchangeInfo": {"symbols": []},
    }

    async def answer(request: web.Request) -> web.Response:
        if request.path.endswith("/time"):
            return web.json_response({"serverTime": int(time.time() * 1000)})
        return web.json_response(books.get(request.path, []))

    return await open_rest(answer)


async def be_venue(accounts: int, events: int) -> None:
    """Obeys lines on stdin: `count` tells dials and weight, `cut` ends the socket, `go` writes all frames as fast as they are read."""
    framed = [frame_header(len(frame)) + frame for frame in build_frames(accounts, events)]
    rest_port = await answer_calls()

    def listen(_: WSUpgradeRequest) -> Desk:
        return Desk()

    server = await ws_create_server(listen, "127.0.0.1", 0)
    ws_url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/ws-api/v3"
    print(json.dumps({"rest_url": f"http://127.0.0.1:{rest_port}", "ws_api_url": ws_url}), flush=True)
    while line := (await asyncio.to_thread(sys.stdin.readline)).strip():
        assert Desk.newest is not None
        if line == "cut":
            Desk.newest.transport.disconnect(graceful=False)
        elif line == "go":
            await _write(framed, Desk.newest.transport)
        print(json.dumps({"dials": Desk.dials, "weight": Desk.weight}), flush=True)


async def _write(framed: list[bytes], transport: WSTransport) -> None:
    wire = transport.underlying_transport
    for begin in range(0, len(framed), CHUNK):
        await _room_in(wire)
        wire.write(b"".join(framed[begin : begin + CHUNK]))
        if begin % (16 * CHUNK) == 0:
            await asyncio.sleep(0)


async def _room_in(wire: asyncio.Transport) -> None:
    while wire.get_write_buffer_size() > HIGH_WATER:  # noqa: ASYNC110 - nobody tells
        await asyncio.sleep(0.0005)


# ---------------------------------------------------------------- our process


def venue_process(accounts: int, events: int) -> VenueProcess:
    return VenueProcess("benchmarks.shared_socket", "--venue", f"--accounts={accounts}", f"--events={events}")


class Stalls:
    """The longest time for which the event loop gave nobody a turn."""

    longest_s = 0.0

    async def watch(self) -> None:
        while True:
            begun = time.perf_counter()
            await asyncio.sleep(LOOK_S)
            self.longest_s = max(self.longest_s, time.perf_counter() - begun - LOOK_S)


async def run(accounts: int, events: int) -> dict[str, float]:
    """The figures, in the order of one day: accounts come, hear events, and are cut off."""
    import userstream
    from userstream.entry.tuning import tune_interpreter

    tune_interpreter()
    with tempfile.TemporaryDirectory() as folder:
        async with (
            venue_process(accounts, events) as venue,
            userstream.Fleet(store=Path(folder) / "shared.db", weight_limit=NO_LIMIT) as fleet,
        ):
            stalls = Stalls()
            watching = asyncio.create_task(stalls.watch())
            figures = await _measure(fleet, venue, accounts, events, stalls)
            watching.cancel()
            return figures


async def _measure(fleet: Any, venue: VenueProcess, accounts: int, events: int, stalls: Stalls) -> dict[str, float]:
    handled = [0]
    await _add(fleet, venue, range(1), handled)
    one_mb = await _at_rest()
    await _add(fleet, venue, range(1, accounts), handled)
    figures = {"account_kb": (await _at_rest() - one_mb) * KILOBYTE_PER_MB / (accounts - 1)}
    figures |= await _hear(venue, events, handled)
    figures |= await _cut_off(fleet, venue, accounts, stalls)
    [shared] = fleet.application.shared_sockets
    return figures | {"sockets": float(len(shared.wires))}


async def _add(fleet: Any, venue: VenueProcess, numbers: range, handled: list[int]) -> None:
    from userstream import RecoverySettings
    from userstream.entry.bootstrap import AccountSettings, credentials_of

    def count(record: Any) -> None:
        handled[0] += record.frame.startswith(b'{"subscriptionId"')

    recovery = RecoverySettings(lag_s=0.2, overlap_s=1.0, audit_s=86_400, history_s=86_400)
    added = []
    for number in numbers:
        keys = credentials_of(f"key-{number:060}", f"secret-{number:057}")
        settings = AccountSettings(name=f"account-{number}", venue=VENUE, credentials=keys, recovery=recovery, **venue.places)
        added.append(await fleet.application.add(settings, on_record=count))
    for account in added:
        await account.wait_proven(300)


async def _cut_off(fleet: Any, venue: VenueProcess, accounts: int, stalls: Stalls) -> dict[str, float]:
    """From the cut to the last account's acknowledged subscription, within the venue's request budget, and what it took of that."""
    [gate] = fleet.application.gates
    gate.budget.lower(VENUE_LIMIT)
    await _until(lambda: gate.used_weight == 0)
    await asyncio.sleep(EDGE_S)
    feeds = [fleet.application.runner(name).machine.feed for name in fleet.application.accounts]
    before = await venue.obey("count")
    stalls.longest_s, begun = 0.0, time.perf_counter()
    await venue.obey("cut")
    await _until(lambda: sum(feed.opened_count >= 2 for feed in feeds) == accounts)
    took_s, stalled_s = time.perf_counter() - begun, stalls.longest_s
    after = await venue.obey("count")
    figures = {"resubscribed_s": took_s, "longest_stall_ms": stalled_s * 1000}
    return figures | {"dials": after["dials"] - before["dials"], "weight": after["weight"] - before["weight"]}


async def _hear(venue: VenueProcess, events: int, handled: list[int]) -> dict[str, float]:
    begun, before, worked = time.perf_counter(), handled[0], time.thread_time()
    telling = asyncio.create_task(venue.obey("go"))
    if not await reached(lambda: handled[0] - before, events):
        raise SystemExit(f"{events - handled[0] + before:,} of {events:,} events never came")
    took_s = time.perf_counter() - begun
    await telling
    return {"events_per_s": events / took_s, "event_cpu_us": (time.thread_time() - worked) / events * 1e6}


async def _until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(180):
        while not holds():  # noqa: ASYNC110 - a look costs less than a listener in each account
            await asyncio.sleep(0.05)


async def _at_rest() -> float:
    await asyncio.sleep(2)
    gc.collect()
    return resident_mb()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m benchmarks.shared_socket", description="Many Spot accounts on one socket.")
    parser.add_argument("--accounts", type=int, default=1_000)
    parser.add_argument("--events", type=int, default=100_000)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--venue", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    # a full write buffer is what flat out means, and not worth a line each time
    logging.getLogger("picows").setLevel(logging.ERROR)
    if given.venue:
        asyncio.run(be_venue(given.accounts, given.events))
    else:
        show(asyncio.run(run(given.accounts, given.events)), as_json=given.json)
