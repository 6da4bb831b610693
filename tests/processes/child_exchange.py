"""A paper exchange without a request budget: `python -m tests.processes.child_exchange --seed S --rate R --api-key K --api-secret S`.

Tests that start a client hundreds of times read the books more often in a minute than a client does in an hour.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys

from userstream.sim.limits import LimitSettings
from userstream.sim.server import PaperExchangeServer
from userstream.sim.settings import AccountSpec, SimulatorSettings


def read_settings(words: list[str]) -> SimulatorSettings:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--rate", type=float, default=0.0)
    parser.add_argument("--api-key", required=True)
    parser.add_argument("--api-secret", required=True)
    given = parser.parse_args(words)
    account = AccountSpec(account="paper-1", api_key=given.api_key, api_secret=given.api_secret)
    limits = LimitSettings(weight_per_minute=100_000_000)
    return SimulatorSettings(accounts=(account,), seed=given.seed, rate=given.rate, limits=limits)


async def serve(settings: SimulatorSettings) -> None:
    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    async with PaperExchangeServer(settings) as server:
        sys.stdout.write(server.listing.to_json() + "\n")
        sys.stdout.flush()
        await stopped.wait()


if __name__ == "__main__":
    asyncio.run(serve(read_settings(sys.argv[1:])))
