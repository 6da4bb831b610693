"""A venue of many USD-M accounts, in processes of its own that cost little: a socket for each account, frames made from templates.

Started by `benchmarks.desk`. Prints one line of JSON with its addresses, then obeys lines on stdin: `go RATE SECONDS` writes so many frames
a second in all, the accounts in turn, and is answered with how many were written. The last account stays quiet: it may come and go. What
was made in one millisecond is told at once, and from then on stands in the books (`desk_books.py`): they can be asked at any time. An
order's client id holds the moment its frame was written (monotonic ns), so that whoever sees the order anywhere knows how old it is; in the
books it has another one.
"""

from __future__ import annotations

import asyncio
import json
import logging
import multiprocessing
import re
import sys
import time
from collections.abc import Sequence
from itertools import cycle
from typing import Final

from picows import WSFrame, WSListener, WSMsgType, WSTransport, WSUpgradeRequest, ws_create_server

from benchmarks.desk_books import LIVES, Books, answer_calls, share_times

TICK_S: Final = 0.001
KEY: Final = re.compile(rb"[0-9]{64}")


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


class Traffic:
    """The books of all accounts, each account one step further at each turn. They begin one after the other, so that at any time there is
    something of everything."""

    def __init__(self, books: Sequence[Books]) -> None:
        self.accounts = len(books)
        self._books = books
        self._waits = [number % len(LIVES) for number in range(len(books))]

    def next_frames(self, account: int) -> list[bytes]:
        """Empty as long as the account has not begun."""
        if self._waits[account]:
            self._waits[account] -= 1
            return []
        return self._books[account].next_frames()


async def send(traffic: Traffic, lines: dict[int, WSTransport], rate: int, seconds: int) -> int:
    """Writes frames at a rate (per second, all accounts together) to all but the quiet one; who has no socket is passed over. Returns how
    many."""
    begun, written, passed_over = time.monotonic(), 0, 0
    turn = cycle(range(traffic.accounts - 1))
    while (passed := time.monotonic() - begun) < seconds:
        due = int(passed * rate)
        while written + passed_over < due:
            account = next(turn)
            frames = traffic.next_frames(account) if account in lines else []
            for frame in frames:
                lines[account].underlying_transport.write(frame)
            written += len(frames)
            passed_over += not frames
        await asyncio.sleep(TICK_S)
    return written


def start_books(books: Sequence[Books]) -> int:
    """Another process answers calls, until this one ends. Returns its port."""
    context = multiprocessing.get_context("fork")
    here, there = context.Pipe()
    context.Process(target=answer_calls, args=(books, there), daemon=True).start()
    there.close()  # should it end before it told its port, that is heard here
    return int(here.recv())


async def be_venue(traffic: Traffic, rest_port: int) -> None:
    lines: dict[int, WSTransport] = {}

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
    accounts_books = [Books(number, times) for number, times in enumerate(share_times(int(sys.argv[1])))]
    port = start_books(accounts_books)
    asyncio.run(be_venue(Traffic(accounts_books), port))
