"""A process that appends is killed without warning, again and again: what it called committed is there, once, and the tables agree."""

from __future__ import annotations

import asyncio
import random
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from tests.support.child_store import ACCOUNTS, story
from tests.support.clock import ManualClock
from userstream.adapters.memory import MemoryProjection
from userstream.adapters.sequences import last_of
from userstream.adapters.sqlite import SqliteStore, open_reader
from userstream.kernel.ids import AccountId
from userstream.ports import Record, StoredRecord

ROOT: Final = Path(__file__).parents[2]
KILLS: Final = 12
MADE: Final = ("orders", "fills", "positions", "balances", "movements", "margin_calls", "account_events", "coverage")


def run_and_kill(path: Path, lines: int) -> dict[str, int]:
    """Lets the child report so many committed records, kills it, and returns the highest sequence it reported for each account."""
    command = [sys.executable, "-m", "tests.support.child_store", "append", str(path)]
    reported: dict[str, int] = {}
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        try:
            for _ in range(lines):
                note(reported, child.stdout.readline())
        finally:
            child.kill()  # also where the test's time is up: else nobody would ever end it
        for line in child.stdout:
            note(reported, line)
    return reported


def note(reported: dict[str, int], line: str) -> None:
    # The kill may cut the last line short: half a line reports nothing.
    if line.endswith("\n"):
        account, sequence = line.split()
        reported[account] = max(reported.get(account, 0), int(sequence))


async def read_all(path: Path) -> list[StoredRecord]:
    found: list[StoredRecord] = []
    async with open_reader(path) as reader:
        while part := await reader.read(after=found[-1].position if found else 0, limit=5_000):
            found += part
    return found


def check_journal(records: list[Record], reported: dict[str, int]) -> None:
    for account in ACCOUNTS:
        told = [one for one in records if one.account == account]
        assert [one.sequence for one in told] == list(range(1, 2 * len(told), 2))
        assert told == [story(account, one.sequence) for one in told]
        assert last_of(told[-1]) >= reported.get(account, 0)


async def check_tables(path: Path, records: list[StoredRecord]) -> None:
    """The tables as the child left them, brought up to date, are those of the whole journal."""
    async with await SqliteStore.open(path, ManualClock()) as store:
        assert await store.position("tables") <= records[-1].position
        await store.apply("tables", records)
        whole = MemoryProjection()
        await whole.apply("tables", records)
        for table in MADE:
            assert await store.rows(table, limit=1_000_000) == await whole.rows(table, limit=1_000_000)
        assert [await store.last_sequence(AccountId(account)) for account in ACCOUNTS] == [
            max(last_of(stored.record) for stored in records if stored.record.account == account) for account in ACCOUNTS
        ]


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_nothing_that_was_called_committed_is_lost_or_doubled(tmp_path: Path, chance: random.Random) -> None:
    path = tmp_path / "a.db"
    highest: dict[str, int] = {}
    records: list[StoredRecord] = []
    for _ in range(KILLS):
        reported = run_and_kill(path, chance.randrange(1, 1_500))
        highest = {account: max(highest.get(account, 0), reported.get(account, 0)) for account in ACCOUNTS}
        records = asyncio.run(read_all(path))
        check_journal([stored.record for stored in records], highest)
    asyncio.run(check_tables(path, records))
