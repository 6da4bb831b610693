"""`userstream state`: the tables of a store, for people and for programs."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.clock import ManualClock
from tests.support.events import balance_set, filled, gap_opened, gap_repaired, order_changed, position_set
from tests.support.records import record
from userstream.adapters.sqlite import SqliteStore
from userstream.entry.cli import run_command
from userstream.entry.cli.state import MEANING
from userstream.ports import Record
from userstream.runtime.pump import Pump

Capture = pytest.CaptureFixture[str]
GONE = order_changed(order_id="3", status="unknown", execution_type="gone")
RECORDS = (
    record(order_changed(order_id="1"), order_changed(order_id="2", status="filled"), GONE, sequence=1),
    record(*(filled(trade_id=str(number), event_time=1_000 + number) for number in range(71, 74)), sequence=4),
    record(position_set(symbol="BTCUSDT", amount="0.3"), position_set(symbol="ETHUSDT", amount="0.000"), balance_set(), sequence=7),
    record(balance_set(account="bob", asset="BNB"), account="bob", sequence=1),
    record(gap_opened(since=2_000), gap_repaired(since=2_000, until=3_000), gap_opened(since=4_000), sequence=10),
)


def make_store(path: Path, *records: Record) -> Path:
    async def write() -> None:
        clock = ManualClock()
        async with await SqliteStore.open(path, clock) as store:
            pump = Pump(store, store, "tables", clock=clock)
            pump.start()
            for one in records:
                store.append(one)
            await store.flush()
            await pump.drain()
            await pump.stop()

    asyncio.run(write())
    return path


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return make_store(tmp_path / "a.db", *RECORDS)


def asked(capsys: Capture, store: Path, *words: str) -> Any:
    assert run_command(["state", str(store), "--json", *words]) == 0
    [line] = capsys.readouterr().out.splitlines()
    return json.loads(line)


def test_amounts_have_the_digits_that_the_venue_sent(tmp_path: Path, capsys: Capture) -> None:
    tiny = record(balance_set(total="0.00000000"), filled(fee="-0.00000050"), sequence=1)
    store = make_store(tmp_path / "tiny.db", tiny)
    tables = asked(capsys, store)
    assert (tables["balances"][0]["total"], tables["fills"][0]["fee"]) == ("0.00000000", "-0.00000050")
    assert run_command(["state", str(store)]) == 0
    printed = capsys.readouterr().out
    assert all(text in printed for text in (" 0.00000000 ", " -0.00000050 "))


def test_open_orders_held_positions_and_all_accounts(store: Path, capsys: Capture) -> None:
    tables = asked(capsys, store)
    assert [row["order_id"] for row in tables["orders"]] == ["1"]
    assert [row["symbol"] for row in tables["positions"]] == ["BTCUSDT"]
    assert sorted(row["account"] for row in tables["balances"]) == ["alice", "bob"]
    assert set(tables) == {"balances", "positions", "orders", "fills", "coverage"}


def test_all_orders_some_fills_and_one_account(store: Path, capsys: Capture) -> None:
    assert {row["order_id"] for row in asked(capsys, store, "--orders", "all")["orders"]} == {"1", "2", "3"}
    assert len(asked(capsys, store, "--fills", "2")["fills"]) == 2
    assert asked(capsys, store, "--fills", "0")["fills"] == []
    assert [row["asset"] for row in asked(capsys, store, "--account", "bob")["balances"]] == ["BNB"]


def test_people_get_tables(store: Path, capsys: Capture) -> None:
    assert run_command(["state", str(store)]) == 0
    told = capsys.readouterr().out
    assert all(word in told for word in ("balances", "positions", "coverage", "BTCUSDT"))
    assert "None" not in told
    assert told.count("time (UTC)") == 4
    shown = {row["state"] for row in asked(capsys, store)["coverage"]}
    assert "KNOWN_GAP" in shown and shown != set(MEANING)
    assert {word for word, meaning in MEANING.items() if f"{word}: {meaning}" in told} == shown


def test_mistakes_are_told(tmp_path: Path, store: Path, capsys: Capture) -> None:
    assert run_command(["state", str(tmp_path / "absent.db")]) == 2
    assert "there is no store" in capsys.readouterr().err
    assert run_command(["state", str(store), "--orders", "some"]) == 2
    assert run_command(["state", str(store), "--fills", "-1"]) == 2
    assert run_command(["state", str(store), "--account", "nobody"]) == 2
    assert "no account 'nobody'; the store has alice, bob" in capsys.readouterr().err


def test_the_newest_fills_are_the_newest_of_all_accounts_by_the_venues_time(tmp_path: Path, capsys: Capture) -> None:
    late, early = ((filled(account="bob", trade_id=str(n), transaction_time=n) for n in numbers) for numbers in ((40, 50), (10, 20)))
    alices = (filled(trade_id=str(n), transaction_time=n) for n in (30, 45))
    # bob's early fills come last: a gap of his was repaired after everything else
    records = (record(*late, account="bob", sequence=1), record(*alices, sequence=1), record(*early, account="bob", sequence=3))
    store = make_store(tmp_path / "b.db", *records)
    assert [row["trade_id"] for row in asked(capsys, store, "--fills", "3")["fills"]] == ["50", "45", "40"]
    assert [row["trade_id"] for row in asked(capsys, store, "--fills", "9")["fills"]] == ["50", "45", "40", "30", "20", "10"]
    assert [row["trade_id"] for row in asked(capsys, store, "--fills", "1", "--account", "alice")["fills"]] == ["45"]


def test_what_the_venue_wrote_commands_no_terminal(tmp_path: Path, capsys: Capture) -> None:
    store = make_store(tmp_path / "a.db", record(balance_set(asset="X\x1b[2J[/red]:bomb:"), sequence=1))
    assert run_command(["state", str(store)]) == 0
    printed = capsys.readouterr().out
    assert "\x1b" not in printed
    assert "X\ufffd[2J[/red]:bomb:" in printed
