"""`userstream tail`: which events of a store are printed, and how."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from tests.support.clock import ManualClock
from tests.support.events import balance_set, filled, order_changed
from tests.support.records import record
from userstream.adapters.sqlite import SqliteStore
from userstream.entry.cli import run_command
from userstream.ports import Record

Capture = pytest.CaptureFixture[str]
RECORDS = (
    record(order_changed(client_order_id="mine"), filled(trade_id="71"), sequence=1),
    record(balance_set(account="bob"), account="bob", sequence=1),
    record(filled(trade_id="72"), sequence=3),
)


def make_store(path: Path, *records: Record) -> Path:
    async def write() -> None:
        async with await SqliteStore.open(path, ManualClock()) as store:
            for one in records:
                store.append(one)
                await store.flush()

    asyncio.run(write())
    return path


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return make_store(tmp_path / "a.db", *RECORDS)


@pytest.mark.parametrize(
    ("words", "kinds"),
    [
        ([], ["order_changed", "filled", "balance_set", "filled"]),
        (["--account", "alice"], ["order_changed", "filled", "filled"]),
        (["--kind", "filled"], ["filled", "filled"]),
        (["--kind", "filled", "--kind", "balance_set"], ["filled", "balance_set", "filled"]),
        (["--account", "alice", "--after", "2"], ["filled"]),
        (["--account", "alice", "--after", "0"], ["order_changed", "filled", "filled"]),
        (["--last", "2"], ["balance_set", "filled"]),
        (["--last", "0"], []),
        (["--last", "99"], ["order_changed", "filled", "balance_set", "filled"]),
    ],
)
def test_what_is_asked_is_printed_oldest_first(store: Path, capsys: Capture, words: list[str], kinds: list[str]) -> None:
    assert run_command(["tail", str(store), "--json", *words]) == 0
    assert [json.loads(line)["kind"] for line in capsys.readouterr().out.splitlines()] == kinds


def test_lines_for_people_leave_out_what_is_not_known(store: Path, capsys: Capture) -> None:
    assert run_command(["tail", str(store), "--kind", "order_changed"]) == 0
    [line] = capsys.readouterr().out.splitlines()
    assert line.split()[:5] == ["1", "2025-10-09", "08:53:20.002", "alice", "order_changed"]
    assert "client_order_id=mine" in line
    assert "None" not in line
    assert "trade_id" not in line


def test_what_the_venue_wrote_commands_no_terminal_and_makes_no_line_of_its_own(tmp_path: Path, capsys: Capture) -> None:
    store = make_store(tmp_path / "a.db", record(order_changed(client_order_id="x\x1b[2J\r\n\x9b31mfake"), sequence=1))
    assert run_command(["tail", str(store)]) == 0
    [line] = capsys.readouterr().out.removesuffix("\n").split("\n")
    assert "client_order_id=x\ufffd[2J\ufffd\ufffd\ufffd31mfake" in line
    assert run_command(["tail", str(store), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["client_order_id"] == "x\x1b[2J\r\n\x9b31mfake"


def test_small_amounts_are_printed_as_the_venue_sent_them(tmp_path: Path, capsys: Capture) -> None:
    store = make_store(tmp_path / "a.db", record(filled(fee="-0.00000050", realized_pnl="0.00000000"), sequence=1))
    assert run_command(["tail", str(store)]) == 0
    assert " fee=-0.00000050 " in capsys.readouterr().out
    assert run_command(["tail", str(store), "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert (printed["fee"], printed["realized_pnl"]) == ("-0.00000050", "0.00000000")


def test_an_empty_store_prints_nothing(tmp_path: Path, capsys: Capture) -> None:
    assert run_command(["tail", str(make_store(tmp_path / "empty.db"))]) == 0
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--kind", "fild"], "did you mean 'filled'"),
        (["--last", "many"], "--last"),
        (["--last", "-1"], "--last"),
        (["--account", "nobody"], "no account 'nobody'; the store has alice, bob"),
        (["--after", "2"], "--after 2 counts the events of one account, and the store has alice, bob: name one with --account"),
        (["--after", "-1", "--account", "alice"], "--after -1 must be 0 or above"),
    ],
)
def test_mistakes_are_told(store: Path, capsys: Capture, words: list[str], told: str) -> None:
    assert run_command(["tail", str(store), *words]) == 2
    assert told in capsys.readouterr().err


def test_an_empty_store_has_nothing_after_any_place(tmp_path: Path, capsys: Capture) -> None:
    assert run_command(["tail", str(make_store(tmp_path / "empty.db")), "--after", "2"]) == 0
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("after", ["4", "99"])
def test_a_place_beyond_the_newest_is_told(store: Path, capsys: Capture, after: str) -> None:
    assert run_command(["tail", str(store), "--account", "alice", "--after", after]) == 0
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err == f"userstream: there is nothing after {after} yet: the newest event of alice has the sequence 3\n"


def test_a_place_before_the_newest_needs_no_words(store: Path, capsys: Capture) -> None:
    assert run_command(["tail", str(store), "--account", "alice", "--after", "2"]) == 0
    told = capsys.readouterr()
    assert (len(told.out.splitlines()), told.err) == (1, "")


def test_where_there_is_one_account_after_needs_no_name(tmp_path: Path, capsys: Capture) -> None:
    store = make_store(tmp_path / "one.db", *(each for each in RECORDS if each.account == "alice"))
    assert run_command(["tail", str(store), "--json", "--after", "2"]) == 0
    assert [json.loads(line)["trade_id"] for line in capsys.readouterr().out.splitlines()] == ["72"]
