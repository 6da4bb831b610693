"""Binance USD-M against the paper exchange: everything that befalls an account, in any order, while sockets die and frames come twice."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Final

import msgspec
import pytest

from tests.support.desk import NAME, SHORT_PINGS, Desk
from tests.support.equality import settled_desk
from userstream import RecoverySettings, StreamSettings
from userstream.sim.venue import Call

SYMBOLS: Final = ("BTCUSDT", "ETHUSDT")
SIZES: Final = {"BTCUSDT": "0.020", "ETHUSDT": "0.500"}
OFTEN: Final = RecoverySettings(lag_s=0.15, overlap_s=1.0, audit_s=1.0, history_s=1.5)
TWO_SOCKETS: Final = StreamSettings(own_ping_s=0.2, silence_s=0.6, first_delay_s=0.05, max_delay_s=0.4, redundancy=2)
DEEDS: Final = 60


class Weather:
    """What befalls the account: one deed after the other, drawn by chance. The exchange may refuse; that is part of it."""

    def __init__(self, desk: Desk, seed: int) -> None:
        self._desk, self._chance = desk, random.Random(seed)
        self._deeds: list[Callable[[str], None]] = [
            *[self._trade] * 6,
            *[self._rest] * 3,
            self._fund,
            self._transfer,
            self._close_by_force,
            self._change_leverage,
            self._change_margin_type,
            self._change_mode,
            self._move_price,
            self._change_fee_asset,
            self._settle,
            *[self._disturb] * 3,
        ]

    async def blow(self) -> None:
        for _ in range(DEEDS):
            self._chance.choice(self._deeds)(self._chance.choice(SYMBOLS))
            if self._chance.random() < 0.15:
                await self._chance.choice((self._amend, self._place_conditional))(self._chance.choice(SYMBOLS))
            if self._chance.random() < 0.5:
                await self._desk.application.clock.sleep(self._chance.choice((1, 5, 20, 80)))
        self._desk.act("clear")

    def _try(self, action: str, **fields: object) -> None:
        """As `Desk.act`, and the books may say no."""
        reply = self._desk.server.control.answer(Call(method="POST", path=f"/control/{action}", body=msgspec.json.encode(fields)))
        assert reply.status in (200, 409), reply.body

    def _leg(self) -> str:
        return self._chance.choice(("long", "short")) if self._desk.truth()["settings"]["hedge_mode"] else "both"

    def _order(self, symbol: str, **fields: object) -> None:
        side = self._chance.choice(("buy", "sell"))
        self._try("place", account=NAME, symbol=symbol, side=side, quantity=SIZES[symbol], position_side=self._leg(), **fields)

    def _trade(self, symbol: str) -> None:
        self._order(symbol, order_type="market")

    def _rest(self, symbol: str) -> None:
        """A resting order, or something done to one that rests."""
        waiting = [row for row in self._desk.truth()["orders"] if row["symbol"] == symbol and row["status"] in ("new", "partially_filled")]
        if not waiting or self._chance.random() < 0.4:
            self._order(symbol, price="60000" if symbol == "BTCUSDT" else "2000")
            return
        order = self._chance.choice(waiting)
        part = {"quantity": "0.001"} if self._chance.random() < 0.5 else {}
        action = self._chance.choice(("fill", "fill", "cancel"))
        self._try(action, account=NAME, symbol=symbol, order_id=order["order_id"], **(part if action == "fill" else {}))

    async def _amend(self, symbol: str) -> None:
        """The newest resting order becomes larger or smaller, at another price."""
        waiting = [row for row in self._desk.truth()["orders"] if row["symbol"] == symbol and row["status"] == "new"]
        for order in waiting[-1:]:
            price = Decimal(order["price"]) + self._chance.randint(-5, 5)
            quantity = Decimal(SIZES[symbol]) * self._chance.randint(1, 3)
            names = {"symbol": symbol, "orderId": str(order["order_id"]), "side": order["side"].upper()}
            await self._ask("PUT", "/fapi/v1/order", quantity=str(quantity), price=str(price), **names)

    async def _place_conditional(self, symbol: str) -> None:
        """A stop or a trailing stop near the price; the market triggers it, or nobody does."""
        price = Decimal(self._desk.act("move_price", symbol=symbol, price="81000" if symbol == "BTCUSDT" else "2850")["mark_price"])
        side, away = self._chance.choice((("BUY", "1.005"), ("SELL", "0.995")))
        stop = {"algoType": "CONDITIONAL", "symbol": symbol, "side": side, "quantity": SIZES[symbol], "positionSide": self._leg().upper()}
        level = str((price * Decimal(away)).quantize(Decimal(1)))
        limit = {"type": "STOP", "price": level} if self._chance.random() < 0.5 else {"type": "STOP_MARKET"}
        await self._ask("POST", "/fapi/v1/algoOrder", triggerPrice=level, **stop, **limit)

    async def _ask(self, method: str, path: str, **parameters: str) -> None:
        """As `Desk.call`, and the venue may say no."""
        with contextlib.suppress(AssertionError):
            await self._desk.call(method, path, **parameters)

    def _fund(self, symbol: str) -> None:
        self._try("fund", symbol=symbol, rate=self._chance.choice(("0.0001", "-0.0003")))

    def _transfer(self, symbol: str) -> None:
        self._try("transfer", account=NAME, asset="USDT", amount=self._chance.choice(("100", "-50", "0.00000001")))

    def _close_by_force(self, symbol: str) -> None:
        part = {"quantity": "0.005"} if self._chance.random() < 0.5 else {}
        self._try(self._chance.choice(("liquidate", "adl")), account=NAME, symbol=symbol, position_side=self._leg(), **part)

    def _change_leverage(self, symbol: str) -> None:
        self._try("leverage", account=NAME, symbol=symbol, leverage=self._chance.randint(5, 20))

    def _change_margin_type(self, symbol: str) -> None:
        self._try("margin_type", account=NAME, symbol=symbol, margin_type=self._chance.choice(("cross", "isolated")))

    def _change_mode(self, symbol: str) -> None:
        """Only with nothing open: all is closed first."""
        if self._chance.random() < 0.5:
            for each in SYMBOLS:
                self._try("cancel", account=NAME, symbol=each)
                self._settle(each)
        self._try("hedge_mode", account=NAME, on=not self._desk.truth()["settings"]["hedge_mode"])

    def _move_price(self, symbol: str) -> None:
        price = self._chance.randint(80_000, 82_000) if symbol == "BTCUSDT" else self._chance.randint(2_800, 2_900)
        self._try("move_price", symbol=symbol, price=str(price))

    def _change_fee_asset(self, symbol: str) -> None:
        self._try("fee_asset", account=NAME, asset=self._chance.choice(("", "BNB")))

    def _settle(self, symbol: str) -> None:
        self._try("settle", symbol=symbol)

    def _disturb(self, symbol: str) -> None:
        match self._chance.randrange(4):
            case 0:
                self._try("cut")
            case 1:
                self._try("double", count=3)
            case 2:
                self._try("reorder", count=3)
            case _:
                self._try("drop", count=1)


@pytest.mark.parametrize("stream", [SHORT_PINGS, TWO_SOCKETS], ids=["one socket", "two sockets"])
@pytest.mark.parametrize("seed", range(4))
async def test_everything_at_once(tmp_path: Path, stream: StreamSettings, seed: int) -> None:
    async with settled_desk(tmp_path, stream=stream, recovery=OFTEN) as desk:
        await Weather(desk, seed).blow()
