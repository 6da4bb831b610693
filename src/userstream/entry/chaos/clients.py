"""Which clients there are, how the program of each is started, and whether it is installed."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import msgspec

from userstream.entry.chaos.products import PRODUCTS, USDM
from userstream.entry.chaos.programs.told import PREFIX
from userstream.kernel.errors import SettingsError, nearest
from userstream.sim.settings import AccountListing, VenueListing

OURS: Final = "userstream"
HOME: Final = Path(__file__).parent
INSTALL: Final = "uv pip install --group peers, in a checkout of userstream"
WATCH_MS: Final = 3_000
"""After how long a silent socket is to be doubted. Every client that can be told so, is."""

ASK: Final = (
    "import importlib.metadata as m, json, sys\n"
    "def v(n):\n"
    "    try: return m.version(n)\n"
    "    except m.PackageNotFoundError: return None\n"
    "print(json.dumps({n: v(n) for n in sys.argv[1:]}))"
)


class Client(msgspec.Struct, frozen=True, kw_only=True):
    """A client: its name, the package that brings it, the program of its user, the products it is run on, and what a reader of its scores
    should know. `elsewhere`: why it is not run on the other products."""

    name: str
    package: str
    program: str
    note: str
    speaks: tuple[str, ...] = tuple(PRODUCTS)
    elsewhere: str = ""


CLIENTS: Final = (
    Client(name=OURS, package="userstream", program="userstream_events", note="this package"),
    Client(name="ccxt", package="ccxt", program="ccxt_pro", note="watch loops that call again after an error"),
    Client(name="python-binance", package="python-binance", program="python_binance", note="hands on messages; restarted on its errors"),
    Client(
        name="unicorn",
        package="unicorn-binance-websocket-api",
        program="unicorn_binance",
        note="hands on messages",
        speaks=(USDM.venue,),
        elsewhere="not all of its addresses there can be set",
    ),
    Client(
        name="official-sdk",
        package="binance-sdk-derivatives-trading-usds-futures",
        program="official_sdk",
        note="hands on messages; names no way to go on after a cut",
        speaks=(USDM.venue,),
        elsewhere="each product is another package of it",
    ),
)


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """A client with its version; None where it is not installed."""

    client: Client
    version: str | None
    python: str


def find_clients(names: Sequence[str] = ()) -> tuple[Client, ...]:
    """The named clients, or all. Raises SettingsError that names the nearest known one."""
    known = [client.name for client in CLIENTS]
    for name in names:
        if name not in known:
            raise SettingsError(f"--against {name!r} is not known; {nearest(name, known)}")
    return tuple(client for client in CLIENTS if not names or client.name in names)


async def find_versions(clients: Sequence[Client], python: str) -> tuple[Found, ...]:
    """Asks the interpreter which of the clients it has. This package's own client always runs where this command runs.
    Raises SettingsError when there is no such interpreter."""
    others = [client.package for client in clients if client.name != OURS]
    versions = await _ask(python, others) if others else {}
    own = await _ask(sys.executable, ["userstream"])
    return tuple(
        Found(client=client, version=own["userstream"], python=sys.executable)
        if client.name == OURS
        else Found(client=client, version=versions[client.package], python=python)
        for client in clients
    )


async def _ask(python: str, packages: Sequence[str]) -> Mapping[str, str | None]:
    try:
        process = await asyncio.create_subprocess_exec(
            # what another program says of words that are none of its own is no help
            python,
            "-c",
            ASK,
            *packages,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
    except OSError as error:
        raise SettingsError(f"--python {python}: {error.strerror}") from None
    out, _ = await process.communicate()
    try:
        versions: dict[str, str | None] = msgspec.convert(json.loads(out), dict[str, str | None])
    except (ValueError, msgspec.ValidationError):
        raise SettingsError(f"--python {python} is no Python that runs") from None
    return versions


async def start_program(found: Found, place: VenueListing, key: AccountListing, *, work_ms: int, life_s: int) -> asyncio.subprocess.Process:
    """Starts the program of a client's user as a process of its own. What it must know stands in its environment."""
    told = {
        "VENUE": key.venue,
        "REST_URL": place.rest_url,
        "WS_API_URL": place.ws_api_url,
        "WS_URL": place.ws_url,
        "API_KEY": key.api_key,
        "API_SECRET": key.api_secret,
        "WORK_MS": str(work_ms),
        "WATCH_MS": str(WATCH_MS),
        "LIFE_MS": str(life_s * 1000),
    }
    # a proxy of this machine is no way to the loopback address, and the programs find one another below their folder
    ways = {
        "NO_PROXY": "127.0.0.1",
        "no_proxy": "127.0.0.1",
        "PYTHONPATH": os.pathsep.join([str(HOME), *filter(None, [os.environ.get("PYTHONPATH")])]),
    }
    return await asyncio.create_subprocess_exec(
        found.python,
        "-m",
        f"programs.{found.client.program}",
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=os.environ | ways | {PREFIX + name: value for name, value in told.items()},
    )
