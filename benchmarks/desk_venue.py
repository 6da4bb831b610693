"""A venue of many USD-M accounts, in a process of its own that costs little: a socket for each account, frames made from templates.

Started by `benchmarks.desk`. Prints one line of JSON with its addresses, then obeys lines on stdin: `go RATE SECONDS` writes so many frames
a second in all, the accounts in turn, and is answered with how many were written. The last account stays quiet: it may come and go. What
was made in one millisecond is told at once, and from then on stands in the books: they can be asked at any time. There is no cash history.
An order's client id holds the moment its frame was written (monotonic ns), so that whoever sees the order anywhere knows how old it is; in
the books it has another one.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
import sys
import time
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping
from itertools import cycle
from typing import Any, Final

import msgspec
from aiohttp import web
from picows import WSFrame, WSListener, WSMsgType, WSTransport, WSUpgradeRequest, ws_create_server

from benchmarks.feeder import frame_header
from benchmarks.frames import SYMBOLS, build_frames
from benchmarks.venue import open_rest

LIFE: Final = 160
"""Frames of eight orders that are filled, and of those around them, after which the account is flat as it was."""

ORDERS, TRADES = 40, 24
"""Of one life."""

TICK_S: Final = 0.001
FIRST_ORDER: Final = 3_300_000_000
FIRST_TRADE: Final = 5_200_000
IDS: Final = 10_000_000
"""Of one account: no two accounts of a venue have the same order."""

PAGE: Final = 500
"""Of orders and of fills, where the caller does not say how many."""

OPEN: Final = frozenset({"NEW", "PARTIALLY_FILLED"})
NO_ORDER: Final = {"code": -2013, "msg": "Order does not exist."}
WALLET: Final = {"asset": "USDT", "balance": "100000", "crossWalletBalance": "100000", "availableBalance": "100000", "updateTime": 1}
KEY: Final = re.compile(rb"[0-9]{64}")
MADE_AT: Final = re.compile(rb'"T":([0-9]{13})')
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


def instants() -> list[list[bytes]]:
    """The frames of one life, those of one millisecond together."""
    found: list[list[bytes]] = []
    made_at = b""
    for frame in build_frames(LIFE):
        told = MADE_AT.search(frame)
        assert told is not None, frame
        if told[1] != made_at:
            found.append([])
        made_at = told[1]
        found[-1].append(frame)
    return found


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


class Instant:
    """What one millisecond of a life tells: as templates, and as the books have it."""

    def __init__(self, frames: list[bytes]) -> None:
        self.templates = [_template(frame.decode()) for frame in frames]
        messages = [json.loads(frame) for frame in frames]
        self.orders = {_order_place(message["o"]["i"]): message["o"] for message in messages if message["e"] == "ORDER_TRADE_UPDATE"}
        self.account = next((message["a"] for message in messages if message["e"] == "ACCOUNT_UPDATE"), None)


LIVES: Final = tuple(Instant(frames) for frames in instants())


class Books:
    """One account's books: what it was told, in turns, and when (ms). Each turn is one instant of a life."""

    def __init__(self, account: int) -> None:
        self.times = array("q")
        self._first_order, self._first_trade = FIRST_ORDER + account * IDS, FIRST_TRADE + account * IDS

    def next_frames(self) -> list[bytes]:
        """Tells the next instant: its frames, as they are written."""
        life, step = divmod(len(self.times), len(LIVES))
        now = max(int(time.time() * 1000), self.times[-1] + 1 if self.times else 0)
        self.times.append(now)
        orders = range(self._first_order + life * ORDERS, self._first_order + (life + 1) * ORDERS)
        trades = range(self._first_trade + life * TRADES, self._first_trade + (life + 1) * TRADES)
        told = [form.format(stamp=time.monotonic_ns(), order=orders, trade=trades, time=now) for form in LIVES[step].templates]
        return [frame_header(len(frame)) + frame.encode() for frame in told]

    def answer(self, path: str, asked: Mapping[str, str]) -> object:
        """What the venue answers; None for an order that it does not know."""
        match path.rsplit("/", 1)[1]:
            case "balance":
                return [self.wallet()]
            case "positionRisk":
                return self.legs()
            case "openOrders":
                return [order for order in self.orders(self._life_begun()) if order["status"] in OPEN]
            case "allOrders":
                return self.past_orders(asked)
            case "order":
                return self.order(int(asked["orderId"]))
            case "userTrades":
                return self.trades(asked)
            case _:
                return []

    def _life_begun(self) -> int:
        """The turn at which this life began."""
        return max(len(self.times) - 1, 0) // len(LIVES) * len(LIVES)

    def _turns(self, asked: Mapping[str, str]) -> range:
        """Those of the interval that is asked for."""
        since, until = int(asked.get("startTime", 0)), int(asked.get("endTime", 2**62))
        return range(bisect_left(self.times, since), bisect_right(self.times, until))

    def wallet(self) -> dict[str, object]:
        for turn in reversed(range(len(self.times))):
            if (account := LIVES[turn % len(LIVES)].account) is not None:
                total = account["B"][0]["wb"]
                return WALLET | {"balance": total, "crossWalletBalance": total, "availableBalance": total, "updateTime": self.times[turn]}
        return WALLET

    def legs(self) -> list[dict[str, object]]:
        """Those that are not flat; at the end of a life all are."""
        legs: dict[str, dict[str, object]] = {}
        for turn in range(self._life_begun(), len(self.times)):
            account = LIVES[turn % len(LIVES)].account
            for leg in () if account is None else account["P"]:
                legs[leg["s"]] = {"symbol": leg["s"], "positionSide": leg["ps"], "positionAmt": leg["pa"], "entryPrice": leg["ep"]}
                legs[leg["s"]] |= {"marginType": leg["mt"], "isolatedWallet": leg["iw"], "updateTime": self.times[turn]}
        return [leg for leg in legs.values() if float(str(leg["positionAmt"]))]

    def orders(self, since_turn: int, until_turn: int | None = None) -> list[dict[str, Any]]:
        """The orders made in these turns, as they are now."""
        known: dict[int, dict[str, Any]] = {}
        end = len(self.times) if until_turn is None else until_turn
        for turn in range(since_turn, min(end + len(LIVES), len(self.times))):
            life, step = divmod(turn, len(LIVES))
            for place, told in LIVES[step].orders.items():
                order_id = self._first_order + life * ORDERS + place
                if told["x"] == "NEW" and turn < end:
                    known[order_id] = _order_row(order_id, told, self.times[turn])
                elif order_id in known:
                    known[order_id] |= _order_news(told, self.times[turn])
        return list(known.values())

    def order(self, order_id: int) -> dict[str, Any] | None:
        begun = (order_id - self._first_order) // ORDERS * len(LIVES)
        found = (order for order in self.orders(max(begun, 0), begun + len(LIVES)) if order["orderId"] == order_id)
        return next(found, None)

    def past_orders(self, asked: Mapping[str, str]) -> list[dict[str, Any]]:
        turns = self._turns(asked)
        symbols = (asked["symbol"],) if "symbol" in asked else SYMBOLS
        least = int(asked.get("orderId", 0))
        found = [order for order in self.orders(turns.start, turns.stop) if order["symbol"] in symbols and order["orderId"] >= least]
        return sorted(found, key=lambda order: order["time" if len(symbols) > 1 else "orderId"])[: int(asked.get("limit", PAGE))]

    def trades(self, asked: Mapping[str, str]) -> list[dict[str, object]]:
        """Of one symbol, by time or from an id on; of one order, if one is named."""
        limit, least, only = int(asked.get("limit", PAGE)), int(asked.get("fromId", 0)), int(asked.get("orderId", 0))
        begun = max(0, (least - self._first_trade) // TRADES * len(LIVES))
        turns = range(begun, len(self.times)) if least else self._turns(asked)
        found: list[dict[str, object]] = []
        for row in self._trades_at(turns, asked["symbol"]):
            if row["id"] >= least and only in (0, row["orderId"]):
                found.append(row)
            if len(found) == limit:
                break
        return found

    def _trades_at(self, turns: range, symbol: str) -> Iterator[dict[str, Any]]:
        for turn in turns:
            life, step = divmod(turn, len(LIVES))
            for place, told in LIVES[step].orders.items():
                if told["x"] == "TRADE" and told["s"] == symbol:
                    trade_id = self._first_trade + life * TRADES + told["t"] - FIRST_TRADE - 1
                    yield _trade_row(told, trade_id, self._first_order + life * ORDERS + place, self.times[turn])


def _order_row(order_id: int, told: Mapping[str, Any], made: int) -> dict[str, Any]:
    row = {"symbol": told["s"], "orderId": order_id, "clientOrderId": f"books-{order_id}", "price": told["p"], "origQty": told["q"]}
    row |= {"timeInForce": told["f"], "type": told["o"], "origType": told["ot"], "side": told["S"], "positionSide": told["ps"]}
    row |= {"reduceOnly": False, "closePosition": False, "workingType": told["wt"], "selfTradePreventionMode": told["V"]}
    return row | {"time": made} | _order_news(told, made)


def _order_news(told: Mapping[str, Any], now: int) -> dict[str, Any]:
    return {"status": told["X"], "executedQty": told["z"], "avgPrice": told["ap"], "updateTime": now}


def _trade_row(told: Mapping[str, Any], trade_id: int, order_id: int, made: int) -> dict[str, Any]:
    row = {"symbol": told["s"], "id": trade_id, "orderId": order_id, "side": told["S"], "positionSide": told["ps"], "price": told["L"]}
    row |= {"qty": told["l"], "realizedPnl": told["rp"], "commission": told["n"], "commissionAsset": told["N"]}
    return row | {"maker": told["m"], "time": made}


class Traffic:
    """The books of all accounts, each account one step further at each turn. They begin one after the other, so that at any time there is
    something of everything."""

    def __init__(self, accounts: int) -> None:
        self.accounts = accounts
        self.books = [Books(number) for number in range(accounts)]
        self._waits = [number % len(LIVES) for number in range(accounts)]

    def next_frames(self, account: int) -> list[bytes]:
        """Empty as long as the account has not begun."""
        if self._waits[account]:
            self._waits[account] -= 1
            return []
        return self.books[account].next_frames()


def answer_of(traffic: Traffic, account: int, path: str, asked: Mapping[str, str]) -> object:
    """What the venue answers; None for an order that it does not know."""
    match path.rsplit("/", 1)[1]:
        case "time":
            return {"serverTime": int(time.time() * 1000)}
        case "accountConfig":
            return {"canTrade": True, "dualSidePosition": False, "multiAssetsMargin": False}
        case "exchangeInfo":
            return {"symbols": []}
        case "listenKey":
            return {"listenKey": f"{account:064}"}
        case _:
            return traffic.books[account].answer(path, asked)


async def answer_calls(traffic: Traffic) -> int:
    async def answer(request: web.Request) -> web.Response:
        account = int(request.headers.get("X-MBX-APIKEY", "-0").rsplit("-", 1)[1])
        told = answer_of(traffic, account, request.path, request.query)
        return web.Response(body=msgspec.json.encode(NO_ORDER if told is None else told), status=400 if told is None else 200)

    return await open_rest(answer)


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


async def be_venue(accounts: int) -> None:
    lines: dict[int, WSTransport] = {}
    traffic = Traffic(accounts)
    rest_port = await answer_calls(traffic)

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
