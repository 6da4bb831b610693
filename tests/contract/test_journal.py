"""What every journal promises: the same suite over all of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, Protocol

import pytest
from hypothesis import given, settings

from tests.support.clock import ManualClock
from tests.support.events import balance_set, filled, order_changed, stream_changed
from tests.support.records import cut_histories, record, row_of_records
from userstream.adapters.memory import MemoryJournal
from userstream.adapters.sequences import last_of
from userstream.adapters.sqlite import SqliteStore
from userstream.kernel.errors import StoreError
from userstream.kernel.ids import AccountId
from userstream.ports import Committed, Journal, Record, StoredRecord

ALICE: Final = AccountId("alice")
BOB: Final = AccountId("bob")


class PlacedJournal(Journal, Protocol):
    def watch_stored(self, callback: Callable[[Sequence[StoredRecord]], None]) -> None: ...


async def make_memory(folder: Path) -> PlacedJournal:
    return MemoryJournal()


async def make_sqlite(folder: Path) -> PlacedJournal:
    return await SqliteStore.open(folder / "journal.db", ManualClock())


MAKERS: Final = {"memory": make_memory, "sqlite": make_sqlite}
Maker = Callable[[Path], Awaitable[PlacedJournal]]


@pytest.fixture(params=list(MAKERS.values()), ids=list(MAKERS))
async def journal(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[PlacedJournal]:
    made: PlacedJournal = await request.param(tmp_path)
    yield made
    await made.close()


async def append_all(journal: Journal, records: Sequence[Record]) -> None:
    for one in records:
        journal.append(one)
    await journal.flush()


async def read_all(journal: PlacedJournal, limit: int = 1_000) -> list[StoredRecord]:
    found: list[StoredRecord] = []
    while part := await journal.read(after=found[-1].position if found else 0, limit=limit):
        assert len(part) <= limit
        found += part
    return found


async def test_what_was_appended_is_read_back_whole(journal: PlacedJournal) -> None:
    written = [
        record(order_changed(price="0.00000000"), filled(fee=None), sequence=1, frame=b'{"e":"ORDER_TRADE_UPDATE"}'),
        record(sequence=3, frame=b"\x00not text\xff"),
        record(stream_changed(), sequence=9, frame=b""),
    ]
    await append_all(journal, written)
    found = [stored.record for stored in await journal.read(after=0, limit=10)]
    assert found == written
    assert [event.sequence for one in found for event in one.events] == [1, 2, 9]
    assert [event.raw() for one in found for event in one.events] == [b'{"e":"ORDER_TRADE_UPDATE"}'] * 2 + [None]
    assert str(found[0].events[0].price) == "0E-8"  # type: ignore[union-attr]


async def test_nothing_waits_after_flush_and_the_last_sequence_is_known(journal: PlacedJournal) -> None:
    assert (journal.backlog, await journal.last_sequence(ALICE)) == (0, 0)
    journal.append(record(order_changed(), filled(), sequence=5))
    assert journal.backlog == 1
    await journal.flush()
    assert (journal.backlog, await journal.last_sequence(ALICE), await journal.last_sequence(BOB)) == (0, 6, 0)


async def test_flush_of_nothing_returns(journal: PlacedJournal) -> None:
    await journal.flush()
    assert (journal.backlog, await journal.last_sequence(ALICE)) == (0, 0)


@pytest.mark.parametrize("sequence", [0, 4, 5, 6])
async def test_a_sequence_that_is_not_above_the_last_is_refused_aloud(journal: PlacedJournal, sequence: int) -> None:
    first = record(order_changed(), filled(), sequence=5)
    await append_all(journal, [first])
    with pytest.raises(StoreError, match=f"alice: sequence {sequence} is not above 6"):
        journal.append(record(balance_set(), sequence=sequence))
    await append_all(journal, [record(balance_set(), account="bob", sequence=1), record(balance_set(), sequence=7)])
    assert [(stored.record.account, stored.record.sequence) for stored in await read_all(journal)] == [
        ("alice", 5),
        ("bob", 1),
        ("alice", 7),
    ]


async def test_the_same_record_twice_is_written_once(journal: PlacedJournal) -> None:
    one = record(filled())
    journal.append(one)
    with pytest.raises(StoreError):
        journal.append(one)
    await journal.flush()
    assert len(await read_all(journal)) == 1


async def test_watchers_hear_each_record_once_and_in_order(journal: PlacedJournal) -> None:
    heard: list[Record] = []
    placed: list[StoredRecord] = []
    journal.watch(heard.extend)
    journal.watch_stored(placed.extend)
    written = [one for pair in zip(row_of_records(40), row_of_records(40, account="bob"), strict=True) for one in pair]
    for one in written:
        journal.append(one)
        if one.sequence % 7 == 0:
            await journal.flush()
    await journal.flush()
    assert heard == written
    assert placed == await read_all(journal)


async def test_who_wants_to_know_how_much_hears_of_each_commit(journal: PlacedJournal) -> None:
    told: list[Committed] = []
    journal.watch_commits(told.extend)
    for account in ("alice", "bob"):
        await append_all(journal, row_of_records(40, account=account))
    for account in ("alice", "bob"):
        own = [commit for commit in told if commit.account == account]
        assert sum(commit.records for commit in own) == 40
        assert {commit.first_received for commit in own} <= {one.received_time for one in row_of_records(40)}


async def test_who_begins_to_watch_hears_what_is_committed_from_then_on(journal: PlacedJournal) -> None:
    heard: list[Record] = []
    for one in row_of_records(3):
        journal.append(one)
    journal.watch(heard.extend)
    await journal.flush()
    assert heard == row_of_records(3)


async def test_a_watcher_that_fails_keeps_nobody_else_from_hearing(journal: PlacedJournal) -> None:
    complaints: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context["exception"]))
    heard: list[Record] = []

    def fail(records: Sequence[Record]) -> None:
        raise ValueError("a mistake of the user")

    journal.watch(fail)
    journal.watch(heard.extend)
    await append_all(journal, row_of_records(1))
    assert (len(heard), [str(complaint) for complaint in complaints]) == (1, ["a mistake of the user"])


async def test_a_reader_can_stop_anywhere_and_go_on(journal: PlacedJournal) -> None:
    await append_all(journal, row_of_records(10) + row_of_records(10, account="bob"))
    whole = await journal.read(after=0, limit=100)
    assert len(whole) == 20
    for limit in (1, 3, 7):
        assert await read_all(journal, limit) == whole
    for place, stored in enumerate(whole, 1):
        assert await journal.read(after=stored.position, limit=100) == whole[place:]


async def test_an_account_is_read_on_its_own(journal: PlacedJournal) -> None:
    alice = [record(filled(), filled(trade_id="2"), sequence=sequence) for sequence in (1, 3, 5, 7)]
    await append_all(journal, [alice[0], *row_of_records(3, account="bob"), *alice[1:3]])
    await append_all(journal, alice[3:])
    assert await journal.read_account(ALICE, after=0, limit=100) == alice
    assert await journal.read_account(ALICE, after=0, limit=2) == alice[:2]
    assert await journal.read_account(ALICE, after=3, limit=100) == alice[1:]
    assert await journal.read_account(ALICE, after=4, limit=100) == alice[2:]
    assert await journal.read_account(ALICE, after=8, limit=100) == []
    assert await journal.read_account(AccountId("nobody"), after=0, limit=100) == []


async def test_the_newest_checkpoint_counts(journal: PlacedJournal) -> None:
    assert await journal.load_checkpoint(ALICE) == (0, ())
    await append_all(journal, row_of_records(30))
    await journal.save_checkpoint(ALICE, 20, [balance_set(total="5"), order_changed()])
    await journal.save_checkpoint(ALICE, 10, [balance_set(total="4")])
    assert await journal.load_checkpoint(ALICE) == (20, (balance_set(total="5"), order_changed()))
    await journal.save_checkpoint(ALICE, 30, [])
    assert await journal.load_checkpoint(ALICE) == (30, ())
    assert await journal.load_checkpoint(BOB) == (0, ())


async def test_a_sequence_that_only_a_checkpoint_knows_is_not_given_again(journal: PlacedJournal) -> None:
    await journal.save_checkpoint(ALICE, 50, [balance_set()])
    assert await journal.last_sequence(ALICE) == 50
    with pytest.raises(StoreError):
        journal.append(record(filled(), sequence=50))


@pytest.mark.parametrize("make", list(MAKERS.values()), ids=list(MAKERS))
async def test_close_commits_what_it_holds_and_then_takes_no_more(make: Maker, tmp_path: Path) -> None:
    journal = await make(tmp_path)
    heard: list[Record] = []
    journal.watch(heard.extend)
    for one in row_of_records(5):
        journal.append(one)
    await journal.close()
    await journal.close()
    assert len(heard) == 5
    with pytest.raises(StoreError, match="closed"):
        journal.append(record(filled(), sequence=6))


@pytest.mark.parametrize("make", list(MAKERS.values()), ids=list(MAKERS))
@given(batches=cut_histories())
@settings(max_examples=30)
def test_however_it_is_committed_the_same_is_read(make: Maker, batches: list[list[Record]]) -> None:
    async def check(folder: Path) -> None:
        journal = await make(folder)
        for batch in batches:
            await append_all(journal, batch)
        whole = await read_all(journal, limit=3)
        assert [stored.position for stored in whole] == sorted({stored.position for stored in whole})
        for account in {one.account for batch in batches for one in batch}:
            written = [one for batch in batches for one in batch if one.account == account]
            assert [stored.record for stored in whole if stored.record.account == account] == written
            assert await journal.read_account(account, after=0, limit=1_000) == written
            assert await journal.last_sequence(account) == last_of(written[-1])
            for after in {0, *(last_of(one) for one in written)}:
                assert await journal.read_account(account, after=after, limit=1_000) == [one for one in written if last_of(one) > after]
        await journal.close()

    with TemporaryDirectory() as folder:
        asyncio.run(check(Path(folder)))
