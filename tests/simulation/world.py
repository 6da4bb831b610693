"""One simulated world: a venue, a network, an address with its gate, and a process of ours for each account."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Final

from tests.simulation.client import Client
from tests.simulation.exchange import REST_URL, WEIGHT_PER_MINUTE, WS_URL, Exchange
from tests.simulation.gate import Gate
from tests.simulation.ground import pair_of
from tests.simulation.liveness import Liveness
from tests.simulation.network import Network
from tests.simulation.scheduler import Scheduler
from tests.simulation.watch import Watch
from userstream.kernel.ids import AccountId, Millis, Symbol
from userstream.kernel.secret import Secret
from userstream.venues import find_venue
from userstream.wire.feed import FeedPolicy
from userstream.wire.machine import MachinePolicy
from userstream.wire.pacing import MINUTE_EDGE_MS, Backoff, WeightBudget
from userstream.wire.recovery import Policy
from userstream.wire.venue import AccountPlace, Credentials, Endpoints

LOOK_MS: Final = 500


def policy_of(number: int) -> MachinePolicy:
    """All cares in quick succession: half a minute sees each of them."""
    return MachinePolicy(
        feed=FeedPolicy(drain_ms=1_500, opening_limit_ms=6_000, backoff=Backoff(first_delay_ms=200, max_delay_ms=2_000, seed=number)),
        books=Policy(lag_ms=1_500, overlap_ms=2_000, audit_ms=5_500, history_ms=11_000, poll_ms=2_000, longest_retry_ms=2_000),
        polling_after_failures=3,
    )


class World:
    """Everything of one run. `spared`: the account that no fault is aimed at, if there is one."""

    def __init__(self, venue: str, seed: int, accounts: Sequence[str], *, spared: str = "") -> None:
        self.scheduler = Scheduler()
        self.network = Network(self.scheduler, Random(f"{seed}:network"))
        self.exchange = Exchange(self.scheduler, self.network, venue, accounts, seed=seed)
        spec = find_venue(venue)
        budget = max(WEIGHT_PER_MINUTE, spec.weight_limit_per_minute)  # margin's calls have a larger one of their own
        self.gate = Gate(self.scheduler, WeightBudget(budget, edge_ms=MINUTE_EDGE_MS), spec.used_weight_header)
        self.clients: dict[str, Client] = {}
        self.liveness = {account: Liveness() for account in accounts}
        for number, account in enumerate(accounts):
            listing = self.exchange.listing(account)
            credentials = Credentials(api_key=Secret(listing.api_key), api_secret=Secret(listing.api_secret))
            place = AccountPlace(
                account=AccountId(account),
                venue=spec.name,
                credentials=credentials,
                endpoints=Endpoints(rest_url=REST_URL, ws_url=WS_URL),
                jitter_seed=seed * 10 + number,
                own_ping_ms=1_000,
                silence_limit_ms=3_000,
                listen_key_keep_alive_ms=20_000,
                rotate_after_ms=25_000,
                isolated_symbol=Symbol(pair_of(account)),
            )
            by_symbol = spec.make_dialect(place).traits().by_symbol
            watch = Watch(account, self.exchange, spared=account == spared, by_symbol=by_symbol)
            policy = policy_of(seed * 10 + number)
            client = Client(self.scheduler, self.network, self.exchange, self.gate, spec, place, policy, watch)
            self.clients[account] = client
            self.scheduler.after(number * 100, client.start)
        self.scheduler.every(LOOK_MS, self._look)

    def now_plus(self, delay_ms: int) -> Millis:
        return Millis(self.scheduler.now + delay_ms)

    def _look(self) -> None:
        now, trouble = self.scheduler.now, self.exchange.last_trouble
        for client in self.clients.values():
            if now >= client.stalled_until:
                client.watch.look(client.machine, client, now)
            self.liveness[client.name].look(client, now, last_trouble=trouble)
