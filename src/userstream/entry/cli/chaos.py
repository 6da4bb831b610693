"""`userstream chaos`: the conformance kit as a command."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
from cyclopts import Parameter

from userstream.entry.cli import hear_interrupts
from userstream.entry.cli.output import complain, say, show_count
from userstream.kernel.errors import SettingsError

if TYPE_CHECKING:
    from rich.table import Table

    from userstream.entry.chaos.clients import Found
    from userstream.entry.chaos.products import Product
    from userstream.entry.chaos.scoreboard import Score
    from userstream.entry.chaos.scripts import ChaosScript

MOST_SEEDS = 1_000
WIDTH = 120
TERMINATED = 143
"""SIGTERM, as shells count it: 128 and the number of the signal."""
COLUMNS = ("client", "script", "fills", "lost", "doubled", "invented", "wrong", "worst staleness", "recovered")


def chaos(
    *,
    against: Annotated[list[str] | None, Parameter(help="Only these clients; without it, all that are installed.")] = None,
    script: Annotated[list[str] | None, Parameter(help="Only these fault scripts; without it, all.")] = None,
    venue: Annotated[list[str] | None, Parameter(help="Only these products; without it, all that have scripts.")] = None,
    seeds: Annotated[int, Parameter(help="How often each script is played, each time with another seed.")] = 1,
    python: Annotated[Path | None, Parameter(help="The Python of an environment that has the other clients.")] = None,
    scripts: Annotated[bool, Parameter(name="--list", help="Only list the scripts and the clients.")] = False,
    json: Annotated[bool, Parameter(help="Print the scores as one JSON object.")] = False,
) -> int:
    """Run clients through fault scripts at the paper exchange, and compare what their users saw with the exchange's books.

    Exit code 1 when this package's own client has anything but zeros, or when a client asked for by name was run on nothing: it is
    not installed, or cannot be run on what was chosen; 130 and 143 when Ctrl-C or SIGTERM ended it early.

    Example: `userstream chaos --against userstream --against ccxt --script cut`
    """
    from userstream.entry.chaos.clients import find_clients, find_versions
    from userstream.entry.chaos.products import find_products
    from userstream.entry.chaos.scripts import find_scripts

    if not 1 <= seeds <= MOST_SEEDS:
        raise SettingsError(f"--seeds {seeds} must be between 1 and {MOST_SEEDS}")
    products, clients = find_products(venue or ()), find_clients(against or ())
    chosen = find_scripts(script or (), products)
    found = asyncio.run(find_versions(clients, str(python or sys.executable)))
    if scripts:
        return _list(chosen, found, json=json)
    hear_interrupts()
    try:
        scores = asyncio.run(_play(found, chosen, seeds))
    except asyncio.CancelledError:
        complain("ended by SIGTERM before all runs were played: there are no scores, and the programs it started are ended")
        return TERMINATED
    if json:
        say(msgspec.json.encode(_report(products, found, scores)).decode())
    else:
        _print_tables(products, found, scores)
    return _exit_code(found, scores, asked=bool(against))


async def _play(found: tuple[Found, ...], chosen: tuple[ChaosScript, ...], seeds: int) -> list[Score]:
    """Plays wave after wave; what goes on is told on standard error, with a bar while a person looks on."""
    from rich.console import Console
    from rich.progress import Progress

    from userstream.adapters.clock import SystemClock
    from userstream.entry.chaos.runs import longest_ms, make_plans, play_wave, waves_of

    playing = asyncio.current_task()
    assert playing is not None
    # asked to end, it still ends the programs it started
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, playing.cancel)
    plans, scores = make_plans(found, chosen, seeds), list["Score"]()
    if not plans:
        return scores
    with Progress(console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()) as progress:
        tell = partial(progress.console.print, highlight=False, markup=False, emoji=False, soft_wrap=True)
        bar = progress.add_task("runs", total=len(plans))
        tell(f"{show_count(len(plans), 'run')}, {-(-longest_ms(plans) // 60_000)} min at most; the scores follow on standard output")
        for wave in waves_of(plans):
            scores += await play_wave(wave, SystemClock(), tell)
            progress.update(bar, completed=len(scores))
    return scores


def _list(chosen: tuple[ChaosScript, ...], found: tuple[Found, ...], *, json: bool) -> int:
    if json:
        scripts: dict[str, dict[str, str]] = {each.product.venue: {} for each in chosen}
        for each in chosen:
            scripts[each.product.venue][each.name] = each.file.tests
        say(msgspec.json.encode({"scripts": scripts, "clients": {each.client.name: each.version for each in found}}).decode())
        return 0
    for each in chosen:
        say(f"{each.product.venue:14} {each.name:18} {each.file.tests}")
    say()
    for client in found:
        say(f"{client.client.name:14} {_presence(client)}")
    return 0


def _presence(found: Found) -> str:
    from userstream.entry.chaos.clients import INSTALL

    return found.version or f"not installed, not counted: {INSTALL}, or --python the Python of an environment that has it"


def _report(products: tuple[Product, ...], found: tuple[Found, ...], scores: list[Score]) -> dict[str, object]:
    from userstream.entry.chaos.scoreboard import total_of

    venues = list(dict.fromkeys(score.venue for score in scores))
    clients = [
        {
            "venue": venue,
            "client": client.name,
            "package": client.package,
            "version": version,
            "total": total_of(client.name, scores, venue),
        }
        for venue in venues
        for client, version in ((each.client, each.version) for each in found)
        if version is not None and venue in client.speaks
    ]
    absent = [each.client.name for each in found if each.version is None]
    return {
        "clients": clients,
        "not_installed": absent,
        "not_run": _not_run((product.venue for product in products), found),
        "runs": scores,
    }


def _not_run(venues: Iterable[str], found: tuple[Found, ...]) -> list[dict[str, str]]:
    """Which client is installed and cannot be run on which product, and why."""
    return [
        {"venue": venue, "client": each.client.name, "reason": each.client.elsewhere}
        for venue in venues
        for each in found
        if each.version is not None and venue not in each.client.speaks
    ]


def _print_tables(products: tuple[Product, ...], found: tuple[Found, ...], scores: list[Score]) -> None:
    from rich.console import Console

    console = Console(width=None if sys.stdout.isatty() else WIDTH)
    for product in products:
        if any(score.venue == product.venue for score in scores):
            console.print(make_table(found, scores, product))
    for each in found:
        if each.version is None:
            say(f"{each.client.name}: {_presence(each)}")
    for row in _not_run((product.venue for product in products), found):
        say(f"{row['client']} on {row['venue']}: not run, not counted: {row['reason']}")
    for score in scores:
        if score.words:
            say(f"{score.client}, {score.venue} {score.script}, seed {score.seed}: {score.words}")


def make_table(found: tuple[Found, ...], scores: list[Score], product: Product) -> Table:
    """A product's scores: a row for each client and script (and seed), a total line for each client."""
    from rich.table import Table

    from userstream.entry.chaos.scoreboard import total_of

    table = Table(title=f"userstream chaos: {product.title}, paper exchange", title_justify="left")
    for name in COLUMNS:
        table.add_column(name, justify="left" if name in COLUMNS[:2] else "right")
    for each in found:
        own = [score for score in scores if (score.client, score.venue) == (each.client.name, product.venue)]
        for score in own:
            name = score.script if score.seed == 0 else f"{score.script} #{score.seed}"
            table.add_row(*_cells(score, name))
        if own:
            table.add_row(*_cells(total_of(each.client.name, own, product.venue), f"all, {each.version}"), style="bold", end_section=True)
    return table


def _cells(score: Score, script: str) -> tuple[str, ...]:
    if not score.is_judged:
        return (score.client, script, *("-" for _ in COLUMNS[2:]))
    stale = f"{score.stale_ms / 1000:.2f} s" + (" or never" if score.lost else "")
    counts = (score.fills, score.lost, score.doubled, score.invented, score.wrong)
    return (score.client, script, *map(str, counts), stale, "yes" if score.recovered else "no")


def _exit_code(found: tuple[Found, ...], scores: list[Score], *, asked: bool) -> int:
    from userstream.entry.chaos.clients import OURS
    from userstream.entry.chaos.scoreboard import are_flawless

    played = {score.client for score in scores}
    missed = asked and any(each.client.name not in played for each in found)
    return 0 if are_flawless(scores, OURS) and not missed else 1
