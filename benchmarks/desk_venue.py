"""A venue of many USD-M accounts, in a process of its own that costs little: a socket for each account, frames made from templates.

Started by `benchmarks.desk`. Prints one line of JSON with its addresses, then obeys lines on stdin: `go RATE SECONDS` writes so many frames
a second in all, the accounts in turn, and is answered with how many were written. The last account stays quiet: it may come and go. The
books are empty but for one wallet: what the stream tells is not asked again while it is measured. An order's client id holds the moment
its frame was written (monotonic ns), so that whoever sees the order anywhere knows how old it is.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
import sys
import time
from itertools import cycle
from typing import Final

from aiohttp import web
from picows import WSFrame, WSListener, WSMsgType, WSTransport, WSUpgradeRequest, ws_create_server

from benchmarks.feeder import frame_header
from benchmarks.frames import build_frames
from benchmarks.venue import open_rest

LIFE: Final = 160
"""Frames of eight orders that are filled, and of those around them, after which the account is as it was: flat."""

ORDERS, TRADES = 40, 24
"""Of one life."""

TICK_S: Final = 0.001
FIRST_ORDER: Final = 3_300_000_000
FIRST_TRADE: Final = 5_200_000
KEY: Final = re.compile(rb"[0-9]{64}")
STAMP: Final = re.compile(r'"c":"bench-\d+"')


class Line(WSListener):
    """One account's socket."""

    def __init__(self, account: int, lines: dict[int, WSTransport]) -> None:
        self._account, self._lines = account, lines

    def on_ws_connected(self, transport: WSTransport) -> None:
        self._lines[self._account] = transport

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type == WSMsgType.PING:
            transport.send_pong(frame.get_payload_as_bytes())

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        if self._lines.get(self._account) is transport:
            del self._lines[self._account]


def templates() -> list[str]:
    """The frames of one life with places for what makes each new."""
    return [_template(frame.decode()) for frame in build_frames(LIFE)]


def _template(frame: str) -> str:
    """Ids and times become places that `str.format` fills."""
    frame = STAMP.sub('"c":"bench-@stamp"', frame).replace("{", "{{").replace("}", "}}").replace("@stamp", "{stamp}")
    frame = re.sub(r'"i":(\d+)', lambda found: f'"i":{{order[{_order_place(int(found[1]))}]}}', frame)
    frame = re.sub(r'"t":(\d{4,})', lambda found: f'"t":{{trade[{int(found[1]) - FIRST_TRADE - 1}]}}', frame)
    return re.sub(r'"([TE])":\d+', r'"\1":{time}', frame)


def _order_place(order_id: int) -> int:
    """Which of a life's orders it is: the eight that are filled first, then those that are cancelled."""
    kind, number = divmod(order_id - FIRST_ORDER - 1, 10_000_000)
    return number + 8 * max(0, kind - 4)


class Traffic:
    """The frames of all accounts, each account one step further at each turn. They begin one after the other, so that at any time there is
    something of everything."""

    def __init__(self, accounts: int) -> None:
        self.accounts = accounts
        self._templates = templates()
        self._turns = [-(number % LIFE) for number in range(accounts)]

    def next_frame(self, account: int) -> bytes:
        """Empty as long as the account has not begun."""
        turn = self._turns[account]
        self._turns[account] = turn + 1
        if turn < 0:
            return b""
        life, step = divmod(turn, LIFE)
        orders = range(FIRST_ORDER + life * ORDERS, FIRST_ORDER + (life + 1) * ORDERS)
        trades = range(FIRST_TRADE + life * TRADES, FIRST_TRADE + (life + 1) * TRADES)
        told = self._templates[step].format(stamp=time.monotonic_ns(), order=orders, trade=trades, time=int(time.time() * 1000))
        return frame_header(len(told)) + told.encode()


def books(path: str) -> object:
    """An account with one wallet and nothing else."""
    match path.rsplit("/", 1)[1]:
        case "time":
            return {"serverTime": int(time.time() * 1000)}
        case "balance":
            wallet = {"asset": "USDT", "balance": "100000", "crossWalletBalance": "100000", "availableBalance": "100000"}
            return [wallet | {"updateTime": 1}]
        case "accountConfig":
            return {"canTrade": True, "dualSidePosition": False, "multiAssetsMargin": False}
        case "exchangeInfo":
            return {"symbols": []}
        case _:
            return []


async def answer_calls() -> int:
    async def answer(request: web.Request) -> web.Response:
        if request.path.endswith("/listenKey"):
            number = int(request.headers["X-MBX-APIKEY"].rsplit("-", 1)[1])
            return web.json_response({"listenKey": f"{number:064}"})
        return web.json_response(books(request.path))

    return await open_rest(answer)


async def send(traffic: Traffic, lines: dict[int, WSTransport], rate: int, seconds: int) -> int:
    """Writes frames at a rate (per second, all accounts together) to all but the quiet one; who has no socket is passed over. Returns how
    many."""
    begun, due_sent, written = time.monotonic(), 0, 0
    turn = cycle(range(traffic.accounts - 1))
    while (passed := time.monotonic() - begun) < seconds:
        due = int(passed * rate)
        for _ in range(due - due_sent):
            account = next(turn)
            if (line := lines.get(account)) is not None and (frame := traffic.next_frame(account)):
                line.underlying_transport.write(frame)
                written += 1
        due_sent = due
        await asyncio.sleep(TICK_S)
    return written


async def be_venue(accounts: int) -> None:
    lines: dict[int, WSTransport] = {}
    traffic = Traffic(accounts)
    rest_port = await answer_calls()

    def listen(request: WSUpgradeRequest) -> Line:
        key = KEY.search(request.path)
        assert key is not None, request.path
        return Line(int(key[0]), lines)

    server = await ws_create_server(listen, "127.0.0.1", 0)
    ws_port = server.sockets[0].getsockname()[1]
    print(json.dumps({"rest_url": f"http://127.0.0.1:{rest_port}", "ws_url": f"ws://127.0.0.1:{ws_port}"}), flush=True)
    while words := (await asyncio.to_thread(sys.stdin.readline)).split():
        written = await send(traffic, lines, int(words[1]), int(words[2]))
        print(json.dumps({"written": written}), flush=True)


if __name__ == "__main__":
    logging.getLogger("picows").setLevel(logging.ERROR)
    asyncio.run(be_venue(int(sys.argv[1])))
