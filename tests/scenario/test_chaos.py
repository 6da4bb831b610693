"""The conformance kit as a user calls it: our own client, real processes, zeros in every column."""

from __future__ import annotations

import asyncio
import json
import sys
from itertools import product
from typing import Any

VENUES = ("binance-usdm", "binance-spot", "binance-coinm")


async def call(*words: str) -> tuple[int, bytes, bytes]:
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", "userstream", "chaos", *words, stdout=pipe, stderr=pipe)
    out, err = await asyncio.wait_for(process.communicate(), 55)
    assert process.returncode is not None
    assert b"Traceback" not in err, err.decode()
    return process.returncode, out, err


async def test_asked_to_end_it_says_so_and_ends_its_programs() -> None:
    words = ("--against", "userstream", "--script", "cut", "--venue", VENUES[0])
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", "userstream", "chaos", *words, stdout=pipe, stderr=pipe)
    assert process.stderr is not None
    while b"lives through" not in await asyncio.wait_for(process.stderr.readline(), 40):
        pass
    process.terminate()
    # the programs hold the same pipe: its end is their end
    out, err = await asyncio.wait_for(process.communicate(), 30)
    assert (process.returncode, out) == (143, b"")
    assert err.decode().splitlines()[-1].startswith("userstream: ended by SIGTERM")


async def test_our_own_client_has_zeros_in_every_column() -> None:
    scripts = ("cut", "same-fill", "late-report")
    code, out, err = await call("--against", "userstream", *(word for name in scripts for word in ("--script", name)), "--json")
    report: Any = json.loads(out)
    assert code == 0, report
    told = err.decode().splitlines()
    assert told[0].startswith("9 runs, ") and told[1] == "starting 9 programs (userstream), at most 192 s"
    for venue, name in product(VENUES, scripts):
        begun, ended = (line for line in told if f"userstream lives through {name} at {venue}: " in line)
        assert ": at most " in begun and ": played in " in ended
    assert report["not_installed"] == []
    assert {(run["venue"], run["script"]) for run in report["runs"]} == {(venue, name) for venue in VENUES for name in scripts}
    for run in report["runs"]:
        assert [run[column] for column in ("lost", "doubled", "invented", "wrong")] == [0, 0, 0, 0], run
        assert run["is_judged"] and run["recovered"] and run["fills"] >= 4
    assert sum(client["total"]["fills"] for client in report["clients"]) == sum(run["fills"] for run in report["runs"])
