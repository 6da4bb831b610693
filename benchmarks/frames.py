"""Pre-built Binance USD-M frames for measuring: orders that are placed, filled in parts and finished, with their account updates.

The mix is 60 % ORDER_TRADE_UPDATE, 15 % TRADE_LITE, 25 % ACCOUNT_UPDATE. Each life of an order is consistent: every fill of a TRADE_LITE
comes again in its ORDER_TRADE_UPDATE, quantities add up, positions follow the fills.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from decimal import Decimal

START_MS = 1_790_000_000_000
SYMBOLS = ("BTCUSDT", "ETHUSDT", "SOLUSDT", "BNBUSDT")


def build_frames(count: int, seed: int = 0) -> list[bytes]:
    """At least `count` frames, cut to it. `seed` moves ids, so that two feeds share none."""
    frames: list[bytes] = []
    lives = _lives(seed)
    while len(frames) < count:
        frames += next(lives)
    return frames[:count]


def _lives(seed: int) -> Iterator[list[bytes]]:
    """One order a turn: NEW, three fills, then four orders that are cancelled and two payments."""
    order_id = 3_300_000_000 + seed * 100_000_000
    trade_id = 5_200_000 + seed * 100_000_000
    positions = dict.fromkeys(SYMBOLS, Decimal(0))
    wallet = Decimal(100_000)
    time = START_MS
    while True:
        order_id += 1
        symbol = SYMBOLS[order_id % len(SYMBOLS)]
        side = "BUY" if order_id // len(SYMBOLS) % 2 else "SELL"
        time += 1
        order = _Order(symbol, side, order_id)
        life = [order.frame(time, "NEW", "NEW", Decimal(0), 0)]
        for number in range(3):
            trade_id += 1
            time += 1
            order.fill(Decimal("0.010"))
            positions[symbol] += Decimal("0.010") if side == "BUY" else Decimal("-0.010")
            wallet -= Decimal("0.16199900")
            life.append(order.lite(time, trade_id))
            status = "FILLED" if number == 2 else "PARTIALLY_FILLED"
            life.append(order.frame(time, "TRADE", status, Decimal("0.010"), trade_id))
            life.append(_account(time, symbol, positions[symbol], wallet))
        life += _cancelled_lives(order_id, symbol, time)
        for _ in range(2):
            time += 1
            wallet -= Decimal("0.00100000")
            life.append(_account(time, symbol, positions[symbol], wallet))
        yield life


def _cancelled_lives(order_id: int, symbol: str, time: int) -> list[bytes]:
    frames = []
    for number in range(4):
        order = _Order(symbol, "SELL", order_id + 50_000_000 + number * 10_000_000)
        frames.append(order.frame(time, "NEW", "NEW", Decimal(0), 0))
        frames.append(order.frame(time + 1, "CANCELED", "CANCELED", Decimal(0), 0))
    return frames


class _Order:
    def __init__(self, symbol: str, side: str, order_id: int) -> None:
        self.symbol, self.side, self.order_id = symbol, side, order_id
        self.filled = Decimal(0)
        self.client_id = f"bench-{order_id}"

    def fill(self, quantity: Decimal) -> None:
        self.filled += quantity

    def lite(self, time: int, trade_id: int) -> bytes:
        return _encode(
            {"e": "TRADE_LITE", "E": time + 2, "T": time, "s": self.symbol, "q": "0.030", "p": "81000.0", "m": True, "c": self.client_id}
            | {"S": self.side, "L": "80999.5", "l": "0.010", "t": trade_id, "i": self.order_id}
        )

    def frame(self, time: int, execution: str, status: str, last: Decimal, trade_id: int) -> bytes:
        order: dict[str, object] = {
            "s": self.symbol,
            "c": self.client_id,
            "S": self.side,
            "o": "LIMIT",
            "f": "GTC",
            "q": "0.030",
            "p": "81000.0",
        }
        order |= {"ap": "80999.5" if self.filled else "0", "sp": "0", "x": execution, "X": status, "i": self.order_id, "l": str(last)}
        order |= {"z": str(self.filled), "L": "80999.5" if trade_id else "0", "n": "0.16199900" if trade_id else "0", "N": "USDT"}
        order |= {"T": time, "t": trade_id, "b": "2430.00", "a": "0", "m": bool(trade_id), "R": False, "wt": "CONTRACT_PRICE"}
        order |= {"ot": "LIMIT", "ps": "BOTH", "cp": False, "rp": "0", "pP": False, "si": 0, "ss": 0, "V": "EXPIRE_MAKER", "pm": "NONE"}
        return _encode({"e": "ORDER_TRADE_UPDATE", "T": time, "E": time + 3, "o": order | {"gtd": 0, "er": "0"}})


def _account(time: int, symbol: str, amount: Decimal, wallet: Decimal) -> bytes:
    balance = {"a": "USDT", "wb": str(wallet), "cw": str(wallet), "bc": "0"}
    position = {"s": symbol, "pa": str(amount), "ep": "80999.5", "bep": "81015.7", "cr": "-12.50310000", "up": "-0.11200000"}
    position |= {"mt": "cross", "iw": "0", "ps": "BOTH"}
    return _encode({"e": "ACCOUNT_UPDATE", "T": time, "E": time + 3, "a": {"m": "ORDER", "B": [balance], "P": [position]}})


def _encode(message: dict[str, object]) -> bytes:
    return json.dumps(message, separators=(",", ":")).encode()
