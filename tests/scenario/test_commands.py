"""The commands as a user calls them: real processes, real files, every mistake told in one line."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sqlite3
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.support.events import filled
from tests.support.records import record
from userstream.adapters.clock import SystemClock
from userstream.adapters.sqlite import SqliteStore

FILL = (
    b'{"e":"TRADE_LITE","E":1790000001202,"T":1790000001200,"s":"BTCUSDT","q":"0.050","p":"81000.0","m":true,"c":"c-1","S":"BUY",'
    b'"L":"80999.5","l":"0.020","t":5200001,"i":33}'
)


class Outcome:
    def __init__(self, code: int, out: bytes, err: bytes) -> None:
        self.code, self.out, self.err = code, out.decode(), err.decode()

    @property
    def lines(self) -> list[Any]:
        return [json.loads(line) for line in self.out.splitlines()]


async def start(*words: str, environment: Mapping[str, str] = {}, cwd: Path | None = None) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "userstream",
        *words,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=os.environ | environment,
        cwd=cwd,
    )


async def call(*words: str, given: bytes = b"", environment: Mapping[str, str] = {}, cwd: Path | None = None) -> Outcome:
    process = await start(*words, environment=environment, cwd=cwd)
    out, err = await asyncio.wait_for(process.communicate(given), 50)
    assert process.returncode is not None
    assert b"Traceback" not in err, err.decode()
    return Outcome(process.returncode, out, err)


@asynccontextmanager
async def simulator(*words: str, venue: str = "binance-usdm") -> AsyncIterator[Any]:
    process = await start("simulate", "--venue", venue, *words)
    assert process.stdout is not None
    try:
        yield json.loads(await asyncio.wait_for(process.stdout.readline(), 20))
    finally:
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), 10) == 0


async def test_decode_prints_an_object_for_each_event() -> None:
    outcome = await call("decode", "--venue", "binance-usdm", "-", given=FILL + b"\r\n\nno json\n\xff\xfe\n")
    assert outcome.code == 0
    fill, *odd = outcome.lines
    assert (fill["kind"], fill["trade_id"], fill["price"], fill["fee"]) == ("filled", "5200001", "80999.5", None)
    assert [line["kind"] for line in odd] == ["unrecognized", "unrecognized"]


async def test_decode_reads_files_and_names_mistakes(tmp_path: Path) -> None:
    (tmp_path / "frames").write_bytes(FILL)
    assert (await call("decode", "--venue", "binance-usdm", str(tmp_path / "frames"))).lines[0]["kind"] == "filled"
    assert (await call("decode", "--venue", "binance-usdm", str(tmp_path / "absent"))).code == 2
    unknown = await call("decode", "--venue", "binance-usd")
    assert unknown.code == 2
    assert "binance-usdm" in unknown.err


@pytest.mark.parametrize(
    "words", [["nonsense"], ["decode"], ["demo", "--accounts", "0"], ["demo", "--rate", "fast"], ["tail", "absent.db"]]
)
async def test_usage_mistakes_exit_with_2(words: list[str]) -> None:
    outcome = await call(*words)
    assert outcome.code == 2
    assert outcome.err.startswith("userstream: ")


@pytest.mark.parametrize("name", ["demo", "run", "simulate", "decode", "tail", "state", "doctor"])
async def test_every_command_has_help_with_an_example(name: str) -> None:
    outcome = await call(name, "--help")
    assert outcome.code == 0
    assert "Example" in outcome.out


async def test_a_port_in_use_is_one_line() -> None:
    async with simulator() as listing:
        port = listing["control_url"].split(":")[2].split("/")[0]
        outcome = await call("simulate", "--port", port)
        assert outcome.code == 2
        assert f"port {port}" in outcome.err


async def test_demo_ends_with_equality(tmp_path: Path) -> None:
    outcome = await call("demo", "--seconds", "8", "--json", "--store", str(tmp_path / "demo.db"), "--accounts", "2")
    assert outcome.code == 0, outcome.err
    (summary,) = outcome.lines
    assert summary["equal"]
    assert summary["fills_at_exchange"] == summary["fills_in_store"] > 0
    assert [account["account"] for account in summary["accounts"]] == ["alice", "bob"]
    [certificate] = (await call("audit", "alice", "--store", str(tmp_path / "demo.db"), "--json")).lines
    assert certificate["is_whole"]
    assert sum(sum(interval["fills"].values()) for interval in certificate["intervals"]) >= summary["accounts"][0]["fills_in_store"]
    *_, verdict, why = (await call("audit", "alice", "--store", str(tmp_path / "demo.db"))).out.splitlines()
    assert verdict.startswith("WHOLE: every fill from ") and verdict.endswith(" is in; what follows is the stream's word")
    assert why.startswith("STREAM_ONLY at the end: the account stopped before")


async def test_run_doctor_state_and_tail(tmp_path: Path) -> None:
    async with simulator("--rate", "30") as listing:
        key, place = listing["accounts"][0], listing["venues"]["binance-usdm"]
        environment = {"KEY": key["api_key"], "SECRET": key["api_secret"]}
        text = (
            '[recovery]\nlag_s = 0.3\n[[account]]\nname = "alice"\nvenue = "binance-usdm"\napi_key_env = "KEY"\napi_secret_env = "SECRET"\n'
        )
        (tmp_path / "userstream.toml").write_text(text + f'rest_url = "{place["rest_url"]}"\nws_url = "{place["ws_url"]}"\n')
        checked = await call("doctor", "--json", environment=environment, cwd=tmp_path)
        assert checked.code == 0, checked.out
        assert {finding["verdict"] for finding in checked.lines[0]} == {"ok"}
        run = await call("run", "--seconds", "3", environment=environment, cwd=tmp_path)
        assert run.code == 0, run.err
        assert key["api_key"] not in run.err
        assert key["api_secret"] not in run.err
        refused = await call("run", "--seconds", "9", environment=environment | {"SECRET": "wrong"}, cwd=tmp_path)
        assert refused.code == 1
        assert "-1022" in refused.err
    state = (await call("state", "userstream.db", "--json", cwd=tmp_path)).lines[0]
    assert state["balances"][0]["account"] == "alice"
    assert {span["state"] for span in state["coverage"]} <= {"PROVEN", "REPAIRED", "STREAM_ONLY", "KNOWN_GAP"}
    told = (await call("tail", "userstream.db", "--kind", "filled", "--json", "--last", "2", cwd=tmp_path)).lines
    assert [line["kind"] for line in told] == ["filled", "filled"]
    assert (await call("tail", "userstream.db", "--kind", "fild", cwd=tmp_path)).code == 2


async def test_who_watches_a_store_leaves_nothing_beside_it(tmp_path: Path) -> None:
    async with await SqliteStore.open(tmp_path / "a.db", SystemClock()) as store:
        store.append(record(filled(), sequence=1))
    before = sorted(os.listdir(tmp_path))
    process = await start("tail", "a.db", "--follow", cwd=tmp_path)
    assert process.stdout is not None
    assert b"filled" in await asyncio.wait_for(process.stdout.readline(), 20)
    process.send_signal(signal.SIGINT)
    assert await asyncio.wait_for(process.communicate(b""), 20) == (b"", b"")
    assert process.returncode == 130
    assert sorted(os.listdir(tmp_path)) == before


async def test_run_stops_in_order_on_a_signal(tmp_path: Path) -> None:
    async with simulator() as listing:
        key, place = listing["accounts"][0], listing["venues"]["binance-usdm"]
        text = '[log]\nformat = "json"\n[[account]]\nname = "alice"\nvenue = "binance-usdm"\napi_key_env = "KEY"\n'
        (tmp_path / "userstream.toml").write_text(text + f'rest_url = "{place["rest_url"]}"\nws_url = "{place["ws_url"]}"\n')
        process = await start("run", environment={"KEY": key["api_key"]}, cwd=tmp_path)
        assert process.stderr is not None
        async for line in process.stderr:
            if b'"live"' in line:
                break
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), 10) == 0


async def test_a_database_of_another_program_is_refused(tmp_path: Path) -> None:
    (tmp_path / "other.db").write_text("this is no database, but a text of some length that somebody keeps here")
    outcome = await call("state", str(tmp_path / "other.db"))
    assert outcome.code == 1
    assert "other.db" in outcome.err


async def test_long_running_commands_end_at_once_where_they_cannot_begin(tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / "other.db")
    connection.execute("CREATE TABLE theirs (word TEXT)")
    connection.close()
    (tmp_path / "u.toml").write_text('[store]\npath = "other.db"\n[[account]]\nname = "a"\nvenue = "binance-usdm"\napi_key_env = "KEY"\n')
    async with simulator() as listing:
        port = listing["control_url"].split(":")[2].split("/")[0]
        run, store, taken = await asyncio.gather(
            call("run", "--config", "u.toml", environment={"KEY": "canary-key"}, cwd=tmp_path),
            call("demo", "--store", "other.db", "--headless", cwd=tmp_path),
            call("demo", "--port", port, "--headless", cwd=tmp_path),
        )
    assert [outcome.code for outcome in (run, store, taken)] == [1, 1, 2]
    assert "another program" in run.err
    assert "another program" in store.err
    assert f"port {port}" in taken.err
    assert all("canary" not in outcome.err + outcome.out for outcome in (run, store, taken))
    assert all(outcome.err.count("userstream: ") == 1 for outcome in (run, store, taken))


async def test_a_run_of_nobody_says_so(tmp_path: Path) -> None:
    account = '[[account]]\nname = "a"\nvenue = "binance-usdm"\napi_key_env = "KEY"\nenabled = false\n'
    (tmp_path / "u.toml").write_text(account)
    outcome = await call("run", "--config", "u.toml", "--seconds", "0.2", environment={"KEY": "paper-key"}, cwd=tmp_path)
    assert outcome.code == 0
    assert "the configuration has no account that is enabled" in outcome.err


async def test_a_demo_in_a_pipe_speaks_while_it_runs_and_ends_with_a_line_break(tmp_path: Path) -> None:
    venues = ("binance-usdm", "binance-spot")
    words = [word for venue in venues for word in ("--venue", venue)]
    process = await start("demo", "--seconds", "6", "--accounts", "2", "--rate", "30", *words, cwd=tmp_path)
    assert process.stdout is not None
    first = await asyncio.wait_for(process.stdout.readline(), 30)
    assert first.decode().split()[:3] == ["0", "s", "alice"], "how far it is by then depends on the machine"
    assert process.returncode is None
    rest = (await asyncio.wait_for(process.communicate(b""), 50))[0].decode()
    assert rest.endswith("\n")
    *_, alice, bob, fills, faults, next_step = rest.splitlines()
    for name, venue, verdict in zip(("alice", "bob"), venues, (alice, bob), strict=True):
        assert verdict.startswith(f"{name} at {venue}: ")
        assert "in the store, equal; proven by the exchange's history up to 20" in verdict
    assert fills.startswith("fills at the exchange ") and "missing 0" in fills
    assert faults.startswith("the faults: ") and faults.endswith("missed, then read by REST")
    assert "demo --store demo.db keeps it" in next_step
    assert process.returncode == 0


async def test_who_sends_a_second_signal_waits_no_longer_and_is_told_so(tmp_path: Path) -> None:
    process = await start("demo", "--rate", "30", environment={"TMPDIR": str(tmp_path)})
    assert process.stdout is not None
    while b"5 s" not in await asyncio.wait_for(process.stdout.readline(), 30):
        pass
    process.send_signal(signal.SIGINT)
    assert b"trading ends" in await asyncio.wait_for(process.stdout.readline(), 30)
    process.send_signal(signal.SIGINT)
    out, err = await asyncio.wait_for(process.communicate(b""), 30)
    assert (process.returncode, out) == (1, b"")
    assert err == b"userstream: ended at once: nothing was compared with the exchange's books\n"
    assert os.listdir(tmp_path) == []
