"""`userstream simulate`: the paper exchange as a program of its own."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
from cyclopts import Parameter

from userstream.entry.cli.output import complain, say
from userstream.kernel.errors import SettingsError

if TYPE_CHECKING:
    from userstream.sim.settings import AccountSpec, SimulatorSettings

MOST_PORT = 65_535
ROOM_FOR_CLIENTS = 4_096
"""Nobody says how many programs come, and how many sockets each opens."""


def simulate(
    *,
    venue: Annotated[
        list[str] | None,
        Parameter(help="Which venue to play, binance-usdm if none is named; again for more: binance-coinm, binance-spot, binance-margin."),
    ] = None,
    port: Annotated[int, Parameter(help="On 127.0.0.1; 0 takes a free one.")] = 0,
    accounts: Annotated[int, Parameter(help="How many at each venue; their names are paper-1, paper-2, ...")] = 1,
    seed: Annotated[int, Parameter(help="Another number makes other prices, orders and keys.")] = 0,
    rate: Annotated[float, Parameter(help="Events a second over all accounts, which trade at random; 0: they are quiet.")] = 0.0,
    script: Annotated[Path | None, Parameter(help="A file of faults, JSON or TOML.")] = None,
    strict: Annotated[bool, Parameter(help="Private sockets opened without a list of events stay silent.")] = False,
    api_key: Annotated[str | None, Parameter(help="The first account's key, for programs whose key is fixed.")] = None,
    api_secret: Annotated[str | None, Parameter(help="The first account's secret; only with --api-key (paper accounts alone).")] = None,
) -> int:
    """Run a paper exchange on this machine; the first line of output is one JSON object that says where everything is.

    The control interface (place and fill orders, move prices, cut sockets, read the books) and the form of a script:
    docs/reference/paper-exchange.md. Stops on Ctrl-C.

    Example: `userstream simulate --venue binance-usdm --port 8080 --accounts 2 --rate 20`
    """
    from userstream.entry.exchange import load_faults
    from userstream.sim.actions import BadAction
    from userstream.sim.bounds import MOST_EVENTS_PER_S
    from userstream.sim.settings import SimulatorSettings

    if not 0 <= rate <= MOST_EVENTS_PER_S:
        raise SettingsError(f"--rate {rate:g} must be between 0 and {MOST_EVENTS_PER_S} events per second")
    _check_place(venue or [], port, accounts)
    _check_keys(api_key, api_secret)
    try:
        settings = SimulatorSettings(
            venues=tuple(venue or ["binance-usdm"]),
            port=port,
            accounts=_specs(tuple(venue or ["binance-usdm"]), accounts, api_key, api_secret),
            seed=seed,
            rate=rate,
            script=load_faults(script),
            strict=strict,
        )
        return asyncio.run(_serve(settings))
    except (ValueError, BadAction) as error:
        raise SettingsError(str(error)) from None


def _check_place(venues: list[str], port: int, accounts: int) -> None:
    from userstream.sim.settings import MOST_ACCOUNTS

    if not 0 <= port <= MOST_PORT:
        raise SettingsError(f"--port {port} must be between 0 (any free one) and {MOST_PORT}")
    if not 1 <= accounts <= MOST_ACCOUNTS:
        raise SettingsError(f"--accounts {accounts} must be between 1 and {MOST_ACCOUNTS}")
    for name in venues:
        if venues.count(name) > 1:
            raise SettingsError(f"--venue {name} is given more than once: give each venue once")


def _check_keys(api_key: str | None, api_secret: str | None) -> None:
    for option, given in (("--api-key", api_key), ("--api-secret", api_secret)):
        if given is not None and (not given or any(letter.isspace() for letter in given)):
            raise SettingsError(f"{option} is empty or holds a blank: give a word")
    if api_key is None and api_secret is not None:
        raise SettingsError("--api-secret needs --api-key too: a client has to name the key whose secret it signs with")


def _specs(venues: tuple[str, ...], count: int, api_key: str | None, api_secret: str | None) -> int | tuple[AccountSpec, ...]:
    from userstream.sim.settings import numbered_accounts

    if api_key is None and api_secret is None:
        return count
    first, *others = numbered_accounts(venues, count)
    return (msgspec.structs.replace(first, api_key=api_key or "", api_secret=api_secret or ""), *others)


async def _serve(settings: SimulatorSettings) -> int:
    from userstream.entry.descriptors import make_room, quieten, require_room
    from userstream.entry.exchange import open_exchange
    from userstream.sim.house import UnknownVenue
    from userstream.sim.server import PaperExchangeServer

    stopped, loop = asyncio.Event(), asyncio.get_running_loop()
    for name in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(name, stopped.set)
    make_room(ROOM_FOR_CLIENTS)
    require_room(1)
    quieten(loop, complain)
    try:
        async with open_exchange(PaperExchangeServer(settings)) as server:
            say(server.listing.to_json())
            await stopped.wait()
    except UnknownVenue as error:
        raise SettingsError(str(error)) from None
    return 0
