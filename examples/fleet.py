"""Two accounts in one process, with one store: `python examples/fleet.py`, Ctrl-C ends it.

The exchange is a paper one, a program of its own. With real keys: leave out rest_url and ws_url.
"""

import asyncio
import contextlib
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import userstream


async def main(listing: Any, store: Path) -> None:
    place = listing["venues"]["binance-usdm"]
    async with userstream.Fleet(store=store) as fleet:
        for key in listing["accounts"]:
            account = await fleet.add(
                key["account"],
                "binance-usdm",
                api_key=key["api_key"],
                api_secret=key["api_secret"],
                rest_url=place["rest_url"],
                ws_url=place["ws_url"],
            )
            account.on(userstream.Filled, handler=show)
        for key in listing["accounts"]:
            account = fleet[key["account"]]
            await account.wait_proven(timeout=30)
            print(account.id, "is proven:", account.balances["USDT"].total, "USDT,", len(account.orders.open()), "open orders", flush=True)
        while True:
            await asyncio.sleep(10)
            print(*(repr(fleet[key["account"]]) for key in listing["accounts"]), sep="\n", flush=True)


def show(event: userstream.Event) -> None:
    if isinstance(event, userstream.Filled):
        print(event.account, event.side, event.quantity, event.symbol, "at", event.price, flush=True)


@contextlib.contextmanager
def paper_exchange() -> Iterator[Any]:
    """The command `userstream simulate`; its first line says where it is, and the keys of its accounts."""
    command = [sys.executable, "-m", "userstream", "simulate", "--accounts", "2", "--rate", "20"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as simulator:
        assert simulator.stdout is not None
        try:
            yield json.loads(simulator.stdout.readline())
        finally:
            simulator.terminate()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt), tempfile.TemporaryDirectory() as folder, paper_exchange() as listing:
        asyncio.run(main(listing, Path(folder) / "fleet.db"))
