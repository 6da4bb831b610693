"""One gate for each request budget of this process: whoever asks a venue from here shares it, as the venue counts it.

Products of a venue may share one budget behind different addresses (Binance COIN-M, 1.3), and one address may serve products with
budgets of their own (a paper exchange).
"""

from __future__ import annotations

import asyncio
from typing import Final
from weakref import WeakKeyDictionary

from userstream.ports import Clock, HttpClient
from userstream.runtime.gate import Gate, host_of
from userstream.wire.pacing import MINUTE_EDGE_MS, RISK_RESERVE, WeightBudget
from userstream.wire.request import HttpRequest, HttpResponse
from userstream.wire.switchboard import DialPace
from userstream.wire.venue import Sharing, VenueSpec

REAL: Final = "real"


class AddressedHttp:
    """Connections whose calls go to one address, whichever of its addresses the gate before them was made with. Closing them is left to
    the owner of the connections. `host`: the gate in whose budget the venue counts those calls that say so (Binance margin, 1); in the
    product's own they were counted before."""

    def __init__(self, rest_url: str, http: HttpClient, host: Gate | None = None) -> None:
        self._rest_url, self._http, self._host = rest_url, http, host

    async def send(self, base_url: str, request: HttpRequest, *, time_limit_ms: int) -> HttpResponse:
        """As in `HttpClient`, but to the own address. What the host's budget does not allow now is not sent: to wait here would be taken
        for time on the way, which the venue's clock is measured by."""
        host = self._host if request.of_host else None
        if host is not None and not host.grant_at_once(request.weight):
            return HttpResponse(status=0, body=f"not sent: {host.words_for_wait()}".encode())
        response = await self._http.send(self._rest_url, request, time_limit_ms=time_limit_ms)
        if host is not None:
            host.learn(response)
        return response

    async def close(self) -> None:
        """Nothing: the connections are shared."""


class GateBook:
    """The gates in use, by budget and place, for each event loop: a gate wakes those who wait on its own loop only. Beside them the pace of
    dials, which the venue counts for this address as it does the weight."""

    def __init__(self) -> None:
        self._gates: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[tuple[str, str], tuple[Gate, set[object]]]] = WeakKeyDictionary()
        self._paces: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, DialPace]] = WeakKeyDictionary()

    def take(
        self,
        user: object,
        spec: VenueSpec,
        rest_url: str,
        http: HttpClient,
        clock: Clock,
        weight_limit: int | None,
        *,
        reserve: float = RISK_RESERVE,
    ) -> Gate:
        """The gate of the product's budget at that place, made if nobody uses it yet; `user` uses it until `leave`. `weight_limit`: the
        weight a minute that this process may count on (None: the venue's); of several the lowest counts. `reserve`: the share of it that
        is kept for risk actions; of several the highest counts. Needs a running event loop.

        Where products share a budget, send through `AddressedHttp`: the gate knows the address of its first user only."""
        gates = self._gates.setdefault(asyncio.get_running_loop(), {})
        limit = weight_limit or spec.weight_limit_per_minute
        key = spec.budget or spec.name, _place_of(spec, rest_url)
        if key not in gates:
            weights = WeightBudget(limit, reserve=reserve, edge_ms=MINUTE_EDGE_MS)
            gate = Gate(
                rest_url,
                weights,
                http,
                clock,
                pause_of=spec.pause_of,
                used_weight_header=spec.used_weight_header,
                name=budget_name(spec, rest_url),
            )
            gates[key] = gate, set()
        gate, users = gates[key]
        gate.budget.lower(limit)
        gate.budget.keep(reserve)
        users.add(user)
        return gate

    def pace_of(self, gate: Gate, sharing: Sharing, clock: Clock) -> DialPace:
        """The pace of all dials that are made under that gate's budget and place, whoever makes them. What was dialed still counts when
        the last user has left. Needs a running event loop."""
        paces = self._paces.setdefault(asyncio.get_running_loop(), {})
        if gate.name not in paces:
            paces[gate.name] = DialPace(sharing.dials_per_5_minutes, clock.now())
        return paces[gate.name]

    async def leave(self, user: object) -> None:
        """`user` asks nothing more. A gate that nobody uses any more ends."""
        gates = self._gates.get(asyncio.get_running_loop(), {})
        for key, (gate, users) in list(gates.items()):
            users.discard(user)
            if not users:
                del gates[key]
                await gate.close()


def budget_name(spec: VenueSpec, rest_url: str) -> str:
    """What the gate of the product's budget at that place is called."""
    budget, place = spec.budget or spec.name, _place_of(spec, rest_url)
    return budget if place == REAL else f"{budget} {place}"


def is_real(spec: VenueSpec, rest_url: str) -> bool:
    """Whether the address is one of the real venue's, however it is spelled."""
    return _named_host(rest_url) in (_named_host(spec.real.rest_url), *spec.other_real_hosts)


def _place_of(spec: VenueSpec, rest_url: str) -> str:
    """Where venues count together: the real one has addresses for each product, others are told apart by their host."""
    return REAL if is_real(spec, rest_url) else _named_host(rest_url)


def _named_host(rest_url: str) -> str:
    """In the one spelling of all that mean the same host: its letters' case does not count, nor does the port that need not be said."""
    return host_of(rest_url).lower().removesuffix(":443")


GATES = GateBook()
