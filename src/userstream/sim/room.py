"""One venue's part of the paper exchange: its books, keys and limits. What a dialect works with."""

import random
from functools import cached_property

import msgspec

from userstream.sim.books import Millis
from userstream.sim.faults import FaultPlan
from userstream.sim.history import Books, History
from userstream.sim.keys import ApiKey, KeyRing, ListenKeys, ListenTokens
from userstream.sim.limits import Limits
from userstream.sim.marketplace import Marketplace


class Room:
    """The books of one venue with everything that stands around them. The faults are those of the whole paper exchange."""

    def __init__(self, venue: str, exchange: Marketplace, limits: Limits, faults: FaultPlan, *, listen_key_life_ms: int, seed: int) -> None:
        self.venue = venue
        self.exchange = exchange
        self.limits = limits
        self.faults = faults
        self.keys = KeyRing()
        self.chance = random.Random(seed)
        self.listen_keys = ListenKeys(listen_key_life_ms, random.Random(seed + 1))
        self._seed = seed
        self.history = History(exchange)
        self.ended_rows: dict[int, msgspec.Raw] = {}
        """Orders that have ended, by id, as the dialect wrote them once: nothing changes them any more."""
        self.fill_rows: dict[tuple[str, int, int], msgspec.Raw] = {}
        """The same of fills, by symbol, trade and order."""
        self.owners: dict[str, str] = {}
        """Whose an account is, where one person has accounts at several venues that count together."""

    @cached_property
    def listen_tokens(self) -> ListenTokens:
        return ListenTokens(random.Random(self._seed + 2))

    def books(self, now: Millis) -> Books:
        """What a REST read sees now: the books, or the books of a while ago."""
        lag_ms = self.faults.rest_lag_ms
        return self.history.at(Millis(now - lag_ms)) if lag_ms and self.history.is_recording else self.exchange

    def stated(self, now: Millis) -> Millis:
        """The time that the gateway states and checks against."""
        return Millis(now + self.faults.skew_ms)

    def owner(self, account: str) -> str:
        """Under which name the account's orders are counted."""
        return self.owners.get(account, account)

    def key_of(self, account: str) -> ApiKey | None:
        return next(self.keys.of_account(account), None)
