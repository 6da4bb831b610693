"""The books of a desk's venue: what its accounts were told by now, and what it answers who asks. There is no cash history.

They are asked in a process of their own: a page of orders takes milliseconds to make, and the frames of all accounts would wait for it, to
come all at once. Both processes know an account's books by when it was told what (`Times`), which they share.
"""

from __future__ import annotations

import asyncio
import json
import re
import time
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping, Sequence
from mmap import mmap
from multiprocessing import parent_process
from multiprocessing.connection import Connection
from typing import Any, Final

import msgspec
from aiohttp import web

from benchmarks.feeder import frame_header
from benchmarks.frames import SYMBOLS, build_frames
from benchmarks.venue import open_rest

LIFE: Final = 160
"""Frames of eight orders that are filled, and of those around them, after which the account is flat as it was."""

ORDERS, TRADES = 40, 24
"""Of one life."""

MOST_TURNS: Final = 2**26
"""Of all accounts: some hours at five thousand frames a second."""

FIRST_ORDER: Final = 3_300_000_000
FIRST_TRADE: Final = 5_200_000
IDS: Final = 10_000_000
"""Of one account: no two accounts of a venue have the same order."""

PAGE: Final = 500
"""Of orders and of fills, where the caller does not say how many."""

OPEN: Final = frozenset({"NEW", "PARTIALLY_FILLED"})
NO_ORDER: Final = {"code": -2013, "msg": "Order does not exist."}
WALLET: Final = {"asset": "USDT", "balance": "100000", "crossWalletBalance": "100000", "availableBalance": "100000", "updateTime": 1}
MADE_AT: Final = re.compile(rb'"T":([0-9]{13})')
STAMP: Final = re.compile(r'"c":"bench-\d+"')


class Times(Sequence[int]):
    """When an account was told its turns (ms). One process appends, others see it."""

    def __init__(self, place: memoryview) -> None:
        """`place`: integers of eight bytes, zeros at first: how many there are, then they themselves."""
        self._place = place

    def append(self, told: int) -> None:
        count = len(self)
        self._place[count + 1] = told
        self._place[0] = count + 1

    def __len__(self) -> int:
        return self._place[0]

    def __getitem__(self, turn: int) -> int:  # type: ignore[override]  # nobody asks for slices
        return self._place[turn + 1 if turn >= 0 else len(self) + turn + 1]


def share_times(accounts: int) -> list[Times]:
    """For this process and those that are forked from it. Memory is taken as it is used."""
    size = MOST_TURNS // accounts
    whole = memoryview(mmap(-1, 8 * size * accounts)).cast("q")
    return [Times(whole[size * number : size * (number + 1)]) for number in range(accounts)]


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
    """One account's books: what it was told, in turns, and when. Each turn is one instant of a life."""

    def __init__(self, account: int, times: Times) -> None:
        self.times = times
        self._first_order, self._first_trade = FIRST_ORDER + account * IDS, FIRST_TRADE + account * IDS

    def next_frames(self) -> list[bytes]:
        """Tells the next instant: its frames, as they are written."""
        life, step = divmod(len(self.times), len(LIVES))
        now = max(int(time.time() * 1000), self.times[-1] + 1 if self.times else 0)
        orders = range(self._first_order + life * ORDERS, self._first_order + (life + 1) * ORDERS)
        trades = range(self._first_trade + life * TRADES, self._first_trade + (life + 1) * TRADES)
        told = [form.format(stamp=time.monotonic_ns(), order=orders, trade=trades, time=now) for form in LIVES[step].templates]
        self.times.append(now)  # not before there are frames: others may ask at any time
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


def answer_of(books: Sequence[Books], account: int, path: str, asked: Mapping[str, str]) -> object:
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
            return books[account].answer(path, asked)


def answer_calls(books: Sequence[Books], port: Connection) -> None:
    """Be the process that answers: tells its port, then answers as long as the one that started it lives."""

    async def answer(request: web.Request) -> web.Response:
        account = int(request.headers.get("X-MBX-APIKEY", "-0").rsplit("-", 1)[1])
        told = answer_of(books, account, request.path, request.query)
        return web.Response(body=msgspec.json.encode(NO_ORDER if told is None else told), status=400 if told is None else 200)

    async def serve() -> None:
        port.send(await open_rest(answer))
        parent = parent_process()
        assert parent is not None
        await asyncio.to_thread(parent.join)

    asyncio.run(serve())
