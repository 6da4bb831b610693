"""What a client costs at rest: seconds to import it, megabytes with one account, and with each further idle one.

`python -m benchmarks.footprint [userstream|ccxt|python-binance]`. A paper exchange runs here; the client runs in a process of its own,
with its accounts proven (ours) or their private sockets open (the others), and no event coming.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import resource
import sys
import tempfile
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from benchmarks.feed import ROOT, show

FURTHER: Final = 20
OWN: Final = "userstream"
IMPORTS: Final = MappingProxyType(
    {
        OWN: "import userstream",
        "ccxt": "import ccxt.pro",
        "python-binance": "import binance",
    }
)
NAMES: Final = "import userstream; userstream.connect, userstream.Fleet"
EVERYTHING: Final = "import userstream.entry.api, userstream.adapters.http, userstream.adapters.ws, userstream.adapters.sqlite"
TIMED: Final = "import time; begun = time.perf_counter(); {}; print(time.perf_counter() - begun)"
SETTLE_S: Final = 0.5
VENUE: Final = "binance-usdm"
MEGABYTE: Final = 1024 * 1024


def resident_mb(pid: int | str = "self") -> float:
    """Resident memory of a process; where the system does not tell, the most that this one ever had."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
        return pages * resource.getpagesize() / MEGABYTE
    except OSError:
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return most / MEGABYTE if sys.platform == "darwin" else most / 1024


async def import_s(statement: str) -> float:
    """Seconds that a fresh interpreter takes for it, its own start not counted."""
    command = (sys.executable, "-c", TIMED.format(statement))
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE, cwd=ROOT)
    answer, _ = await process.communicate()
    return float(answer)


async def run(name: str, further: int) -> dict[str, float]:
    """Figures of one client. The exchange lives in this process, the client in another one."""
    figures = {"import_s": await import_s(IMPORTS[name])}
    if name == OWN:
        figures["names_s"] = await import_s(NAMES)
        figures["everything_s"] = await import_s(EVERYTHING)
    return figures | await _at_the_exchange(name, further)


async def _at_the_exchange(name: str, further: int) -> dict[str, float]:
    from userstream.sim.limits import LimitSettings
    from userstream.sim.server import PaperExchangeServer, SimulatorSettings

    settings = SimulatorSettings(accounts=1 + further, limits=LimitSettings(weight_per_minute=1_000_000))
    async with PaperExchangeServer(settings) as server:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "benchmarks.footprint", name, "--client"),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            cwd=ROOT,
        )
        answer, _ = await process.communicate(server.listing.to_json().encode())
    if process.returncode:
        raise SystemExit(f"the client {name} ended with {process.returncode}")
    figures: dict[str, float] = json.loads(answer)
    return figures


async def be_client(name: str, listing: Any) -> dict[str, float]:
    """This process is the client of the exchange in the listing."""
    open_accounts = _own_accounts if name == OWN else _peer_accounts
    with tempfile.TemporaryDirectory() as folder:
        return await open_accounts(name, listing, Path(folder))


async def _own_accounts(name: str, listing: Any, folder: Path) -> dict[str, float]:
    import userstream

    place, keys = listing["venues"][VENUE], listing["accounts"]
    recovery = userstream.RecoverySettings(lag_s=0.15, overlap_s=1.0)
    async with userstream.Fleet(store=folder / "footprint.db", weight_limit=1_000_000) as fleet:

        async def start(key: Any) -> None:
            account = await fleet.add(
                key["account"],
                VENUE,
                api_key=key["api_key"],
                api_secret=key["api_secret"],
                rest_url=place["rest_url"],
                ws_url=place["ws_url"],
                recovery=recovery,
            )
            await account.wait_proven(60)

        await start(keys[0])
        one = await _at_rest()
        for key in keys[1:]:
            await start(key)
        return _figures(one, await _at_rest(), len(keys) - 1)


async def _peer_accounts(name: str, listing: Any, folder: Path) -> dict[str, float]:
    from benchmarks.peers import MAKERS, Place

    place, keys = listing["venues"][VENUE], listing["accounts"]
    peers, sizes = [], []
    for number, key in enumerate(keys):
        peer = MAKERS[name]()
        await peer.open(Place(place["rest_url"], place["ws_url"], key["api_key"], key["api_secret"]), lambda: None)
        peers.append(peer)
        if number in (0, len(keys) - 1):
            sizes.append(await _at_rest())
    for peer in peers:
        await peer.close()
    return _figures(sizes[0], sizes[-1], len(keys) - 1)


async def _at_rest() -> float:
    await asyncio.sleep(SETTLE_S)
    gc.collect()
    return resident_mb()


def _figures(one: float, all_of_them: float, further: int) -> dict[str, float]:
    return {"one_account_mb": one, "further_account_mb": (all_of_them - one) / max(further, 1)}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m benchmarks.footprint", description="Import time and memory at rest.")
    parser.add_argument("name", nargs="?", choices=sorted(IMPORTS), default=OWN)
    parser.add_argument("--further", type=int, default=FURTHER, help="idle accounts beside the first")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--client", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.client:
        print(json.dumps(asyncio.run(be_client(given.name, json.loads(sys.stdin.read())))))
    else:
        show(asyncio.run(run(given.name, given.further)), as_json=given.json)
