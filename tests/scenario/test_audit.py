"""The certificate of a real store, read by the real command: while it is written, with a gap open, repaired, and with a row gone."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.scenario.test_commands import Outcome, call
from tests.support.desk import NAME, Desk, open_desk


async def audit(path: Path, *words: str) -> tuple[int, Any]:
    outcome = await call("audit", NAME, "--store", str(path), "--json", *words)
    assert outcome.code in (0, 1), outcome.err
    [form] = outcome.lines
    return outcome.code, form


async def audit_text(path: Path, *words: str) -> Outcome:
    return await call("audit", NAME, "--store", str(path), *words)


def fills_of(form: Any) -> Counter[str]:
    counts: Counter[str] = Counter()
    for interval in form["intervals"]:
        counts.update(interval["fills"])
    return counts


def health_of(desk: Desk) -> tuple[bool, int | None]:
    return desk.account.health.is_healthy, desk.account.complete_since


def seamless(form: Any) -> bool:
    intervals = form["intervals"]
    edges = [form["since"], *(interval["since"] for interval in intervals[1:]), form["until"]]
    return edges == [intervals[0]["since"], *(interval["until"] for interval in intervals)]


async def trade_for_a_while(desk: Desk, times: int = 6) -> None:
    for place in range(times):
        desk.trade(side="buy" if place % 3 else "sell")
        await desk.application.clock.sleep(40)
    await desk.until_same()


async def proven(desk: Desk) -> None:
    """Until history was read once more, after all that was traded."""
    before = desk.kinds()["snapshot_taken"]
    desk.act("cut")
    await desk.until(lambda: desk.account.health.reconnects > 0 and desk.kinds()["snapshot_taken"] > before + 1, "another reading")
    await desk.until_same()


@contextmanager
def by_hand(path: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(path)) as connection, connection:
        yield connection


async def test_a_running_account_is_whole_and_grows(tmp_path: Path) -> None:
    path = tmp_path / "desk.db"
    async with open_desk(store=path) as desk:
        await trade_for_a_while(desk)
        code, form = await audit(path)
        assert (code, form["is_growing"], form["mismatches"], seamless(form)) == (0, True, [], True)
        assert form["intervals"][-1]["state"] == "STREAM_ONLY"
        assert sum(fills_of(form).values()) == len(desk.truth()["fills"])
        own = await desk.account.certificate()
        assert own.is_whole
        assert (own.since, own.complete_since) == (form["since"], form["complete_since"])
    code, form = await audit(path)
    assert (code, form["is_growing"]) == (0, False)


async def test_a_gap_is_a_hole_until_it_is_repaired(tmp_path: Path) -> None:
    path = tmp_path / "desk.db"
    async with open_desk(store=path) as desk:
        await trade_for_a_while(desk, 2)
        desk.act("answer", path="/fapi/v1/", status=503, count=100_000)
        desk.act("cut")
        await desk.until(lambda: desk.account.health.gap_since is not None, "a gap")
        desk.trade()
        assert health_of(desk) == (False, None)
        code, form = await audit(path)
        assert (code, form["holes"][-1]["state"], form["holes"][-1]["until"]) == (1, "KNOWN_GAP", form["until"])
        opened = form["holes"][-1]["since"]
        assert (await audit(path, "--until", str(opened)))[0] == 0
        assert "NOT WHOLE: 1 hole, 0 open mismatches" in (await audit_text(path)).out
        assert not (await desk.account.certificate()).is_whole
        desk.act("clear")
        await desk.until_same()
        healthy, complete_since = health_of(desk)
        assert healthy and complete_since is not None and complete_since < opened
        own = await desk.account.certificate()
        assert own.is_whole
    code, form = await audit(path)
    assert code == 0
    [repaired] = [interval for interval in form["intervals"] if interval["state"] == "REPAIRED" and interval["since"] == opened]
    assert repaired["fills"]["snapshot"] >= 1
    assert sum(fills_of(form).values()) == len(desk.truth()["fills"])


@pytest.mark.parametrize("remembers", [True, False], ids=["journal", "arithmetic alone"])
async def test_a_row_that_was_deleted_by_hand_is_found(tmp_path: Path, remembers: bool) -> None:
    path = tmp_path / "desk.db"
    async with open_desk(store=path) as desk:
        await trade_for_a_while(desk)
        await proven(desk)
    assert (await audit(path))[0] == 0
    with by_hand(path) as connection:
        # not in its leg's first millisecond: there nobody can say which fills the first amount includes
        earlier = "SELECT 1 FROM fills AS early WHERE early.symbol = fills.symbol AND early.transaction_time < fills.transaction_time"
        row = f"SELECT rowid, symbol, trade_id, order_id, transaction_time FROM fills WHERE EXISTS ({earlier}) ORDER BY rowid LIMIT 1"
        [rowid, symbol, trade_id, order_id, when] = connection.execute(row).fetchone()
        connection.execute("DELETE FROM fills WHERE rowid = ?", (rowid,))
        if not remembers:
            connection.execute("DELETE FROM journal WHERE position < (SELECT max(position) FROM journal)")
    code, form = await audit(path)
    assert code == 1
    assert ("order", f"{symbol}.{order_id}") in {(found["subject"], found["key"]) for found in form["mismatches"]}
    [state] = [interval["state"] for interval in form["intervals"] if interval["since"] <= when < interval["until"]]
    assert state == "KNOWN_GAP"
    if remembers:
        assert ("fill", f"{symbol}.{trade_id}.{order_id}") in {(found["subject"], found["key"]) for found in form["mismatches"]}
        assert "position" in {found["subject"] for found in form["mismatches"]}
    assert f"{symbol}.{order_id}" in (await audit_text(path)).out


async def test_time_before_and_after_the_account_ran_is_a_hole(tmp_path: Path) -> None:
    path = tmp_path / "desk.db"
    async with open_desk(store=path) as desk:
        await trade_for_a_while(desk, 1)
    _, form = await audit(path)
    assert (await audit(path, "--from", str(form["since"] - 1_000)))[1]["holes"] == [
        {"since": form["since"] - 1_000, "until": form["since"], "state": "UNKNOWN", "fills": {}}
    ]
    assert (await audit(path, "--from", str(form["since"]), "--until", str(form["until"] + 1)))[0] == 1
    refused = await call("audit", "nobody", "--store", str(path))
    assert (refused.code, refused.err.count("\n"), NAME in refused.err) == (2, 1, True)
