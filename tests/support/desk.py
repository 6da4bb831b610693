"""A desk for scenarios: a paper exchange with one account and a fleet that runs it, on real sockets, all compared at the end."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec

from userstream import Event, Filled, Fleet, LiveAccount, OrderChanged, RecoverySettings, StreamSettings
from userstream.entry.bootstrap import Application
from userstream.kernel.ids import Millis
from userstream.kernel.secret import Secret
from userstream.sim.limits import LimitSettings
from userstream.sim.server import PaperExchangeServer
from userstream.sim.settings import AccountSpec, SimulatorSettings
from userstream.sim.venue import Call
from userstream.venues.binance.signing import key_header, make_signer, signed_query
from userstream.wire.request import HttpRequest

EventKind = TypeVar("EventKind", bound=Event)

VENUE: Final = "binance-usdm"
NAME: Final = "desk"
QUICK: Final = RecoverySettings(lag_s=0.15, overlap_s=1.0, audit_s=1.0, history_s=60.0, poll_s=1.0)
SHORT_PINGS: Final = StreamSettings(own_ping_s=0.2, silence_s=0.6, first_delay_s=0.05, max_delay_s=0.4)
LONG_S: Final = 40.0
OTHER_WORDS: Final = {"expired_in_match": "expired", "pending_new": "pending"}
WIDE: Final = LimitSettings(weight_per_minute=1_000_000)
"""Scenarios read the books more often in a minute than an account does in an hour."""


class Refused(AssertionError):
    """The exchange said no; a test that wants that reads `code`."""

    def __init__(self, status: int, body: dict[str, object]) -> None:
        super().__init__(status, body)
        self.code = body.get("code")


class Desk:
    """One account, its exchange, and every event it was told."""

    def __init__(self, server: PaperExchangeServer, fleet: Fleet, account: LiveAccount, venue: str = VENUE) -> None:
        self.server, self.fleet, self.account, self.venue = server, fleet, account, venue
        self.events: list[Event] = []
        account.on(handler=self.events.append)
        self._orders = 0

    @property
    def application(self) -> Application:
        return self.fleet.application

    def act(self, action: str, **fields: object) -> Any:
        """Carries out an action of the control interface; the account is ours unless given or meaningless."""
        reply = self.server.control.answer(Call(method="POST", path=f"/control/{action}", body=msgspec.json.encode(fields)))
        answer = msgspec.json.decode(reply.body)
        assert reply.status == 200, answer
        return answer["result"]

    def place(self, symbol: str = "BTCUSDT", side: str = "buy", quantity: str = "0.010", price: str = "60000") -> str:
        """A resting limit order; returns its client order id."""
        self._orders += 1
        name = f"order-{self._orders}"
        fields = {"symbol": symbol, "side": side, "quantity": quantity, "price": price, "client_order_id": name}
        self.act("place", account=NAME, **fields)
        return name

    def trade(self, symbol: str = "BTCUSDT", side: str = "buy", quantity: str = "0.010") -> None:
        """A market order: filled at once, perhaps in parts."""
        self.act("place", account=NAME, symbol=symbol, side=side, quantity=quantity, order_type="market")

    def fill(self, name: str, symbol: str = "BTCUSDT", quantity: str | None = None) -> None:
        part = {} if quantity is None else {"quantity": quantity}
        self.act("fill", account=NAME, symbol=symbol, client_order_id=name, **part)

    async def call(self, method: str, path: str, **parameters: str) -> Any:
        """A signed call as a trading program makes it (Binance USD-M, 3.4); returns the venue's answer."""
        key = self.server.listing.accounts[0]
        query = signed_query(parameters, make_signer(Secret(key.api_secret)), Millis(self.application.clock.wall()))
        request = HttpRequest(
            method=method,
            target=Secret(f"{path}?{query}"),
            label=f"{method} {path}",
            headers=(key_header(Secret(key.api_key)),),
            may_repeat=False,
        )
        response = await self.application.http.send(self.server.listing.venues[self.venue].rest_url, request, time_limit_ms=5_000)
        if response.status != 200:
            raise Refused(response.status, msgspec.json.decode(response.body, type=dict[str, object]))
        return msgspec.json.decode(response.body)

    def told(self, kind: type[EventKind]) -> list[EventKind]:
        """All events of a kind, in the order of their telling."""
        return [event for event in self.events if isinstance(event, kind)]

    def truth(self) -> Any:
        return self.server.control.truth(NAME)

    def requests(self, path: str) -> int:
        return sum(times for name, times in self.server.control.requests.items() if path in name)

    async def until(self, holds: Callable[[], bool], what: str) -> None:
        """Waits, with the loop running, until something holds."""
        for _ in range(int(LONG_S * 200)):
            if holds():
                return
            await self.application.clock.sleep(5)
        raise AssertionError(f"never came: {what}; {self.account!r}; {self.account.health}; differences {self.differences()}")

    async def until_same(self) -> None:
        """Waits until the account is live and equals the exchange's books; then the store must too."""
        await self.until(lambda: self.account.health.is_healthy and not self.differences(), "equality with the exchange")
        await self.application.clock.sleep(5)  # listeners hear in a turn of their own
        assert self.doubles() == []

    def kinds(self) -> Counter[str]:
        return Counter(str(event.__struct_config__.tag) for event in self.events)

    def doubles(self) -> list[tuple[str, str, str]]:
        """Fills that a listener was told more than once."""
        told = Counter((str(event.symbol), event.trade_id, str(event.order_id)) for event in self.events if isinstance(event, Filled))
        return [key for key, times in told.items() if times > 1]

    def differences(self) -> list[str]:
        """What memory says otherwise than the exchange's books, in words."""
        truth = self.truth()
        return [*self._fills(truth), *self._orders_of(truth), *self._positions(truth), *self._balances(truth)]

    def _fills(self, truth: Any) -> list[str]:
        ours = {(event.symbol, event.trade_id, event.order_id): event for event in self.events if isinstance(event, Filled)}
        theirs = {(row["symbol"], str(row["trade_id"]), str(row["order_id"])): row for row in truth["fills"]}
        wrong = [f"fill {key} missing" for key in theirs.keys() - ours.keys()] + [
            f"fill {key} invented" for key in ours.keys() - theirs.keys()
        ]
        both = ours.keys() & theirs.keys()
        same = {key for key in both if (ours[key].quantity, ours[key].price) == _amounts(theirs[key])}
        return wrong + [f"fill {key} differs" for key in both - same]

    def _orders_of(self, truth: Any) -> list[str]:
        wrong = []
        told = {str(event.order_id): event for event in self.events if isinstance(event, OrderChanged) and not event.conditional}
        for row in truth["orders"]:
            order = told.get(str(row["order_id"]))
            status = OTHER_WORDS.get(row["status"], row["status"])
            if order is None:
                wrong.append(f"order {row['order_id']} unknown")
            elif (order.status.value, order.filled_quantity) != (status, Decimal(row["filled_quantity"])):
                wrong.append(f"order {row['order_id']} is {order.status} {order.filled_quantity}, truth {status} {row['filled_quantity']}")
        return wrong

    def _positions(self, truth: Any) -> list[str]:
        theirs = {(row["symbol"], row["position_side"]): Decimal(row["amount"]) for row in truth["positions"] if Decimal(row["amount"])}
        ours = {(leg.symbol, leg.position_side.value): leg.amount for leg in self.account.positions.open()}
        return [] if ours == theirs else [f"positions {ours}, truth {theirs}"]

    def _balances(self, truth: Any) -> list[str]:
        theirs = {row["asset"]: Decimal(row["wallet"]) for row in truth["balances"] if Decimal(row["wallet"])}
        ours = {balance.asset: balance.total for balance in self.account.balances if balance.total}
        return [] if ours == theirs else [f"balances {ours}, truth {theirs}"]


def _amounts(row: Any) -> tuple[Decimal, Decimal]:
    return Decimal(row["quantity"]), Decimal(row["price"])


@asynccontextmanager
async def open_desk(
    *,
    store: Path | None = None,
    recovery: RecoverySettings = QUICK,
    stream: StreamSettings = SHORT_PINGS,
    server: PaperExchangeServer | None = None,
    balances: dict[str, Decimal] | None = None,
    proven: bool = True,
    venue: str = VENUE,
    **simulator: Any,
) -> AsyncIterator[Desk]:
    """A running desk. `server`: an exchange that lives on after the desk (for restarts)."""
    own = server is None
    if server is None:
        spec = AccountSpec(account=NAME, venue=venue, balances=balances or {"USDT": Decimal(100_000), "BNB": Decimal(10)})
        server = PaperExchangeServer(SimulatorSettings(venues=(venue,), accounts=(spec,), limits=WIDE, **simulator))
        await server.start()
    try:
        async with Fleet(store=store, weight_limit=1_000_000) as fleet:
            place, key = server.listing.venues[venue], server.listing.accounts[0]
            account = await fleet.add(
                NAME,
                venue,
                api_key=key.api_key,
                api_secret=key.api_secret,
                rest_url=place.rest_url,
                ws_url=place.ws_url,
                ws_api_url=place.ws_api_url,
                recovery=recovery,
                stream=stream,
            )
            desk = Desk(server, fleet, account, venue)
            if proven:
                await account.wait_proven(LONG_S)
            yield desk
    finally:
        if own:
            await server.stop()
