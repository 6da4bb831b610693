"""One gate for each REST address of this process: whoever asks a venue from here shares its request budget, as the venue counts it."""

from __future__ import annotations

import asyncio
from weakref import WeakKeyDictionary

from userstream.ports import Clock, HttpClient
from userstream.runtime.gate import Gate
from userstream.wire.pacing import MINUTE_EDGE_MS, WeightBudget
from userstream.wire.venue import VenueSpec


class GateBook:
    """The gates in use, by address, for each event loop: a gate wakes those who wait on its own loop only."""

    def __init__(self) -> None:
        self._gates: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, tuple[Gate, set[object]]]] = WeakKeyDictionary()

    def take(self, user: object, spec: VenueSpec, rest_url: str, http: HttpClient, clock: Clock, weight_limit: int | None) -> Gate:
        """The address's gate, made if nobody uses it yet; `user` uses it until `leave`. `weight_limit`: the weight a minute that this
        process may count on (None: the venue's); of several the lowest counts. Needs a running event loop."""
        gates = self._gates.setdefault(asyncio.get_running_loop(), {})
        limit = weight_limit or spec.weight_limit_per_minute
        if rest_url not in gates:
            budget = WeightBudget(limit, edge_ms=MINUTE_EDGE_MS)
            header, pause_of = spec.used_weight_header, spec.pause_of
            gates[rest_url] = Gate(rest_url, budget, http, clock, pause_of=pause_of, used_weight_header=header), set()
        gate, users = gates[rest_url]
        gate.budget.lower(limit)
        users.add(user)
        return gate

    async def leave(self, user: object) -> None:
        """`user` asks nothing more. A gate that nobody uses any more ends."""
        gates = self._gates.get(asyncio.get_running_loop(), {})
        for rest_url, (gate, users) in list(gates.items()):
            users.discard(user)
            if not users:
                del gates[rest_url]
                await gate.close()


GATES = GateBook()
