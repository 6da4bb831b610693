"""The evidence of a journal without tables."""

from __future__ import annotations

from tests.support.clock import ManualClock
from tests.support.events import filled, order_changed, stream_changed
from tests.support.records import record, row_of_records
from userstream.adapters.memory import MemoryJournal
from userstream.kernel.ids import AccountId
from userstream.runtime.evidence import READ_BATCH, JournalEvidence

ALICE = AccountId("alice")


async def test_all_records_of_one_account_are_taken_in_and_recalled() -> None:
    journal, clock = MemoryJournal(), ManualClock()
    journal.append(record(stream_changed(event_time=50), order_changed(), filled(), sequence=1, received_time=60))
    journal.append(record(filled(account="bob"), account="bob"))
    for one in row_of_records(READ_BATCH, first=4):
        journal.append(one)
    journal.append(record(filled(trade_id="7"), sequence=READ_BATCH + 4, received_time=70))
    await journal.flush()
    evidence = await JournalEvidence(journal, clock).gather(ALICE)
    assert {name[1] for name in evidence.fills} == {"5012", "7"}
    assert (evidence.missing, evidence.is_cut, len(evidence.growth)) == ({}, False, 1)
    assert (evidence.heard_until, evidence.gathered, evidence.coverage.spans[0].since) == (70, clock.wall(), 50)


async def test_a_journal_that_forgot_its_beginning_says_so() -> None:
    journal = MemoryJournal(keep_records=4)
    for one in row_of_records(20):
        journal.append(one)
    await journal.flush()
    assert (await JournalEvidence(journal, ManualClock()).gather(ALICE)).is_cut


async def test_nothing_is_known_of_nobody() -> None:
    evidence = await JournalEvidence(MemoryJournal(), ManualClock()).gather(ALICE)
    assert (evidence.coverage.spans, evidence.fills, evidence.is_cut) == ((), {}, False)
