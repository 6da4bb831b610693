"""A program that runs one account with a store until it is killed: `python -m tests.support.child_fleet STORE`, the key on stdin."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

from userstream import Fleet, RecoverySettings, StreamSettings


async def run(store: Path, key: dict[str, str]) -> None:
    recovery = RecoverySettings(lag_s=0.1, overlap_s=1.0, audit_s=1.0, history_s=60)
    stream = StreamSettings(own_ping_s=0.2, silence_s=0.6, first_delay_s=0.05, max_delay_s=0.4)
    async with Fleet(store=store, weight_limit=1_000_000) as fleet:
        account = await fleet.add(
            "desk",
            "binance-usdm",
            api_key=key["api_key"],
            api_secret=key["api_secret"],
            rest_url=key["rest_url"],
            ws_url=key["ws_url"],
            recovery=recovery,
            stream=stream,
        )
        async for event in account.events(after=0):
            sys.stdout.write(json.dumps([event.__struct_config__.tag, event.sequence]) + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(run(Path(sys.argv[1]), json.loads(sys.stdin.readline())))
