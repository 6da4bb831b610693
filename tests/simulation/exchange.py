"""The venue in a simulation: the paper exchange's own house and dialect, with links in virtual time where a server has sockets."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Final

from tests.simulation.ground import Ground, pair_of, user_of
from tests.simulation.network import Link, Network
from tests.simulation.scheduler import EPOCH_MS, Scheduler
from userstream.sim.books import Millis as BooksMillis
from userstream.sim.dialects.registry import VENUES
from userstream.sim.house import House
from userstream.sim.lanes import Lane
from userstream.sim.limits import LimitSettings
from userstream.sim.settings import AccountSpec, SimulatorSettings
from userstream.sim.spot.exchange import spot_of
from userstream.sim.venue import Call
from userstream.wire.request import HttpRequest, HttpResponse

TICK_MS: Final = 500
SYMBOLS: Final = 2
ISOLATED_MONEY: Final = Decimal(5_000)
WEIGHT_PER_MINUTE: Final = 6_000
REST_URL: Final = "http://venue.example"
WS_URL: Final = "ws://venue.example"
NO_ANSWER: Final = HttpResponse(status=0, body=b"no answer came")


class Exchange(Ground):
    """One venue with accounts. Clients dial and call; faults are the paper exchange's own actions, and what `on_dial` does to a socket."""

    def __init__(self, scheduler: Scheduler, network: Network, venue: str, accounts: Sequence[str], *, seed: int) -> None:
        self._scheduler, self._network = scheduler, network
        self._links: dict[Lane, Link] = {}
        self.on_dial: Callable[[Lane, str], None] | None = None
        settings = SimulatorSettings(
            venues=(venue,),
            accounts=tuple(AccountSpec(account=account, venue=venue, trades=False) for account in accounts if not pair_of(account)),
            seed=seed,
            symbols=tuple(each.symbol for each in VENUES[venue].instruments[:SYMBOLS]),
            limits=LimitSettings(weight_per_minute=WEIGHT_PER_MINUTE),
        )
        besides = [account for account in accounts if pair_of(account)]
        super().__init__(House(settings, self, self), venue, lambda: scheduler.now, besides)
        for account in besides:
            self._open_isolated(account)
        self.locations = self.hall.dialect.locations(REST_URL, WS_URL)
        scheduler.every(TICK_MS, self._tick)

    def _open_isolated(self, account: str) -> None:
        """An account of one pair, with some money of the user's cross account."""
        books, user, pair = spot_of(self.hall.room.exchange), user_of(account), pair_of(account)
        quote = books.instruments[pair].quote
        books.move_between(user, books.margin_account(user, pair), quote, ISOLATED_MONEY, self.now())
        self.house.publish(self.hall, self.now())

    # --- the house's clock and doors ---

    def now(self) -> BooksMillis:
        return BooksMillis(self._scheduler.now + EPOCH_MS)

    def wake(self, lane: Lane) -> None:
        link = self._links.get(lane)
        if link is not None:
            self._flush(lane, link)

    def abort(self, lane: Lane) -> None:
        self._end(lane, "connection reset")

    def close(self, lane: Lane, code: int, reason: str) -> None:
        self._end(lane, f"closed by the venue: {code} {reason}")

    # --- what happens to it ---

    def _tick(self) -> None:
        now = self.now()
        self.house.tick(now)
        for lane in list(self._links):
            if lane.close_at is not None and lane.close_at <= now:
                self.close(lane, 1001, "going away")

    # --- sockets ---

    def dial(self, url: str) -> Lane | None:
        """A socket is opened; None where the venue refuses."""
        path, _, query = url.removeprefix(WS_URL).partition("?")
        session = self.hall.dialect.open_socket(path, query, "127.0.0.1", self.now())
        if session is None:
            return None
        lane = self.hall.hub.open(session, self.now())
        if self.on_dial is not None:
            self.on_dial(lane, url)
        return lane

    def connect(self, lane: Lane, link: Link) -> None:
        """From now on the socket's frames travel over this link."""
        self._links[lane] = link
        self._flush(lane, link)

    def receive(self, lane: Lane, text: str) -> None:
        """A text frame of the client arrives."""
        if lane in self._links:
            self.house.take_text(self.hall, lane, text)
            self.wake(lane)

    @property
    def is_closing(self) -> bool:
        """Whether it was announced that a socket will be closed, and that is still to come."""
        return any(lane.close_at is not None for lane in self._links)

    def hang_up(self, lane: Lane) -> None:
        """The client's end is gone."""
        self._links.pop(lane, None)
        self.hall.hub.close(lane)

    def _flush(self, lane: Lane, link: Link) -> None:
        now = self.now()
        for parcel in lane.take_due(now):
            link.send(parcel)
        due = lane.next_due(now)
        if due is not None:
            self._scheduler.after(max(1, due - now), lambda: self.wake(lane))

    def _end(self, lane: Lane, reason: str) -> None:
        link = self._links.get(lane)
        if link is not None:
            self.hang_up(lane)
            link.break_off(reason)

    # --- REST ---

    def answer(self, request: HttpRequest) -> HttpResponse:
        """What the venue answers now. Status 0 when it cuts the connection instead."""
        path, _, query = request.target.reveal().partition("?")
        now = self.now()
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
            reply = self.hall.dialect.answer(call, now)
            self.house.publish(self.hall, now)
            if prepared is None:
                return HttpResponse(status=reply.status, body=reply.body, headers=_in_lower_case(reply.headers))
        if prepared.abort:
            return NO_ANSWER
        return HttpResponse(status=prepared.status, body=prepared.body.encode(), headers=_in_lower_case(prepared.headers))


def _in_lower_case(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.lower(): text for name, text in headers.items()}
