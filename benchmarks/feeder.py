"""A venue in a process of its own that costs next to nothing: hands out a listen key, then writes pre-built frames into the socket.

Started by the benchmarks as `python -m benchmarks.feeder FRAMES SEED`; prints one JSON line with its addresses, then obeys lines on
stdin: `go RATE COUNT` sends the next COUNT frames (RATE 0: as fast as the socket takes them) and prints `{"sent": N}`, N of all so far. The
first `go` warms a client up, the next one is measured. Send times (monotonic ns) go into a shared file, eight bytes a frame, so that the
receiver can tell how long each was on its way.
"""

from __future__ import annotations

import asyncio
import json
import logging
import mmap
import os
import struct
import sys
import tempfile
import time
from pathlib import Path

from aiohttp import web
from picows import WSFrame, WSListener, WSMsgType, WSTransport, WSUpgradeRequest, ws_create_server

from benchmarks.frames import SYMBOLS, build_frames
from benchmarks.venue import open_rest

CHUNK = 64
HIGH_WATER = 1 << 20


def frame_header(size: int) -> bytes:
    """A server's header of an unmasked, whole text frame."""
    return bytes((0x81, size)) if size < 126 else struct.pack("!BBH", 0x81, 126, size)


class Ear(WSListener):
    """Accepts any socket and remembers the newest."""

    newest: WSTransport | None = None

    def on_ws_connected(self, transport: WSTransport) -> None:
        Ear.newest = transport

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type == WSMsgType.PING:
            transport.send_pong(frame.get_payload_as_bytes())


async def send(frames: list[bytes], rate: int, times: memoryview, start: int) -> None:
    """Writes frames at a rate (per second), or as fast as they are read."""
    assert Ear.newest is not None
    wire = Ear.newest.underlying_transport
    begun, sent = time.monotonic_ns(), 0
    while sent < len(frames):
        due = len(frames) if rate == 0 else min(len(frames), (time.monotonic_ns() - begun) * rate // 1_000_000_000 + 1)
        batch = frames[sent : min(due, sent + CHUNK)]
        if not batch or wire.get_write_buffer_size() > HIGH_WATER:
            await asyncio.sleep(0.0005)
            continue
        now = time.monotonic_ns()
        for number in range(len(batch)):
            times[start + sent + number] = now
        wire.write(b"".join(batch))
        sent += len(batch)
        if rate == 0:
            await asyncio.sleep(0)


async def serve(count: int, seed: int) -> None:
    framed = [frame_header(len(frame)) + frame for frame in build_frames(count, seed)]
    handle, name = tempfile.mkstemp(prefix="feeder-")
    os.close(handle)
    path = Path(name)
    with path.open("r+b") as file:  # noqa: ASYNC230 - before anything is served
        file.truncate(8 * count)
        times = memoryview(mmap.mmap(file.fileno(), 8 * count)).cast("q")
        await _serve(framed, times, path)


def rules() -> dict[str, object]:
    """What a client that loads the markets first must find: one perpetual contract for each symbol of the frames."""
    filters = [{"filterType": "PRICE_FILTER", "tickSize": "0.1"}, {"filterType": "LOT_SIZE", "stepSize": "0.001"}]
    shared = {"contractType": "PERPETUAL", "status": "TRADING", "quoteAsset": "USDT", "marginAsset": "USDT", "filters": filters}
    precision = {"pricePrecision": 2, "quantityPrecision": 3}
    symbols = [{"symbol": name, "pair": name, "baseAsset": name.removesuffix("USDT"), **shared, **precision} for name in SYMBOLS]
    return {"timezone": "UTC", "serverTime": 0, "rateLimits": [], "assets": [], "symbols": symbols}


async def answer_calls() -> int:
    """The few answers a client asks for before it opens its socket; returns the port."""
    listed = rules()

    async def answer(request: web.Request) -> web.Response:
        if request.path.endswith("/listenKey"):
            return web.json_response({"listenKey": "k" * 64})
        return web.json_response(listed if request.path.endswith("/exchangeInfo") else [])

    return await open_rest(answer)


async def _serve(framed: list[bytes], times: memoryview, path: Path) -> None:
    rest_port = await answer_calls()

    def listen(_: WSUpgradeRequest) -> Ear:
        return Ear()

    server = await ws_create_server(listen, "127.0.0.1", 0)
    ws_port = server.sockets[0].getsockname()[1]
    print(json.dumps({"rest_url": f"http://127.0.0.1:{rest_port}", "ws_url": f"ws://127.0.0.1:{ws_port}", "times": str(path)}), flush=True)
    sent = 0
    while line := (await asyncio.to_thread(sys.stdin.readline)).split():
        rate, count = int(line[1]), int(line[2])
        await send(framed[sent : sent + count], rate, times, sent)
        sent += count
        print(json.dumps({"sent": sent}), flush=True)


if __name__ == "__main__":
    # a full write buffer is what flat out means, and not worth a line each time
    logging.getLogger("picows").setLevel(logging.ERROR)
    asyncio.run(serve(int(sys.argv[1]), int(sys.argv[2])))
