"""A desk of many accounts at a paper exchange: from nothing to all proven; all sockets cut at once; a restart with a warm journal; and at
the end the store against the exchange's own books.

`python -m benchmarks.outage [--accounts 500] [--weight 2400] [--start-weight 400000]`. The exchange is a process of its own and keeps the
venue's limits: how long 500 accounts take is set by the request weight a minute, whose real value makes this a matter of hours. `--weight`
raises it; with `--start-weight` it is so high until all are proven for the first time, and the cut meets the real one.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Final, Self

import aiohttp

from benchmarks.feed import ROOT, show
from userstream.domain.words import StreamState
from userstream.entry.bootstrap import AccountSettings, Application, credentials_of, start_application
from userstream.entry.comparison import Comparison, compare_account
from userstream.kernel.settings import RecoverySettings

VENUE: Final = "binance-usdm"
EXPOSED: Final = 10
"""Every so manieth account has a position."""

TRADING_S: Final = 10
SETTLE_S: Final = 2
LOOKS: Final = 20
LOOK_S: Final = 0.25
LONGEST_S: Final = 10_800.0
A_DAY_S: Final = 86_400.0
MINUTE_S: Final = 60.0


async def be_exchange(accounts: int, weight: int, rate: float) -> None:
    """Plays the venue until its standard input ends; a line there lowers the weight a minute. Nobody trades before accounts are in care:
    nothing is promised of what was before."""
    from userstream.sim.limits import LimitSettings
    from userstream.sim.server import PaperExchangeServer, SimulatorSettings

    settings = SimulatorSettings(accounts=accounts, rate=rate, limits=LimitSettings(weight_per_minute=weight))
    exchange = PaperExchangeServer(settings)
    exchange.house.pace.paused = True
    async with exchange as server:
        print(server.listing.to_json(), flush=True)
        while told := await asyncio.to_thread(sys.stdin.readline):
            for limits in exchange.house.budgets:
                limits.lower(int(told))


class Exchange:
    """The exchange's process, from here. Owned by its `async with`."""

    def __init__(self, *arguments: str) -> None:
        self._arguments = arguments
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "benchmarks.outage", "--exchange", *self._arguments),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            cwd=ROOT,
            limit=1 << 24,
        )
        assert self._process.stdout is not None
        self.listing: dict[str, Any] = json.loads(await self._process.stdout.readline())
        self._http = await self._stack.enter_async_context(aiohttp.ClientSession())
        return self

    async def act(self, action: str, **fields: object) -> None:
        async with self._http.post(f"{self.listing['control_url']}/{action}", json=fields) as answer:
            answer.raise_for_status()

    async def lower_weight(self, weight: int) -> None:
        """It grants no more than so much a minute from now on."""
        assert self._process.stdin is not None
        self._process.stdin.write(b"%d\n" % weight)
        await self._process.stdin.drain()

    async def look(self, what: str) -> dict[str, Any]:
        async with self._http.get(f"{self.listing['control_url']}/{what}") as answer:
            told: dict[str, Any] = await answer.json()
            return told

    async def refusals(self) -> int:
        """How often it answered 429 or 418."""
        state = (await self.look("state"))["venues"][VENUE]
        return int(state["answered_429"]) + int(state["answered_418"])

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()
        self._process.kill()
        await self._process.wait()


def settings_of(listing: Mapping[str, Any], number: int) -> AccountSettings:
    key, place = listing["accounts"][number], listing["venues"][VENUE]
    return AccountSettings(
        name=key["account"],
        venue=VENUE,
        credentials=credentials_of(key["api_key"], key["api_secret"]),
        rest_url=place["rest_url"],
        ws_url=place["ws_url"],
        recovery=RecoverySettings(lag_s=0.5, overlap_s=1.0, audit_s=A_DAY_S, history_s=A_DAY_S),
    )


async def run(accounts: int, weight: int, start_weight: int, rate: float, again: int) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        async with Exchange(str(accounts), str(start_weight), str(rate)) as exchange:
            store = Path(folder) / "desk.db"
            figures = await _first_day(exchange, store, accounts, weight, start_weight)
            return figures | await _restart(exchange, store, min(again, accounts), weight)


async def _first_day(exchange: Exchange, store: Path, accounts: int, weight: int, start_weight: int) -> dict[str, float]:
    application = await start_application(store, weight_limit=start_weight)
    try:
        figures = {"all_proven_s": await _start_accounts(application, exchange, accounts)}
        await _expose(exchange, accounts)
        if weight < start_weight:
            await _lower_weight(application, exchange, weight)
        figures |= await _cut_all(application, exchange)
        await exchange.act("resume_trading")
        await asyncio.sleep(TRADING_S)
        await exchange.act("pause_trading")
        await asyncio.sleep(SETTLE_S)
        figures |= await _compare(application, exchange)
    finally:
        await application.stop()
    return figures | {"refusals": await exchange.refusals()}


async def _lower_weight(application: Application, exchange: Exchange, weight: int) -> None:
    """What was spent of the minute belongs to the higher budget: the lower one begins with a minute of its own."""
    for gate in application.gates:
        gate.budget.lower(weight)
    await exchange.lower_weight(weight)
    await _next_minute()


async def _next_minute() -> None:
    """A fresh minute of request weight."""
    await asyncio.sleep(MINUTE_S - time.time() % MINUTE_S)


async def _expose(exchange: Exchange, accounts: int) -> None:
    """Some get a position; after their start, because nothing is promised of what was before."""
    for number in range(0, accounts, EXPOSED):
        name = exchange.listing["accounts"][number]["account"]
        await exchange.act("place", account=name, symbol="BTCUSDT", side="buy", quantity="0.010", order_type="market")
    await asyncio.sleep(SETTLE_S)


async def _start_accounts(application: Application, exchange: Exchange, accounts: int) -> float:
    begun = time.monotonic()
    for number in range(accounts):
        await application.add(settings_of(exchange.listing, number))
    for account in application.accounts.values():
        await account.wait_proven(LONGEST_S)
    return time.monotonic() - begun


async def _cut_all(application: Application, exchange: Exchange) -> dict[str, float]:
    """Seconds from the cut until every account is proven again, and until those with a position are."""
    exposed = {name for name, account in application.accounts.items() if account.positions["BTCUSDT"].amount}
    begun = time.monotonic()
    await exchange.act("cut")
    proven: dict[str, float] = {}

    async def watch(name: str) -> None:
        account = application.accounts[name]
        while account.health.state is StreamState.LIVE:  # noqa: ASYNC110 - until it has seen the cut
            await asyncio.sleep(0.01)
        await account.wait_proven(LONGEST_S)
        proven[name] = time.monotonic() - begun

    await asyncio.gather(*map(watch, application.accounts))
    last = {name in exposed: moment for name, moment in sorted(proven.items(), key=lambda item: item[1])}
    before = sum(moment < last.get(True, 0.0) for name, moment in proven.items() if name not in exposed)
    exposure = {"exposed": len(exposed), "exposed_again_proven_s": last.get(True, 0.0), "others_before_the_last_exposed": before}
    return {"again_proven_s": max(proven.values())} | exposure


async def _compare(application: Application, exchange: Exchange) -> dict[str, float]:
    compared = [await _compare_one(application, exchange, name) for name in application.accounts]
    for different in compared:
        if not different.is_equal:
            print(different, file=sys.stderr)
    return {
        "fills_at_exchange": sum(each.fills_at_exchange for each in compared),
        "fills_in_store": sum(each.fills_in_store for each in compared),
        "accounts_that_differ": sum(not each.is_equal for each in compared),
    }


async def _compare_one(application: Application, exchange: Exchange, name: str) -> Comparison:
    """Prices move and orders that rest are filled while nobody trades any more: what is on its way is waited for, what is lost stays so."""
    for _ in range(LOOKS):
        if (compared := await _look_at(application, exchange, name)).is_equal:
            return compared
        await asyncio.sleep(LOOK_S)
    return await _look_at(application, exchange, name)


async def _look_at(application: Application, exchange: Exchange, name: str) -> Comparison:
    assert application.pump is not None and application.store is not None
    truth = await exchange.look(f"truth/{name}")
    await application.journal.flush()
    await application.pump.drain()
    return await compare_account(application.store, name, truth)


async def _restart(exchange: Exchange, store: Path, accounts: int, weight: int) -> dict[str, float]:
    """Seconds from the start of all until the last one's socket delivers, and until the last one is proven."""
    await _next_minute()
    begun = time.monotonic()
    application = await start_application(store, weight_limit=weight)
    try:
        for number in range(accounts):
            await application.add(settings_of(exchange.listing, number))
        for account in application.accounts.values():
            await account.wait_ready(LONGEST_S)
        live_s = time.monotonic() - begun
        for account in application.accounts.values():
            await account.wait_proven(LONGEST_S)
        return {"restarted": accounts, "restart_to_live_s": live_s, "restart_to_proven_s": time.monotonic() - begun}
    finally:
        await application.stop()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m benchmarks.outage", description="Many accounts that lose all sockets at once.")
    parser.add_argument("--accounts", type=int, default=500)
    parser.add_argument("--weight", type=int, default=2_400, help="request weight a minute that the exchange grants")
    parser.add_argument("--start-weight", type=int, help="another one until all accounts are proven for the first time")
    parser.add_argument("--rate", type=float, default=200.0, help="events a second of the exchange while it trades")
    parser.add_argument("--again", type=int, default=100, help="accounts that are started again")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--exchange", nargs=3, help=argparse.SUPPRESS)
    given = parser.parse_args()
    logging.getLogger("picows").setLevel(logging.ERROR)
    if given.exchange:
        asyncio.run(be_exchange(int(given.exchange[0]), int(given.exchange[1]), float(given.exchange[2])))
    else:
        from userstream.entry.tuning import run_on_best_loop, tune_interpreter

        tune_interpreter()
        start_weight = given.start_weight or given.weight
        if start_weight < given.weight:
            parser.error(f"--start-weight {start_weight} must not be below --weight {given.weight}: a budget can only be lowered")
        show(run_on_best_loop(run(given.accounts, given.weight, start_weight, given.rate, given.again)), as_json=given.json)
