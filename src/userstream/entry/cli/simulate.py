"""`userstream simulate`: the paper exchange as a program of its own."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
from cyclopts import Parameter

from userstream.entry.cli.output import say
from userstream.kernel.errors import PaperExchangeError, SettingsError

if TYPE_CHECKING:
    from userstream.sim.settings import AccountSpec, SimulatorSettings


def simulate(
    *,
    venue: list[str] | None = None,
    port: int = 0,
    accounts: int = 1,
    seed: int = 0,
    rate: float = 0.0,
    script: Path | None = None,
    strict: bool = False,
    api_key: Annotated[str | None, Parameter(help="The first account's key, for programs whose key is fixed.")] = None,
    api_secret: Annotated[str | None, Parameter(help="The first account's secret (only of a paper account).")] = None,
) -> int:
    """Run a paper exchange on this machine; the first line of output is one JSON object that says where everything is.

    `--rate` lets the accounts trade, so many events a second; `--script` is a file of faults; `--strict` keeps sockets without a list
    of events silent. Stops on Ctrl-C.

    Example: `userstream simulate --venue binance-usdm --port 8080 --accounts 2 --rate 20`
    """
    from userstream.sim.actions import BadAction
    from userstream.sim.faults import load_script
    from userstream.sim.settings import SimulatorSettings

    try:
        settings = SimulatorSettings(
            venues=tuple(venue or ["binance-usdm"]),
            port=port,
            accounts=_specs(tuple(venue or ["binance-usdm"]), accounts, api_key, api_secret),
            seed=seed,
            rate=rate,
            script=None if script is None else load_script(script),
            strict=strict,
        )
        return asyncio.run(_serve(settings))
    except OSError as error:
        raise SettingsError(f"cannot read {script}: {error.strerror}") from None
    except (ValueError, BadAction) as error:
        raise SettingsError(str(error)) from None


def _specs(venues: tuple[str, ...], count: int, api_key: str | None, api_secret: str | None) -> int | tuple[AccountSpec, ...]:
    from userstream.sim.settings import AccountSpec

    if api_key is None and api_secret is None:
        return count
    names = [(f"paper-{number}", venue) for number, venue in enumerate((venue for venue in venues for _ in range(count)), start=1)]
    first, *others = [AccountSpec(account=name, venue=venue) for name, venue in names]
    return (msgspec.structs.replace(first, api_key=api_key or "", api_secret=api_secret or ""), *others)


async def _serve(settings: SimulatorSettings) -> int:
    from userstream.sim.house import UnknownVenue
    from userstream.sim.server import PaperExchangeServer, PortInUse

    stopped = asyncio.Event()
    for name in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(name, stopped.set)
    try:
        async with PaperExchangeServer(settings) as server:
            say(server.listing.to_json())
            await stopped.wait()
    except PortInUse as error:
        raise PaperExchangeError(str(error)) from None
    except UnknownVenue as error:
        raise SettingsError(str(error)) from None
    return 0
