"""The venue in a simulation: the paper exchange's own house and dialect, with links in virtual time where a server has sockets."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, TypeAlias

import msgspec

from tests.simulation.network import Link, Network
from tests.simulation.scheduler import Scheduler
from userstream.kernel.ids import Millis
from userstream.sim.actions import Action
from userstream.sim.books import Fill, Happening, OrderHappened, Refused
from userstream.sim.books import Millis as BooksMillis
from userstream.sim.dialects.registry import VENUES
from userstream.sim.house import Hall, House
from userstream.sim.lanes import Lane
from userstream.sim.limits import LimitSettings
from userstream.sim.performing import perform
from userstream.sim.settings import AccountListing, AccountSpec, SimulatorSettings
from userstream.sim.venue import Call
from userstream.wire.request import HttpRequest, HttpResponse

TICK_MS: Final = 500
SYMBOLS: Final = 2
WEIGHT_PER_MINUTE: Final = 6_000
REST_URL: Final = "http://venue.example"
WS_URL: Final = "ws://venue.example"
NO_ANSWER: Final = HttpResponse(status=0, body=b"no answer came")


Truth: TypeAlias = dict[tuple[str, str, str], tuple[object, ...]]


class TrueFill(msgspec.Struct, frozen=True, kw_only=True):
    """An execution in the exchange's books and the moment (scheduler) at which it happened."""

    fill: Fill
    happened: Millis

    @property
    def name(self) -> tuple[str, str, str]:
        return (self.fill.symbol, str(self.fill.trade_id), str(self.fill.order_id))


class Exchange:
    """One venue with accounts. Clients dial and call; faults are the paper exchange's own actions."""

    def __init__(self, scheduler: Scheduler, network: Network, venue: str, accounts: Sequence[str], *, seed: int) -> None:
        self._scheduler, self._network = scheduler, network
        self._links: dict[Lane, Link] = {}
        self.last_trouble = Millis(0)
        """When a call last failed: bounds of time hold from there on."""
        self.truth: dict[str, list[TrueFill]] = {account: [] for account in accounts}
        settings = SimulatorSettings(
            venues=(venue,),
            accounts=tuple(AccountSpec(account=account, venue=venue, trades=False) for account in accounts),
            seed=seed,
            symbols=tuple(each.symbol for each in VENUES[venue].instruments[:SYMBOLS]),
            limits=LimitSettings(weight_per_minute=WEIGHT_PER_MINUTE),
        )
        self.house = House(settings, self, self)
        self.hall: Hall = self.house.halls[venue]
        self.locations = self.hall.dialect.locations(REST_URL, WS_URL)
        self.house.on_news = self._note
        scheduler.every(TICK_MS, self._tick)

    # --- the house's clock and doors ---

    def now(self) -> BooksMillis:
        return BooksMillis(self._scheduler.wall)

    def wake(self, lane: Lane) -> None:
        link = self._links.get(lane)
        if link is not None:
            self._flush(lane, link)

    def abort(self, lane: Lane) -> None:
        self._end(lane, "connection reset")

    def close(self, lane: Lane, code: int, reason: str) -> None:
        self._end(lane, f"closed by the venue: {code} {reason}")

    # --- what happens to it ---

    def listing(self, account: str) -> AccountListing:
        return next(each for each in self.house.listings if each.account == account)

    def perform(self, action: Action) -> bool:
        """Does an action of the control interface; False if the books refuse it."""
        try:
            perform(action, self.house, self.now())
        except Refused:
            return False
        finally:
            self.house.publish(self.hall, self.now())
        return True

    def trade(self, account: str) -> None:
        self.hall.room.exchange.trade_randomly(account, self.now())
        self.house.publish(self.hall, self.now())

    def _note(self, happenings: Sequence[Happening]) -> None:
        for happening in happenings:
            if isinstance(happening, OrderHappened) and happening.fill is not None:
                self.truth[happening.account].append(TrueFill(fill=happening.fill, happened=self._scheduler.now))

    def _tick(self) -> None:
        now = self.now()
        self.house.tick(now)
        for lane in list(self._links):
            if lane.close_at is not None and lane.close_at <= now:
                self.close(lane, 1001, "going away")

    # --- what is true ---

    @property
    def symbols(self) -> list[str]:
        return list(self.hall.room.exchange.instruments)

    @property
    def scheduler_now(self) -> Millis:
        return self._scheduler.now

    def open_orders(self, account: str) -> Truth:
        books = self.hall.room.exchange
        plain: Truth = {
            (order.symbol, str(order.order_id), ""): (order.quantity, order.filled_quantity) for order in books.open_orders(account)
        }
        return plain | {
            (algo.symbol, str(algo.algo_id), "algo"): (algo.quantity, algo.filled_quantity)
            for algo in books.algo_orders(account, open_only=True)
        }

    def positions(self, account: str) -> Truth:
        legs = self.hall.room.exchange.positions(account)
        return {(leg.symbol, str(leg.position_side), ""): (leg.amount, leg.entry_price) for leg in legs if leg.amount}

    def balances(self, account: str) -> Truth:
        return {(each.asset, "", ""): (each.wallet,) for each in self.hall.room.exchange.balances(account) if each.wallet}

    # --- sockets ---

    def dial(self, url: str) -> Lane | None:
        """A socket is opened; None where the venue refuses."""
        path, _, query = url.removeprefix(WS_URL).partition("?")
        session = self.hall.dialect.open_socket(path, query, "127.0.0.1", self.now())
        return None if session is None else self.hall.hub.open(session, self.now())

    def connect(self, lane: Lane, link: Link) -> None:
        """From now on the socket's frames travel over this link."""
        self._links[lane] = link
        self._flush(lane, link)

    def receive(self, lane: Lane, text: str) -> None:
        """A text frame of the client arrives."""
        if lane in self._links:
            self.house.take_text(self.hall, lane, text)
            self.wake(lane)

    def hang_up(self, lane: Lane) -> None:
        """The client's end is gone."""
        self._links.pop(lane, None)
        self.hall.hub.close(lane)

    def _flush(self, lane: Lane, link: Link) -> None:
        for parcel in lane.take_due(self.now()):
            link.send(parcel)
        due = lane.next_due(self.now())
        if due is not None:
            self._scheduler.after(max(1, due - self.now()), lambda: self.wake(lane))

    def _end(self, lane: Lane, reason: str) -> None:
        link = self._links.get(lane)
        if link is not None:
            self.hang_up(lane)
            link.break_off(reason)

    # --- REST ---

    def answer(self, request: HttpRequest) -> HttpResponse:
        """What the venue answers now. Status 0 when it cuts the connection instead."""
        path, _, query = request.target.reveal().partition("?")
        call = Call(
            method=request.method,
            path=path,
            query=query,
            body=b"" if request.body is None else request.body.reveal().encode(),
            headers={name.lower(): value.reveal() for name, value in request.headers},
        )
        prepared = self.house.faults.answer_for(call.method, path)
        if prepared is not None:
            self.last_trouble = self._scheduler.now
        if prepared is None or prepared.apply:
            reply = self.hall.dialect.answer(call, self.now())
            self.house.publish(self.hall, self.now())
            if prepared is None:
                return HttpResponse(
                    status=reply.status, body=reply.body, headers={name.lower(): text for name, text in reply.headers.items()}
                )
        if prepared.abort:
            return NO_ANSWER
        headers = {name.lower(): text for name, text in prepared.headers.items()}
        return HttpResponse(status=prepared.status, body=prepared.body.encode(), headers=headers)
