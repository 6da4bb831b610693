"""`userstream demo`: a paper exchange, accounts that trade there, and the service that follows them, in one process."""

from __future__ import annotations

import asyncio
import math
import shutil
import signal
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
from cyclopts import Parameter

from userstream.entry.cli.output import complain, leave_at_once, say, show_count
from userstream.entry.cli.stores import check_store_is_new
from userstream.entry.times import show_time
from userstream.kernel.errors import SettingsError

if TYPE_CHECKING:
    from userstream.entry.comparison import Comparison
    from userstream.entry.show import Show

MOST_ACCOUNTS = 200
HIGHEST_PORT = 65_535
FRAME_MS = 250
REPORT_MS = 5_000
PROOF_MS = 15_000
"""So long the end waits at most for the reading that proves the last fill."""
LOOK_MS = 100


def demo(
    *,
    accounts: Annotated[int, Parameter(help=f"How many accounts trade, up to {MOST_ACCOUNTS}.")] = 3,
    venue: Annotated[
        list[str] | None, Parameter(help="Where; given again for more, the accounts take turns. Without it, binance-usdm.")
    ] = None,
    seconds: Annotated[float | None, Parameter(help="How long the accounts trade; without it, until Ctrl-C.")] = None,
    headless: Annotated[bool, Parameter(help="Plain lines instead of a live table; so it is too where no terminal listens.")] = False,
    rate: Annotated[float, Parameter(help="Events a second over all accounts.")] = 40.0,
    seed: Annotated[int, Parameter(help="Another number makes other prices, orders and keys.")] = 7,
    port: Annotated[int, Parameter(help="Of the paper exchange; 0 takes a free one.")] = 0,
    store: Annotated[Path | None, Parameter(help="Keep the database in this new file; without it, it is deleted at the end.")] = None,
    script: Annotated[Path | None, Parameter(help="A file of faults instead of the demo's own (docs/reference/paper-exchange.md).")] = None,
    json: Annotated[bool, Parameter(help="Print the summary as one JSON object.")] = False,
) -> int:
    """Watch real protocol traffic become correct account state, while sockets are cut and silenced.

    At the end the store is compared with the exchange's own books: every fill once, every order, position and balance equal. Exit
    code 1 if they differ.

    Example: `userstream demo --headless --seconds 60`
    """
    from userstream.entry.descriptors import require_room
    from userstream.entry.tuning import tune_interpreter
    from userstream.sim.bounds import MOST_EVENTS_PER_S

    if not 1 <= accounts <= MOST_ACCOUNTS:
        raise SettingsError(f"--accounts {accounts} must be between 1 and {MOST_ACCOUNTS}")
    if seconds is not None and not (math.isfinite(seconds) and seconds > 0):
        raise SettingsError(f"--seconds {seconds:g} must be a number above 0")
    if not 0 < rate <= MOST_EVENTS_PER_S:
        raise SettingsError(f"--rate {rate:g} must be above 0 and at most {MOST_EVENTS_PER_S} events per second")
    if not 0 <= port <= HIGHEST_PORT:
        raise SettingsError(f"--port {port} must be between 0 and {HIGHEST_PORT}")
    if store is not None:
        check_store_is_new(store)
    require_room(accounts, ends=2)
    tune_interpreter()
    plain = headless or json or not sys.stdout.isatty()
    venues = tuple(venue or ["binance-usdm"])
    return asyncio.run(_run(accounts, venues, seconds, plain, rate, seed, port, store, script, json))


async def _run(
    accounts: int,
    venues: tuple[str, ...],
    seconds: float | None,
    plain: bool,
    rate: float,
    seed: int,
    port: int,
    store: Path | None,
    script: Path | None,
    json: bool,
) -> int:
    from userstream.entry.descriptors import quieten
    from userstream.entry.exchange import load_faults
    from userstream.entry.show import open_show

    faults = load_faults(script)
    stopped, loop = asyncio.Event(), asyncio.get_running_loop()
    quieten(loop, complain)
    with tempfile.TemporaryDirectory(prefix="userstream-demo-") as folder:
        for name in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(name, _stop, stopped, folder)
        path = store or Path(folder) / "demo.db"
        async with open_show(accounts=accounts, venues=venues, rate=rate, seed=seed, port=port, store=path, script=faults) as show:
            watcher = _Lines(show, quiet=json) if plain else _Screen(show)
            await watcher.follow(stopped, seconds)
            stopped.set()
            watcher.tell("trading ends; every account is read once more and compared with the exchange's books ...")
            await show.settle()
            await _wait_for_proof(show)
            comparisons = await show.settle()  # prices go on: what was left open may have been filled meanwhile
            _summarize(show, comparisons, json)
        if not json:
            say(_parting_words(store, show.names[0]))
    return 0 if all(comparison.is_equal for comparison in comparisons) else 1


def _stop(stopped: asyncio.Event, folder: str) -> None:
    """The first signal ends the trading; whoever sends one more does not want to wait for the comparison."""
    if stopped.is_set():
        shutil.rmtree(folder, ignore_errors=True)
        leave_at_once("ended at once: nothing was compared with the exchange's books")
    stopped.set()


async def _wait_for_proof(show: Show) -> None:
    """Until a reading of the exchange's history covers what each account has traded so far; not longer than `PROOF_MS`."""
    last, end = {name: _last_fill(show, name) for name in show.names}, show.clock.now() + PROOF_MS
    while show.clock.now() < end and not all(show.fleet[name].health.proven_until > last[name] for name in show.names):
        await show.clock.sleep(LOOK_MS)


def _last_fill(show: Show, name: str) -> int:
    """Its venue time (ms); 0 where nothing was filled."""
    fills = msgspec.convert(show.truth(name).get("fills", []), list[dict[str, object]])
    return max((int(str(fill["time"])) for fill in fills), default=0)


class _Lines:
    """For logs: a line every few seconds."""

    def __init__(self, show: Show, *, quiet: bool) -> None:
        self._show, self._quiet = show, quiet

    async def follow(self, stopped: asyncio.Event, seconds: float | None) -> None:
        clock = self._show.clock
        begun = clock.now()
        next_report: int = begun
        while not stopped.is_set() and (seconds is None or self._show.traded_ms < seconds * 1_000):
            self._show.trade_when_live()
            if clock.now() >= next_report:
                next_report += REPORT_MS
                self.tell(self._line((clock.now() - begun) // 1_000))
            await clock.sleep(100)

    def _line(self, second: int) -> str:
        parts = []
        for name in self._show.names:
            health = self._show.fleet[name].health
            reconnects = f"{health.reconnects} reconnect{'' if health.reconnects == 1 else 's'}"
            parts.append(f"{name} {health.state}, {health.messages} messages, {reconnects}")
        return f"{second:4} s  " + " | ".join(parts)

    def tell(self, line: str) -> None:
        if not self._quiet:
            say(line)


class _Screen:
    """For people: a table that lives."""

    def __init__(self, show: Show) -> None:
        self._show = show

    async def follow(self, stopped: asyncio.Event, seconds: float | None) -> None:
        from rich.console import Console
        from rich.live import Live

        from userstream.entry.cli.table import LiveTable

        table, clock = LiveTable(self._show), self._show.clock
        console = Console()
        with Live(table.render(console.width), console=console, refresh_per_second=8, transient=False) as live:
            while not stopped.is_set() and (seconds is None or self._show.traded_ms < seconds * 1_000):
                self._show.trade_when_live()
                await clock.sleep(FRAME_MS)
                live.update(table.render(console.width))

    def tell(self, line: str) -> None:
        say(line)


def _summarize(show: Show, comparisons: list[Comparison], json: bool) -> None:
    frames = show.server.house.faults.counters
    totals = {
        "equal": all(comparison.is_equal for comparison in comparisons),
        "fills_at_exchange": sum(comparison.fills_at_exchange for comparison in comparisons),
        "fills_in_store": sum(comparison.fills_in_store for comparison in comparisons),
        "missing": sum(comparison.missing for comparison in comparisons),
        "doubled": sum(comparison.doubled for comparison in comparisons),
        "invented": sum(comparison.invented for comparison in comparisons),
        "reconnects": sum(show.fleet[name].health.reconnects for name in show.names),
        "fills_recovered": sum(show.fleet[name].health.fills_recovered for name in show.names),
        "frames_lost": frames.dropped + frames.omitted + frames.withheld,
    }
    if json:
        accounts = [msgspec.structs.asdict(each) | {"venue": show.fleet[each.account].venue} for each in comparisons]
        say(msgspec.json.encode(totals | {"accounts": accounts}).decode())
        return
    for comparison in comparisons:
        say(_verdict(show, comparison))
    say(
        f"fills at the exchange {totals['fills_at_exchange']} {'=' if totals['equal'] else '!='} fills in the store "
        f"{totals['fills_in_store']}; missing {totals['missing']}, doubled {totals['doubled']}, invented {totals['invented']}"
    )
    say(
        f"the faults: {show_count(totals['reconnects'], 'socket')} replaced, {show_count(totals['frames_lost'], 'frame')} lost on open "
        f"sockets; while a socket was away or frames were lost, {show_count(totals['fills_recovered'], 'fill')} missed, then read by REST"
    )


def _verdict(show: Show, comparison: Comparison) -> str:
    name = comparison.account
    words = "equal" if comparison.is_equal else "DIFFERENT: " + "; ".join(comparison.differences[:5])
    until = show.fleet[name].health.proven_until
    proven = f"proven by the exchange's history up to {show_time(until)} UTC" if until else "not proven yet"
    fills = f"{comparison.fills_at_exchange} fills at the exchange, {comparison.fills_in_store} in the store"
    return f"{name} at {show.fleet[name].venue}: {fills}, {words}; {proven}"


def _parting_words(store: Path | None, account: str) -> str:
    """What a newcomer can do next."""
    if store is None:
        return "the store is deleted; demo --store demo.db keeps it, for userstream state, tail and audit"
    return f"look into the store: userstream state {store}; userstream audit {account} --store {store}"
