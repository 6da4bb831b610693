"""A paper exchange for clients that other people wrote, and its own books to compare them with."""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import Callable
from decimal import Decimal
from typing import Any, Final, NamedTuple

import msgspec
import pytest

from userstream.sim.limits import LimitSettings
from userstream.sim.server import AccountSpec, PaperExchangeServer, SimulatorSettings
from userstream.sim.venue import Call

VENUE: Final = "binance-usdm"
NAME: Final = "guest"
SYMBOL: Final = "BTCUSDT"
INSTALL: Final = "uv pip install --group peers"
LONG_S: Final = 10.0
LOOK_S: Final = 0.002


class Fill(NamedTuple):
    """A fill as both sides must tell it."""

    trade_id: str
    order_id: str
    symbol: str
    side: str
    price: Decimal
    quantity: Decimal
    fee: Decimal
    fee_asset: str
    maker: bool


def require(package: str, module: str) -> Any:
    """The other client's module; skips, and says how to install it, where it is missing. Its own warnings are its own affair."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip(module, reason=f"{package} is not installed; {INSTALL}")


class GuestExchange:
    """The exchange, one account on it, and its books. Owns the server: use it as a context manager."""

    def __init__(self) -> None:
        spec = AccountSpec(account=NAME, balances={"USDT": Decimal(100_000)})
        self.server = PaperExchangeServer(SimulatorSettings(accounts=(spec,), limits=LimitSettings(weight_per_minute=1_000_000)))

    async def __aenter__(self) -> GuestExchange:
        listing = await self.server.start()
        self.place, self.key = listing.venues[VENUE], listing.accounts[0]
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.server.stop()

    def act(self, action: str, **fields: object) -> Any:
        """Carries out an action of the control interface."""
        body = msgspec.json.encode(fields)
        answer = msgspec.json.decode(self.server.control.answer(Call(method="POST", path=f"/control/{action}", body=body)).body)
        assert "result" in answer, answer
        return answer["result"]

    def fill(self, order_id: str, quantity: str | None = None) -> str:
        """A counter-order takes (a part of) a resting order; returns the trade's id."""
        part = {} if quantity is None else {"quantity": quantity}
        return str(self.act("fill", account=NAME, symbol=SYMBOL, order_id=int(order_id), **part)["trade_id"])

    @property
    def truth(self) -> Any:
        return self.server.control.truth(NAME)

    @property
    def fills(self) -> list[Fill]:
        """The books' own fills, by trade id."""
        return sorted(
            Fill(
                trade_id=str(row["trade_id"]),
                order_id=str(row["order_id"]),
                symbol=row["symbol"],
                side=row["side"],
                price=Decimal(row["price"]),
                quantity=Decimal(row["quantity"]),
                fee=Decimal(row["fee"]),
                fee_asset=row["fee_asset"],
                maker=row["maker"],
            )
            for row in self.truth["fills"]
        )

    @property
    def wallet(self) -> Decimal:
        return next(Decimal(row["wallet"]) for row in self.truth["balances"] if row["asset"] == "USDT")

    @property
    def position(self) -> Decimal:
        return sum((Decimal(row["amount"]) for row in self.truth["positions"] if row["symbol"] == SYMBOL), Decimal(0))

    def order(self, order_id: str) -> Any:
        return next(row for row in self.truth["orders"] if str(row["order_id"]) == order_id)

    @property
    def has_listener(self) -> bool:
        """Whether a private socket of the account is open."""
        state: Any = self.server.control.state()
        return bool(state["venues"][VENUE]["sockets"].get(NAME))


async def until(holds: Callable[[], bool], what: str) -> None:
    """Waits, with the loop running, until something holds. Raises AssertionError when it never does."""
    for _ in range(int(LONG_S / LOOK_S)):
        if holds():
            return
        await asyncio.sleep(0.002)
    raise AssertionError(f"never came: {what}")
