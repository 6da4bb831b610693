"""The demo's parts: a paper exchange, accounts that trade there, a fleet that follows them, and faults that hit them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from decimal import Decimal
from itertools import cycle
from pathlib import Path
from typing import Final

import msgspec

from userstream.entry.api import Fleet
from userstream.entry.comparison import Comparison, compare_account
from userstream.entry.exchange import open_exchange
from userstream.kernel.errors import SettingsError
from userstream.kernel.settings import RecoverySettings, StreamSettings
from userstream.ports import Clock
from userstream.sim.faults import Script, load_script
from userstream.sim.limits import LimitSettings
from userstream.sim.server import PaperExchangeServer
from userstream.sim.settings import AccountSpec, SimulatorSettings
from userstream.sim.venue import Call

VENUES: Final = ("binance-usdm",)
NAMES: Final = ("alice", "bob", "carol", "dave", "erin", "frank", "grace", "heidi")
RECOVERY: Final = RecoverySettings(lag_s=1.0, overlap_s=2.0, audit_s=5.0, history_s=10.0, poll_s=5.0)
STREAM: Final = StreamSettings(own_ping_s=1.0, silence_s=3.0, first_delay_s=0.2, max_delay_s=3.0)
FAULTS: Final = b"""[
 {"every_s": 13, "from_s": 6, "action": "cut", "account": "*"},
 {"every_s": 17, "from_s": 10, "action": "silence", "account": "alice", "for_s": 5, "lose": true},
 {"every_s": 23, "from_s": 15, "action": "omit", "event": "ORDER_TRADE_UPDATE", "account": "*", "count": 2},
 {"every_s": 29, "from_s": 20, "action": "double", "account": "*", "count": 20}
]"""
"""What the demo does to its own sockets, because surviving it is what the product is for."""

LIMITS: Final = LimitSettings(weight_per_minute=24_000)
"""A minute of the demo holds the troubles of days, so it has the request budget of ten minutes."""

BALANCES: Final = {"USDT": Decimal(50_000)}
"""At USD-M; elsewhere an account has what the exchange gives it."""

CALM_S: Final = 30
STEP_MS: Final = 100
PATIENCE_MS: Final = 10_000
"""So long the trading waits for accounts that do not come to life, because a script keeps them from it."""


class Show:
    """A running demo. `comparisons` is the end: the store against the exchange's books."""

    def __init__(self, server: PaperExchangeServer, fleet: Fleet, names: tuple[str, ...], clock: Clock) -> None:
        self.server, self.fleet, self.names, self.clock = server, fleet, names, clock
        self._made = clock.now()
        self._began: int | None = None

    def act(self, action: str, **fields: object) -> None:
        self.server.control.answer(Call(method="POST", path=f"/control/{action}", body=msgspec.json.encode(fields)))

    def trade_when_live(self) -> None:
        """Lets the trading begin, once, as soon as every account is live. To be called again and again: what is traded earlier would be
        learned from the first snapshot, as if it had been lost."""
        if self._began is not None:
            return
        now = self.clock.now()
        if now >= self._made + PATIENCE_MS or all(self.fleet[name].health.is_healthy for name in self.names):
            self._began = now
            self.act("resume_trading")

    @property
    def traded_ms(self) -> int:
        """How long the accounts have been trading."""
        return 0 if self._began is None else self.clock.now() - self._began

    def truth(self, name: str) -> Mapping[str, object]:
        truth = self.server.control.truth(name)
        return truth if isinstance(truth, dict) else {}

    def fills_at_exchange(self, name: str) -> int:
        return len(self.server.house.hall_of(name).room.exchange.fills(name))

    async def settle(self) -> list[Comparison]:
        """Ends the trading and the faults, waits (bounded) until every account is proven, then compares the store with the books."""
        self.act("pause_trading")
        self.server.settings = msgspec.structs.replace(self.server.settings, script=None)
        self.act("clear")
        comparisons: list[Comparison] = []
        for _ in range(CALM_S * 1_000 // STEP_MS):
            await self.clock.sleep(STEP_MS)
            if all(self.fleet[name].health.is_healthy for name in self.names):
                comparisons = await self.compare()
                if all(comparison.is_equal for comparison in comparisons):
                    break
        return comparisons or await self.compare()

    async def compare(self) -> list[Comparison]:
        application = self.fleet.application
        await application.journal.flush()
        if application.pump is not None:
            await application.pump.drain()
        assert application.store is not None
        return [await compare_account(application.store, name, self.truth(name)) for name in self.names]


@asynccontextmanager
async def open_show(
    *, accounts: int, rate: float, seed: int, port: int, store: Path, script: Script | None, venues: Sequence[str] = VENUES
) -> AsyncIterator[Show]:
    """Starts everything but the trading (`Show.trade_when_live`); at the end of the block it is stopped in order. The accounts take turns
    at the venues. Raises SettingsError for a venue that the paper exchange cannot play."""
    names = tuple(NAMES[number] if number < len(NAMES) else f"account-{number + 1}" for number in range(accounts))
    specs = tuple(map(_spec_of, names, cycle(venues)))
    settings = SimulatorSettings(
        venues=tuple(dict.fromkeys(spec.venue for spec in specs)),
        accounts=specs,
        rate=rate,
        seed=seed,
        port=port,
        script=script or load_script(FAULTS),
        ping_interval_s=5,
        limits=LIMITS,
    )
    try:
        server = PaperExchangeServer(settings)
    except ValueError as error:
        raise SettingsError(str(error)) from None
    server.house.pace.paused = True
    async with open_exchange(server), Fleet(store=store, weight_limit=LIMITS.weight_per_minute) as fleet:
        for key in server.listing.accounts:
            place = server.listing.venues[key.venue]
            await fleet.add(
                key.account,
                key.venue,
                api_key=key.api_key,
                api_secret=key.api_secret,
                rest_url=place.rest_url,
                ws_url=place.ws_url,
                ws_api_url=place.ws_api_url,
                recovery=RECOVERY,
                stream=STREAM,
            )
        yield Show(server, fleet, names, fleet.application.clock)


def _spec_of(name: str, venue: str) -> AccountSpec:
    return AccountSpec(account=name, venue=venue, balances=BALANCES if venue in VENUES else None)
