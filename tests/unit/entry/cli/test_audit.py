"""`userstream audit`: the certificate for people and programs, and its exit codes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import msgspec
import pytest

from tests.support.clock import ManualClock
from tests.support.events import A_TIME, filled, gap_opened, gap_repaired, mismatch, order_changed, snapshot_taken, stream_changed
from tests.support.records import record
from userstream.adapters.sqlite import SqliteStore
from userstream.domain.events import Event
from userstream.entry.cli import run_command
from userstream.kernel.ids import VenueName
from userstream.runtime.pump import Pump

Capture = pytest.CaptureFixture[str]
Make: TypeAlias = Callable[..., Path]

MINUTE = 60_000
BEGUN = stream_changed(state="live", event_time=A_TIME)
PROOF = snapshot_taken(started_time=A_TIME + MINUTE, proven_until=A_TIME + MINUTE)
TRADE = (order_changed(filled_quantity="0.100", transaction_time=A_TIME + 500), filled(transaction_time=A_TIME + 500))
GAP = gap_opened(since=A_TIME + MINUTE)
REPAIR = gap_repaired(since=A_TIME + MINUTE, until=A_TIME + 2 * MINUTE)
STOP = stream_changed(state="stopped", event_time=A_TIME + 3 * MINUTE)


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Makes a store of one account that told this."""

    def make(*events: Event) -> Path:
        asyncio.run(write(tmp_path / "a.db", events))
        return tmp_path / "a.db"

    return make


async def write(path: Path, events: tuple[Event, ...]) -> None:
    clock = ManualClock()
    async with await SqliteStore.open(path, clock) as store:
        pump = Pump(store, store, "tables", clock=clock)
        pump.start()
        if events:
            store.append(record(*events, received_time=A_TIME + 3 * MINUTE))
        await store.flush()
        await pump.drain()
        await pump.stop()


def asked(capsys: Capture, store: Path, *words: str) -> tuple[int, Any]:
    code = run_command(["audit", "alice", "--store", str(store), "--json", *words])
    [line] = capsys.readouterr().out.splitlines()
    return code, json.loads(line)


def refused(capsys: Capture, *words: str) -> str:
    assert run_command(["audit", *words]) == 2
    told = capsys.readouterr()
    [line] = [line for line in told.err.splitlines() if not line.startswith("Try:")]
    assert told.out == ""
    return line


def test_a_whole_certificate_exits_with_0(make: Make, capsys: Capture) -> None:
    code, form = asked(capsys, make(BEGUN, *TRADE, PROOF, STOP))
    assert (code, form["is_whole"], form["nothing_to_prove"], form["is_growing"]) == (0, True, False, False)
    assert [(interval["state"], interval["fills"]) for interval in form["intervals"]] == [("PROVEN", {"stream": 1}), ("STREAM_ONLY", {})]
    assert (form["complete_since"], form["proven_until"]) == (A_TIME, A_TIME + MINUTE)


@pytest.mark.parametrize(
    ("events", "code"),
    [((BEGUN, PROOF, GAP), 1), ((BEGUN, PROOF, GAP, REPAIR), 0), ((BEGUN, PROOF, mismatch()), 1), ((BEGUN, TRADE[0]), 1)],
)
def test_holes_and_mismatches_exit_with_1(make: Make, capsys: Capture, events: tuple[Event, ...], code: int) -> None:
    assert asked(capsys, make(*events))[0] == code


def test_only_the_asked_interval_counts(make: Make, capsys: Capture) -> None:
    store = make(BEGUN, PROOF, GAP)
    assert asked(capsys, store, "--until", str(A_TIME + MINUTE))[0] == 0
    assert asked(capsys, store, "--from", str(A_TIME + 59_999))[0] == 1
    code, form = asked(capsys, store, "--from", "2025-10-09T08:53:30Z", "--until", "2025-10-09T10:54:00+02:00")
    assert (code, form["since"], form["until"]) == (0, A_TIME + 10_000, A_TIME + 40_000)
    assert asked(capsys, store, "--from", "2025-10-09 08:53:30", "--until", "2025-10-09T08:54")[1]["intervals"] == form["intervals"]
    assert asked(capsys, store, "--from", "0", "--until", "2025-10-09")[1]["holes"][0]["state"] == "UNKNOWN"


def test_people_get_a_table_and_a_verdict(make: Make, capsys: Capture) -> None:
    store = make(BEGUN, *TRADE, PROOF, STOP)
    assert run_command(["audit", "alice", "--store", str(store)]) == 0
    told = capsys.readouterr().out
    assert all(word in told for word in ("2025-10-09 08:53:20.000", "PROVEN", "1 (stream 1)", "WHOLE: every fill from", "UTC"))
    assert run_command(["audit", "alice", "--store", str(store), "--from", "1", "--until", "2"]) == 1
    assert "NOT WHOLE: 1 hole, 0 open mismatches" in capsys.readouterr().out


def test_people_are_told_what_does_not_add_up(make: Make, capsys: Capture) -> None:
    placed = order_changed(transaction_time=A_TIME + 400)
    assert run_command(["audit", "alice", "--store", str(make(BEGUN, placed, TRADE[0], PROOF, STOP))]) == 1
    told = capsys.readouterr().out
    cause = "since 2025-10-09 08:53:20.400, found by the order's own filled quantity"
    assert f"order BTCUSDT.8886774: ours fills of 0, theirs 0.100, {cause}" in told


def test_the_streams_word_alone_is_called_so(make: Make, capsys: Capture) -> None:
    assert run_command(["audit", "alice", "--store", str(make(BEGUN, STOP))]) == 0
    *_, verdict, why = capsys.readouterr().out.splitlines()
    assert "nothing is proven yet" in verdict
    assert why == "STREAM_ONLY: the venue's history was not read to the end yet; that takes some seconds, and the account's secret"


def test_people_are_told_what_becomes_of_a_gap_at_the_end(make: Make, capsys: Capture) -> None:
    assert run_command(["audit", "alice", "--store", str(make(BEGUN, PROOF, GAP, STOP))]) == 1
    *_, verdict, why = capsys.readouterr().out.splitlines()
    assert verdict.startswith("NOT WHOLE: 1 hole, ")
    assert why.startswith("KNOWN_GAP at the end: the account stopped before")


@pytest.mark.parametrize(
    ("words", "last"),
    [
        ((), "STREAM_ONLY at the end: the account stopped before the venue's history was read again; the next start reads it"),
        (("--until", str(A_TIME + MINUTE)), "WHOLE: every fill from 2025-10-09 08:53:20.000 to 2025-10-09 08:54:20.000 is in"),
    ],
)
def test_people_are_told_why_the_end_is_not_proven(make: Make, capsys: Capture, words: tuple[str, ...], last: str) -> None:
    assert run_command(["audit", "alice", "--store", str(make(BEGUN, *TRADE, PROOF, STOP)), *words]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == last


def test_a_wrong_name_is_told_with_the_known_ones(make: Make, tmp_path: Path, capsys: Capture) -> None:
    store = str(make(BEGUN))
    told = refused(capsys, "alise", "--store", store)
    assert "there is no account 'alise'" in told and "did you mean 'alice'?" in told and "known: alice" in told
    assert refused(capsys, "zed", "--store", store).count("known: alice") == 1
    assert "there is no store" in refused(capsys, "alice", "--store", str(tmp_path / "absent.db"))


def test_an_empty_store_knows_nobody(make: Make, capsys: Capture) -> None:
    assert "it knows none yet" in refused(capsys, "alice", "--store", str(make()))


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--from", "yesterday"), "is no time: write 2026-01-31"),
        (("--until", "1760000000"), "are no milliseconds"),
        (("--from", "20260131"), "are no milliseconds"),
        (("--until", "9999-12-31"), "lies in the future"),
        (("--from", "2025-10-09", "--until", "2025-10-08"), "must end after it begins"),
        (("--from", "99999999999999999999"), "lies in the future"),
        (("--from", "0001-01-01", "--until", "0001-01-01"), "must end after it begins"),
    ],
)
def test_wrong_times_are_told_in_one_line(make: Make, capsys: Capture, words: tuple[str, ...], told: str) -> None:
    assert told in refused(capsys, "alice", "--store", str(make(BEGUN, PROOF)), *words)


def test_help_shows_an_example(capsys: Capture) -> None:
    assert run_command(["audit", "--help"]) == 0
    told = capsys.readouterr().out
    assert "Example: userstream audit alice" in " ".join(told.replace("`", "").split())
    assert all(option in told for option in ("--store", "--from", "--until", "--json"))


def test_what_the_venue_wrote_commands_no_terminal(make: Make, capsys: Capture) -> None:
    store = make(BEGUN, PROOF, mismatch(key="X\x1b[2J:bomb:"))
    assert run_command(["audit", "alice", "--store", str(store)]) == 1
    printed = capsys.readouterr().out
    assert "\x1b" not in printed
    assert "X\ufffd[2J:bomb:" in printed


@pytest.mark.parametrize("proof", [(), (msgspec.structs.replace(PROOF, venue=VenueName("binance-margin-risk")),)])
def test_a_feed_without_fills_is_not_called_whole(make: Make, capsys: Capture, proof: tuple[Event, ...]) -> None:
    begun = msgspec.structs.replace(BEGUN, venue=VenueName("binance-margin-risk"))
    store = make(begun, *proof, msgspec.structs.replace(STOP, venue=VenueName("binance-margin-risk")))
    assert run_command(["audit", "alice", "--store", str(store)]) == 0
    told = capsys.readouterr().out
    assert (
        "WHOLE" not in told and "nothing to prove: no fills are read at binance-margin-risk" in told and "at binance-margin: audit" in told
    )
    assert "next reading" not in told and "next start" not in told
    assert asked(capsys, store)[1]["nothing_to_prove"] is True


def test_time_in_which_a_feed_without_fills_was_not_there_is_no_hole(make: Make, capsys: Capture) -> None:
    venue = VenueName("binance-margin-risk")
    store = make(msgspec.structs.replace(BEGUN, venue=venue), msgspec.structs.replace(PROOF, venue=venue))
    for words in (("--from", "2020-01-01"), ("--from", "2020-01-01", "--until", "2020-01-02")):
        assert run_command(["audit", "alice", "--store", str(store), *words]) == 0
        assert "nothing to prove" in capsys.readouterr().out
        code, form = asked(capsys, store, *words)
        assert (code, form["is_whole"], form["holes"], form["nothing_to_prove"]) == (0, True, [], True)


def test_what_is_no_store_is_no_hole(tmp_path: Path, capsys: Capture) -> None:
    (tmp_path / "us.toml").write_text("[store]\n" * 500)
    assert run_command(["audit", "alice", "--store", str(tmp_path / "us.toml")]) == 2
    assert "is not a database: choose another path" in capsys.readouterr().err


def test_a_feed_without_fills_may_have_holes(make: Make, capsys: Capture) -> None:
    store = make(msgspec.structs.replace(BEGUN, venue=VenueName("binance-margin-risk")), PROOF, GAP)
    assert run_command(["audit", "alice", "--store", str(store)]) == 1
    assert "NOT WHOLE: 1 hole" in capsys.readouterr().out
