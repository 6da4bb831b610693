"""`userstream chaos`: mistakes are one line, the table has a row for each run and a total, the exit code is our own zeros."""

from __future__ import annotations

import io
import json

import msgspec
import pytest
from rich.console import Console

from userstream.entry.chaos.clients import CLIENTS, Found
from userstream.entry.chaos.products import PRODUCTS, SPOT, USDM
from userstream.entry.chaos.scoreboard import Score
from userstream.entry.chaos.scripts import script_names
from userstream.entry.cli import run_command
from userstream.entry.cli.chaos import COLUMNS, _exit_code, _report, make_table

OURS, CCXT, ABSENT = (
    Found(client=client, version=version, python="python") for client, version in zip(CLIENTS, ("1.0", "4.5", None), strict=False)
)
GOOD = Score(client="userstream", script="cut", fills=8, stale_ms=120)
BAD = Score(client="ccxt", script="cut", fills=8, lost=2, wrong=3, stale_ms=300, recovered=False)
UNTRIED = Score(client="ccxt", script="burst", is_judged=False, recovered=False, note="did not begin")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--against", "cctx"], "did you mean 'ccxt'"),
        (["--script", "cutt"], "did you mean 'cut'"),
        (["--venue", "binance-spt"], "did you mean 'binance-spot'"),
        (["--seeds", "0"], "--seeds 0"),
        (["--seeds", "many"], "seeds"),
        (["--python", "/no/such/python"], "/no/such/python"),
        (["--nonsense"], "nonsense"),
    ],
)
def test_mistakes_are_one_line(capsys: pytest.CaptureFixture[str], words: list[str], told: str) -> None:
    assert run_command(["chaos", *words]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("userstream: ")
    assert told in captured.err


def test_the_list_names_every_script_and_every_client(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["chaos", "--list", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert {venue: set(names) for venue, names in listed["scripts"].items()} == {venue: set(script_names(venue)) for venue in PRODUCTS}
    assert set(listed["clients"]) == {client.name for client in CLIENTS}
    assert run_command(["chaos", "--list", "--script", "cut"]) == 0
    told = capsys.readouterr().out
    assert [line.split()[:2] for line in told.splitlines()[:3]] == [[venue, "cut"] for venue in PRODUCTS]
    assert "burst" not in told


def test_the_table_has_a_row_for_each_run_and_a_total_for_each_client() -> None:
    seeded = msgspec.structs.replace(GOOD, seed=2, stale_ms=700)
    console = Console(width=120, record=True, file=io.StringIO())
    elsewhere = msgspec.structs.replace(GOOD, venue=SPOT.venue)
    console.print(make_table((OURS, CCXT, ABSENT), [GOOD, seeded, elsewhere, BAD, UNTRIED], USDM))
    told = console.export_text()
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in told.splitlines() if line.startswith("│")]
    assert rows == [
        ["userstream", "cut", "8", "0", "0", "0", "0", "0.12 s", "yes"],
        ["userstream", "cut #2", "8", "0", "0", "0", "0", "0.70 s", "yes"],
        ["userstream", "all, 1.0", "16", "0", "0", "0", "0", "0.70 s", "yes"],
        ["ccxt", "cut", "8", "2", "0", "0", "3", "0.30 s or never", "no"],
        ["ccxt", "burst", *("-" * (len(COLUMNS) - 2))],
        ["ccxt", "all, 4.5", "8", "2", "0", "0", "3", "0.30 s or never", "no"],
    ]


def test_the_exit_code_is_that_of_our_own_client_and_of_what_was_asked_for() -> None:
    assert _exit_code((OURS, CCXT), [GOOD, BAD], asked=True) == 0
    assert _exit_code((OURS, CCXT), [GOOD], asked=False) == 0
    assert _exit_code((OURS, CCXT), [GOOD], asked=True) == 1, "it was asked for, and run on nothing"
    assert _exit_code((OURS,), [GOOD, msgspec.structs.replace(GOOD, lost=1)], asked=True) == 1
    assert _exit_code((OURS,), [msgspec.structs.replace(UNTRIED, client="userstream")], asked=True) == 1
    assert _exit_code((OURS, ABSENT), [GOOD], asked=False) == 0
    assert _exit_code((OURS, ABSENT), [GOOD], asked=True) == 1


def test_the_report_counts_only_what_is_installed() -> None:
    report = json.loads(msgspec.json.encode(_report((USDM,), (OURS, CCXT, ABSENT), [GOOD, BAD, UNTRIED])))
    assert report["not_installed"] == [ABSENT.client.name]
    assert [(each["client"], each["total"]["lost"]) for each in report["clients"]] == [("userstream", 0), ("ccxt", 2)]
    assert len(report["runs"]) == 3
    assert report["not_run"] == []


def test_a_client_that_cannot_be_run_on_a_product_is_named_with_its_reason() -> None:
    unicorn = next(client for client in CLIENTS if client.name == "unicorn")
    found = (OURS, Found(client=unicorn, version="2", python="python"))
    report = json.loads(msgspec.json.encode(_report((SPOT,), found, [msgspec.structs.replace(GOOD, venue=SPOT.venue)])))
    assert report["not_run"] == [{"venue": SPOT.venue, "client": "unicorn", "reason": unicorn.elsewhere}]
    assert [(each["venue"], each["client"]) for each in report["clients"]] == [(SPOT.venue, "userstream")]
    report = json.loads(msgspec.json.encode(_report((SPOT,), found[1:], [])))
    assert [row["client"] for row in report["not_run"]] == ["unicorn"], "also when nothing was played"
