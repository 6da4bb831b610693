"""`userstream.paper`: an account at a paper exchange of its own, in this process. The account object is the one that `connect` gives."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, TypeGuard

import msgspec

from userstream.entry.api import connect
from userstream.entry.background import Blocking
from userstream.entry.refusals import Premises, explain
from userstream.kernel.errors import PaperExchangeError, SettingsError, nearest
from userstream.kernel.settings import RecoverySettings, StreamSettings, check
from userstream.runtime.live import LiveAccount
from userstream.runtime.sync_account import SyncAccount, wait_there

if TYPE_CHECKING:
    from userstream.sim.server import PaperExchangeServer

Json = dict[str, object]

PAPER_RECOVERY = RecoverySettings(lag_s=0.2, overlap_s=1.0, audit_s=10.0, history_s=60.0, poll_s=5.0)
"""The paper exchange's REST does not lag unless it is told to."""


class PaperExchange:
    """The other side of a paper account: the world that trades with it and does things to it.

    Everything here raises PaperExchangeError when the exchange refuses, with its reason. Amounts are Decimal, text or int.
    """

    def __init__(self, server: PaperExchangeServer, account: str) -> None:
        self._server, self._account = server, account

    @property
    def control_url(self) -> str:
        """The HTTP form of everything here, for other programs."""
        return self._server.listing.control_url

    async def act(self, action: str, **fields: object) -> object:
        """Carries out any action of the control interface (docs/reference/paper-exchange.md, or GET of `control_url`) with its fields, and
        returns its result. An action on one account has to name it: `account="paper"`, or as it was named."""
        from userstream.sim.actions import ACTIONS

        if action not in ACTIONS:
            raise PaperExchangeError(f"there is no action {action!r}; {nearest(str(action), ACTIONS)}")
        return self._ask("POST", action, action, fields).get("result")

    async def place(
        self,
        symbol: str,
        side: str,
        quantity: Decimal | str | int,
        price: Decimal | str | int | None = None,
        *,
        client_order_id: str = "",
        time_in_force: str = "gtc",
    ) -> Json:
        """Places an order for the account: a limit order, or without a price a market order. Returns the order in the books."""
        kind = {"order_type": "market"} if price is None else {"order_type": "limit", "price": str(price), "time_in_force": time_in_force}
        placed = await self._of_account("place", symbol=symbol, side=side, quantity=str(quantity), client_order_id=client_order_id, **kind)
        return placed if isinstance(placed, dict) else {}

    async def cancel(self, symbol: str, client_order_id: str) -> None:
        """Cancels an open order of the account."""
        await self._of_account("cancel", symbol=symbol, client_order_id=client_order_id)

    async def fill(self, symbol: str, client_order_id: str, quantity: Decimal | str | None = None) -> None:
        """Somebody takes the resting order, or so much of it (None: all that is left)."""
        amount = {} if quantity is None else {"quantity": str(quantity)}
        await self._of_account("fill", symbol=symbol, client_order_id=client_order_id, **amount)

    async def move_price(self, symbol: str, price: Decimal | str | int) -> None:
        """The market jumps: crossed orders fill, triggers and margin checks follow."""
        await self.act("move_price", symbol=symbol, price=str(price))

    async def cut(self) -> None:
        """Tears the account's sockets off, without a close frame."""
        await self._of_account("cut")

    def truth(self) -> Json:
        """The exchange's own books of the account: orders, fills, balances, positions, income."""
        return self._ask("GET", "truth", f"truth/{self._account}", {})

    async def _of_account(self, action: str, **fields: object) -> object:
        return await self.act(action, account=self._account, **fields)

    def _ask(self, method: str, action: str, path: str, fields: Json) -> Json:
        from userstream.sim.venue import Call

        reply = self._server.control.answer(Call(method=method, path=f"/control/{path}", body=_encoded(action, fields)))
        answer = msgspec.json.decode(reply.body, type=Json)
        if reply.status != 200:
            error, rule = str(answer.get("error", reply.status)), str(answer.get("rule", ""))
            raise PaperExchangeError(explain(action, fields, error, rule, self._premises()))
        return answer

    def _premises(self) -> Premises:
        from userstream.sim.actions import ACTIONS

        actions = {name: kind.__struct_fields__ for name, kind in ACTIONS.items()}
        return Premises(actions, tuple(self._server.house.hall_of(self._account).room.exchange.instruments), self._account)


class SyncPaperExchange:
    """`PaperExchange` for another thread than the event loop's: each call waits until it is done."""

    def __init__(self, exchange: PaperExchange, loop: asyncio.AbstractEventLoop) -> None:
        self._exchange, self._loop = exchange, loop

    @property
    def control_url(self) -> str:
        """As `PaperExchange.control_url`."""
        return self._exchange.control_url

    def act(self, action: str, **fields: object) -> object:
        """As `PaperExchange.act`."""
        return wait_there(self._loop, lambda: self._exchange.act(action, **fields))

    def place(
        self,
        symbol: str,
        side: str,
        quantity: Decimal | str | int,
        price: Decimal | str | int | None = None,
        *,
        client_order_id: str = "",
        time_in_force: str = "gtc",
    ) -> Json:
        """As `PaperExchange.place`."""
        words = {"client_order_id": client_order_id, "time_in_force": time_in_force}
        return wait_there(self._loop, lambda: self._exchange.place(symbol, side, quantity, price, **words))

    def cancel(self, symbol: str, client_order_id: str) -> None:
        """As `PaperExchange.cancel`."""
        wait_there(self._loop, lambda: self._exchange.cancel(symbol, client_order_id))

    def fill(self, symbol: str, client_order_id: str, quantity: Decimal | str | None = None) -> None:
        """As `PaperExchange.fill`."""
        wait_there(self._loop, lambda: self._exchange.fill(symbol, client_order_id, quantity))

    def move_price(self, symbol: str, price: Decimal | str | int) -> None:
        """As `PaperExchange.move_price`."""
        wait_there(self._loop, lambda: self._exchange.move_price(symbol, price))

    def cut(self) -> None:
        """As `PaperExchange.cut`."""
        wait_there(self._loop, self._exchange.cut)

    def truth(self) -> Json:
        """As `PaperExchange.truth`."""

        async def read() -> Json:
            return self._exchange.truth()

        return wait_there(self._loop, read)


class PaperAccount(LiveAccount):
    """A LiveAccount whose exchange is at hand, as `account.exchange`."""

    exchange: PaperExchange

    def __init__(self, account: LiveAccount, exchange: PaperExchange) -> None:
        super().__init__(*account.parts)
        self.exchange = exchange

    def sync(self) -> SyncPaperAccount:
        """The same account for threads, with its exchange. Call it on the event loop, use it elsewhere."""
        return SyncPaperAccount(self, asyncio.get_running_loop())


class SyncPaperAccount(SyncAccount):
    """A SyncAccount whose exchange is at hand, as `account.exchange`."""

    exchange: SyncPaperExchange

    def __init__(self, account: PaperAccount, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(account, loop)
        self.exchange = SyncPaperExchange(account.exchange, loop)


class paper(Blocking[SyncPaperAccount]):  # noqa: N801 - reads as a verb where it is used: `async with userstream.paper(...)`
    """Runs an account at a paper exchange: `async with userstream.paper("binance-usdm", balances={"USDT": 10_000}) as account:`.

    `account.exchange` is the other side: place and fill orders, move prices, cut sockets, read the books. `rate`: events a second of
    random trading by the account (0: quiet). `store`: a database file, as in `connect`. Raises SettingsError for what cannot be.

    In a program without an event loop: `with userstream.paper(...) as account:`, whose exchange waits as well.
    """

    def __init__(
        self,
        venue: str = "binance-usdm",
        *,
        balances: Mapping[str, Decimal | str | int] | None = None,
        account: str = "paper",
        rate: float = 0.0,
        seed: int = 0,
        store: str | Path | None = None,
        recovery: RecoverySettings = PAPER_RECOVERY,
        stream: StreamSettings | None = None,
    ) -> None:
        _check_world(account, rate, seed)
        self._venue, self._account, self._rate, self._seed = venue, account, rate, seed
        self._balances = _balances_of({"USDT": 10_000} if balances is None else balances)
        self._store, self._recovery, self._stream = store, recovery, stream
        self._server: PaperExchangeServer | None = None
        self._connection: connect | None = None

    async def _enter(self) -> SyncPaperAccount:
        return (await self.__aenter__()).sync()

    async def __aenter__(self) -> PaperAccount:
        self._server = server = self._make_server()
        listing = await server.start()
        places, key = listing.venues[self._venue], listing.accounts[0]
        self._connection = connect(
            self._venue,
            api_key=key.api_key,
            api_secret=key.api_secret,
            passphrase=key.passphrase or None,
            account=self._account,
            store=self._store,
            rest_url=places.rest_url,
            ws_url=places.ws_url,
            ws_api_url=places.ws_api_url,
            recovery=self._recovery,
            stream=self._stream,
        )
        try:
            account = await self._connection.__aenter__()
        except BaseException:
            await server.stop()
            raise
        return PaperAccount(account, PaperExchange(server, self._account))

    def _make_server(self) -> PaperExchangeServer:
        from userstream.sim.server import PaperExchangeServer
        from userstream.sim.settings import AccountSpec, SimulatorSettings

        try:
            spec = AccountSpec(account=self._account, venue=self._venue, balances=self._balances)
            return PaperExchangeServer(SimulatorSettings(venues=(self._venue,), accounts=(spec,), rate=self._rate, seed=self._seed))
        except ValueError as error:
            raise SettingsError(str(error)) from None

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._connection is not None:
            await self._connection.__aexit__(kind, error, trace)
        if self._server is not None:
            await self._server.stop()


def _encoded(action: str, fields: Json) -> bytes:
    for name, value in fields.items():
        try:
            msgspec.json.encode(value)
        except (TypeError, ValueError):
            raise PaperExchangeError(f"{action}: {name} = {value!r} cannot be sent: give text, numbers, True, False or None") from None
    return msgspec.json.encode(fields) if fields else b""


def _check_world(account: object, rate: object, seed: object) -> None:
    """Raises SettingsError."""
    named = isinstance(account, str) and bool(account.strip()) and "/" not in account and account != "*"
    check(named, "account", account, "must be a name: text without a slash, and not *")
    check(_is_number(rate) and math.isfinite(rate) and rate >= 0, "rate", rate, "must be events a second: 0 or above")
    check(isinstance(seed, int) and not isinstance(seed, bool), "seed", seed, "must be a whole number")


def _is_number(value: object) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _balances_of(given: object) -> dict[str, Decimal]:
    rule = "must name the amount of each asset, such as {'USDT': 10_000}"
    check(isinstance(given, Mapping) and all(isinstance(asset, str) and asset for asset in given), "balances", given, rule)
    assert isinstance(given, Mapping)
    return {asset: _money(asset, amount) for asset, amount in given.items()}


def _money(asset: str, amount: object) -> Decimal:
    try:
        exact = Decimal(str(amount))
    except InvalidOperation:
        exact = Decimal("NaN")
    if not exact.is_finite() or exact < 0:
        raise SettingsError(f"balances: {asset} = {amount!r} must be an amount, 0 or above")
    return exact
