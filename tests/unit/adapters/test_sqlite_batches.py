"""What a commit holds: each record once, in order, encoded as it came."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.events import filled
from tests.support.records import histories, make_batch, record, row_of_records
from userstream.adapters.sqlite_batches import MOST_BYTES, MOST_RECORDS, OpenBatch, decode_row
from userstream.kernel.errors import StoreError
from userstream.ports import PackedRecords, Record, StoredRecord, first_position, last_position


@given(histories(), st.booleans())
def test_a_batch_keeps_every_record_and_each_accounts_order(history: list[Record], keeps_records: bool) -> None:
    batch = make_batch(history, 7, keeps_records=keeps_records)
    assert batch.count == len(history)
    assert [row.position for row in batch.rows] == list(range(7, 7 + len({one.account for one in history})))
    for row in batch.rows:
        own = [one for one in history if one.account == row.account]
        assert decode_row(row.position, row.data) == [one for one in batch.recall() if one.account == row.account] == own
        assert (row.first_sequence, row.last_sequence, row.count) == (own[0].sequence, own[-1].last_sequence, len(own))
        assert (row.first_received, row.last_received) == (own[0].received_time, own[-1].received_time)
    if keeps_records:
        assert batch.recall() == history
    placed = batch.place()
    assert [stored.position for stored in placed] == sorted({stored.position for stored in placed})
    assert sorted(map(repr, (stored.record for stored in placed))) == sorted(map(repr, history))
    assert [(commit.account, commit.records) for commit in batch.summary()] == [(row.account, row.count) for row in batch.rows]


@given(histories().filter(bool), st.booleans())
def test_packed_records_are_the_same_where_somebody_opens_them(history: list[Record], keeps_records: bool) -> None:
    placed = make_batch(history, 7, keeps_records=keeps_records).place()
    assert isinstance(placed, PackedRecords)
    opened = [(part, decode_row(part.position, part.data)) for part in placed.packed]
    assert [(part.count, part.first_received) for part, _ in opened] == [(len(told), told[0].received_time) for _, told in opened]
    assert [StoredRecord(part.position + place, one) for part, told in opened for place, one in enumerate(told)] == list(placed)
    assert (first_position(placed), last_position(placed)) == (placed[0].position, placed[-1].position)
    assert (first_position(list(placed)), last_position(list(placed))) == (placed[0].position, placed[-1].position)


@given(histories(), st.integers(min_value=0, max_value=100))
def test_a_value_that_cannot_be_held_leaves_the_batch_as_it_was(history: list[Record], place: int) -> None:
    batch = OpenBatch(keeps_records=True)
    for one in (*history[:place], record(filled(), sequence=1 << 70), *history[place:]):
        try:
            batch.add(one)
        except OverflowError:
            assert one.sequence == 1 << 70
    made, expected = batch.close(1), make_batch(history, 1)
    assert (made.rows, made.count, made.kept) == (expected.rows, expected.count, expected.kept)


def test_a_batch_is_full_by_number_and_by_size() -> None:
    batch = OpenBatch(keeps_records=False)
    told = [batch.add(one) for one in row_of_records(MOST_RECORDS)]
    assert told == [False] * (MOST_RECORDS - 1) + [True]
    assert OpenBatch(keeps_records=False).add(record(filled(), frame=b"x" * MOST_BYTES))


def test_a_row_of_another_version_is_a_clear_error() -> None:
    with pytest.raises(StoreError, match="row 3 of the journal cannot be read"):
        decode_row(3, b"\xc1")
