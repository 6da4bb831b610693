"""The paper exchange without its doors: venues, accounts, faults and the passing of time. It answers at once and never waits."""

import itertools
import random
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Protocol

import msgspec

from userstream.sim.actions import EVERYBODY
from userstream.sim.books import Happening, Millis, Refused
from userstream.sim.clock import ExchangeClock
from userstream.sim.dialects.registry import VENUES
from userstream.sim.exchange import Exchange
from userstream.sim.faults import FaultPlan
from userstream.sim.keys import ApiKey, make_secret, make_text
from userstream.sim.lanes import Hub, Kind, Lane, Parcel
from userstream.sim.limits import Limits
from userstream.sim.marketplace import Marketplace
from userstream.sim.pace import TradingPace
from userstream.sim.room import Room
from userstream.sim.settings import AccountListing, AccountSpec, SimulatorSettings, numbered_accounts
from userstream.sim.venue import Dialect, Frame, Venue

MOST_NAMES = 20
MOST_ACTS_AT_ONCE = 200
"""So much trading between two looks at the doors: whatever the rate, clients and the end of the process are not kept waiting."""


class UnknownAccount(Exception):
    """No account has this name."""


class UnknownVenue(ValueError):
    """The paper exchange does not speak this venue's language."""


class Doors(Protocol):
    """What carries the lanes: real sockets, or a test."""

    def wake(self, lane: Lane) -> None:
        """The lane has something to do."""

    def abort(self, lane: Lane) -> None:
        """End the connection without a word."""

    def close(self, lane: Lane, code: int, reason: str) -> None:
        """End the connection with a close frame."""


class Hall(msgspec.Struct, frozen=True, eq=False, kw_only=True):
    """One venue at work."""

    venue: Venue
    room: Room
    dialect: Dialect
    hub: Hub


class House:
    """All venues of one paper exchange, one clock, one fault plan."""

    def __init__(self, settings: SimulatorSettings, clock: ExchangeClock, doors: Doors) -> None:
        self.settings = settings
        self.doors = doors
        self.faults = FaultPlan(seed=settings.seed, skew_ms=settings.skew_ms, strict=settings.strict)
        self.started_at = clock.now()
        self.pace = TradingPace(settings.rate, self.started_at)
        self.halls: dict[str, Hall] = {}
        self.listings: list[AccountListing] = []
        self._clock = clock
        self._chance = random.Random(settings.seed)
        self._budgets: dict[str, Limits] = {}
        self._hall_of: dict[str, Hall] = {}
        self._traders: list[tuple[Hall, str]] = []
        self._owned: dict[tuple[str, str], list[tuple[str, Marketplace]]] = {}
        self.on_news: Callable[[Sequence[Happening]], None] | None = None
        """Hears all that happens in the books, before any socket does."""
        for place, name in enumerate(settings.venues):
            self.halls[name] = self._open_hall(name, place)
        self.places = _first_of_premises(self.halls.values())
        """One venue for each exchange, the first of those that share it."""
        for spec in self._specs():
            self._open_account(spec)
        self.set_rest_lag(settings.rest_lag_ms)

    def now(self) -> Millis:
        """The time of the books, in milliseconds."""
        return self._clock.now()

    # --- finding -------------------------------------------------------------------------------------------------------

    def hall_of(self, account: str) -> Hall:
        """The venue of an account, also of one that its user opened besides. Raises UnknownAccount."""
        if account in self._hall_of:
            return self._hall_of[account]
        user, _, name = account.partition(".")
        hall = self._hall_of.get(user)
        if hall is None or not hall.venue.besides(hall.room.exchange, user, name):
            raise UnknownAccount(f"there is no account {account!r}; {self.known_names}")
        return hall

    @property
    def known_names(self) -> str:
        """The names of the accounts, for people; of many the first ones."""
        names = list(self._hall_of)
        more = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
        return f"there are {', '.join(names[:MOST_NAMES])}{more}" if names else "there are none"

    def knows(self, account: str) -> bool:
        """Whether there is such an account."""
        try:
            self.hall_of(account)
        except UnknownAccount:
            return False
        return True

    def hall_with(self, symbol: str, venue: str) -> Hall:
        """The venue that trades a symbol: the named one, or the first. Raises Refused for a symbol that nobody trades."""
        for hall in self.halls.values():
            if venue in ("", hall.venue.name) and symbol in hall.room.exchange.instruments:
                return hall
        raise Refused("unknown_symbol", f"no venue here trades {symbol!r}")

    def hall_at(self, path: str, headers: Mapping[str, str] | None = None, query: str = "") -> Hall | None:
        """The venue that a path belongs to. Where several answer it: the one that knows a key in them, or is at home there."""
        serving = [hall for hall in self.halls.values() if hall.dialect.serves(path)]
        if len(serving) < 2:
            return next(iter(serving), None)
        keys = tuple((headers or {}).values())
        words = re.split("[/=&]", f"{path}/{query}")
        known = (
            hall for hall in serving if any(map(hall.room.keys.find, keys)) or any(hall.room.listen_keys.owner(word) for word in words)
        )
        at_home = (hall for hall in serving if path.startswith(hall.venue.home))
        return next(itertools.chain(known, at_home, serving))

    def lanes(self, account: str = EVERYBODY) -> Iterator[tuple[Hall, Lane]]:
        """The open sockets of an account, or all. Raises UnknownAccount."""
        if account != EVERYBODY:
            self.hall_of(account)
        return ((hall, lane) for hall in self.places for lane in hall.hub.lanes(account))

    @property
    def accounts(self) -> tuple[str, ...]:
        return tuple(self._hall_of)

    @property
    def budgets(self) -> Iterable[Limits]:
        return self._budgets.values()

    # --- time and news -------------------------------------------------------------------------------------------------

    def tick(self, now: Millis) -> None:
        """Let time pass on all venues: the market, the trading accounts, keys that expire."""
        for hall in self.places:
            hall.room.exchange.advance(now)
            self.publish(hall, now)
            if frames := hall.dialect.tick(now):
                self.send_frames(hall, frames, now)
            hall.room.history.prune_orders(now)
        if self._traders:
            self._trade(now)

    def publish(self, hall: Hall, now: Millis) -> int:
        """Send out what happened in the books; returns the number of events."""
        happenings = hall.room.exchange.drain()
        if not happenings:
            return 0
        if self.on_news is not None:
            self.on_news(happenings)
        hall.room.history.record(happenings, now)
        frames = hall.dialect.write(happenings, now)
        self.send_frames(hall, frames, now)
        return len(frames)

    def send_frames(self, hall: Hall, frames: Iterable[Frame], now: Millis) -> None:
        for lane in hall.hub.publish(frames, now):
            self.doors.wake(lane)

    def take_text(self, hall: Hall, lane: Lane, text: str) -> None:
        """A text frame of a client; the answers wait in its lane."""
        now = self.now()
        for reply in lane.session.receive(text, now):
            lane.send(Parcel(kind=Kind.TEXT, body=reply))
        hall.hub.refile(lane)
        self.publish(hall, now)

    def _trade(self, now: Millis) -> None:
        self.pace.grant(now)
        for _ in range(MOST_ACTS_AT_ONCE):
            if not self.pace.may_act:
                return
            hall, account = self._chance.choice(self._traders)
            hall.room.exchange.trade_randomly(account, now)
            self.pace.spend(self.publish(hall, now))

    def set_rest_lag(self, lag_ms: int) -> None:
        """Let REST reads lag; recording begins with the first lag and ends with 0."""
        for hall in self.places:
            history = hall.room.history
            if lag_ms and not history.is_recording:
                history.begin(hall.room.exchange.accounts(), self.now())
            elif not lag_ms:
                history.end()
        self.faults.rest_lag_ms = lag_ms

    # --- beginning -----------------------------------------------------------------------------------------------------

    def _open_hall(self, name: str, place: int) -> Hall:
        if name not in VENUES:
            raise UnknownVenue(f"the paper exchange has no venue {name!r}; it has {', '.join(sorted(VENUES))}")
        venue = VENUES[name]
        shared = next((hall for hall in self.halls.values() if _premises(hall.venue) == _premises(venue)), None)
        if shared is not None:
            return Hall(venue=venue, room=shared.room, dialect=venue.open(shared.room), hub=shared.hub)
        seed = self.settings.seed * 1000 + place
        limits = self._budgets.setdefault(venue.budget, Limits(self.settings.limits or venue.limits))
        wanted = self.settings.symbols
        instruments = [each for each in venue.instruments if not wanted or each.symbol in wanted]
        if not instruments:
            raise UnknownVenue(f"the venue {name!r} trades none of {', '.join(wanted)}")
        exchange = venue.found(instruments, seed, self.started_at)
        life_ms = int(self.settings.listen_key_minutes * 60_000)
        room = Room(name, exchange, limits, self.faults, listen_key_life_ms=life_ms, seed=seed)
        return Hall(venue=venue, room=room, dialect=venue.open(room), hub=Hub(name, self.faults))

    def _specs(self) -> list[AccountSpec]:
        wanted = self.settings.accounts
        if isinstance(wanted, tuple):
            return list(wanted)
        return numbered_accounts(self.settings.venues, wanted)

    def _open_account(self, spec: AccountSpec) -> None:
        if spec.venue not in self.halls:
            raise UnknownVenue(f"account {spec.account!r} is at {spec.venue!r}, which is not among the venues of this paper exchange")
        if spec.account in self._hall_of:
            raise ValueError(f"the account {spec.account!r} is given twice")
        hall = self.halls[spec.venue]
        try:
            hall.venue.enrol(hall.room.exchange, spec.account, hall.venue.balances if spec.balances is None else spec.balances)
        except Refused as refused:
            raise ValueError(f"account {spec.account!r}: {refused.text}") from refused
        key = self._make_key(spec)
        hall.room.keys.add(key)
        self._hall_of[spec.account] = hall
        self._join_owner(hall, spec)
        if spec.trades:
            self._traders.append((hall, spec.account))
        self.listings.append(
            AccountListing(account=key.account, venue=key.venue, api_key=key.api_key, api_secret=key.api_secret, passphrase=key.passphrase)
        )

    def _join_owner(self, hall: Hall, spec: AccountSpec) -> None:
        """One owner's accounts at venues of one budget count their orders together and have one position mode."""
        if not spec.owner:
            return
        hall.room.owners[spec.account] = spec.owner
        place = hall.room.exchange
        for account, other in self._owned.setdefault((hall.venue.budget, spec.owner), []):
            if isinstance(place, Exchange) and isinstance(other, Exchange) and other is not place:
                place.bind(spec.account, other, account)
        self._owned[hall.venue.budget, spec.owner].append((spec.account, place))

    def _make_key(self, spec: AccountSpec) -> ApiKey:
        return ApiKey(
            account=spec.account,
            venue=spec.venue,
            api_key=spec.api_key or make_text(self._chance),
            api_secret=spec.api_secret or make_secret(spec.key_type, self._chance),
            passphrase=spec.passphrase,
            key_type=spec.key_type,
            can_trade=spec.can_trade,
            can_withdraw=spec.can_withdraw,
            ip_restricted=spec.ip_restricted,
        )


def _first_of_premises(halls: Iterable[Hall]) -> list[Hall]:
    first: dict[str, Hall] = {}
    for hall in halls:
        first.setdefault(_premises(hall.venue), hall)
    return list(first.values())


def _premises(venue: Venue) -> str:
    return venue.premises or venue.name
