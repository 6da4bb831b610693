"""What the next commit of a journal holds: one row for each account, encoded while its records are at hand.

A record that just came lies in the processor's caches: encoded at once it costs half of what it costs later, and nobody has to keep it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Final, TypeAlias

import msgspec

from userstream.domain.events import Event, Frame, stamp
from userstream.kernel.errors import StoreError
from userstream.kernel.ids import AccountId, Millis
from userstream.ports import Committed, Packed, PackedRecords, Record, StoredRecord

PLACE_BITS: Final = 20
MOST_RECORDS: Final = 4_096
MOST_BYTES: Final = 4 << 20
_LIST_HEAD: Final = b"\xdd"
"""MessagePack's list with a length of four bytes: it is known last."""

_HEAD_BYTES: Final = 5
_Parameters: TypeAlias = tuple[int, str, int, int, int, int, int, bytes | bytearray]

_encode_into: Final = msgspec.msgpack.Encoder().encode_into
_decoder: Final = msgspec.msgpack.Decoder(list[Record])


class JournalRow(msgspec.Struct, frozen=True, gc=False):
    """What one commit brings for one account."""

    position: int
    account: AccountId
    first_sequence: int
    last_sequence: int
    first_received: Millis
    last_received: Millis
    count: int
    data: bytearray

    def parameters(self) -> _Parameters:
        times = (self.first_received, self.last_received)
        return (self.position, self.account, self.first_sequence, self.last_sequence, *times, self.count, self.data)


class Batch(msgspec.Struct, frozen=True):
    """What one commit makes durable. `kept`: its records, where somebody wanted them when they came."""

    rows: list[JournalRow]
    count: int
    kept: list[Record] | None

    def recall(self) -> list[Record]:
        """The records as they were handed over; read back from the rows, one account after the other, where they were not kept."""
        return self.kept if self.kept is not None else [record for row in self.rows for record in decode_row(row.position, row.data)]

    def place(self) -> Sequence[StoredRecord]:
        """The records in the order of their positions."""
        return PlacedRecords(self)

    def summary(self) -> list[Committed]:
        return [Committed(row.account, row.count, row.first_received) for row in self.rows]


class PlacedRecords(PackedRecords):
    """The records of a commit with their positions. Made when somebody looks at them: who has fallen behind never does, and reads them
    from the file when there is time."""

    def __init__(self, batch: Batch) -> None:
        self._batch = batch

    @cached_property
    def _placed(self) -> list[StoredRecord]:
        accounts: dict[AccountId, list[Record]] = {row.account: [] for row in self._batch.rows}
        for record in self._batch.recall():
            accounts[record.account].append(record)
        return [
            StoredRecord(place, record)
            for row in self._batch.rows
            for place, record in enumerate(accounts[row.account], row.position << PLACE_BITS)
        ]

    @cached_property
    def packed(self) -> Sequence[Packed]:
        return [Packed(row.position << PLACE_BITS, row.count, row.first_received, row.data) for row in self._batch.rows]

    def __len__(self) -> int:
        return self._batch.count

    def __iter__(self) -> Iterator[StoredRecord]:
        return iter(self._placed)


class PackedRows(PackedRecords):
    """Records as they lie in the file."""

    def __init__(self, rows: Sequence[Packed]) -> None:
        self._rows = rows

    @property
    def packed(self) -> Sequence[Packed]:
        return self._rows

    def __iter__(self) -> Iterator[StoredRecord]:
        for row in self._rows:
            for place, record in enumerate(decode_row(row.position >> PLACE_BITS, row.data), row.position):
                yield StoredRecord(place, record)


class _OpenRow:
    """What one account has in an open batch."""

    __slots__ = ("count", "data", "first_received", "first_sequence", "last_received", "last_sequence")

    def __init__(self, first: Record) -> None:
        self.data = bytearray(_HEAD_BYTES)
        self.count = 0
        self.first_sequence, self.first_received = first.sequence, first.received_time
        self.last_sequence, self.last_received = first.last_sequence, first.received_time

    def close(self, position: int, account: AccountId) -> JournalRow:
        self.data[:_HEAD_BYTES] = _LIST_HEAD + self.count.to_bytes(_HEAD_BYTES - 1, "big")
        sequences, times = (self.first_sequence, self.last_sequence), (self.first_received, self.last_received)
        return JournalRow(position, account, *sequences, *times, self.count, self.data)


class OpenBatch:
    """A batch that still takes records, up to so many and so large that a commit stays short."""

    __slots__ = ("_kept", "_rows", "_size", "count")

    def __init__(self, *, keeps_records: bool) -> None:
        self._rows: dict[AccountId, _OpenRow] = {}
        self._kept: list[Record] | None = [] if keeps_records else None
        self._size = self.count = 0

    def add(self, record: Record) -> bool:
        """Whether it is full then. Raises what the encoder raises for a value that no journal can hold; the batch is then as before."""
        row = self._rows.get(record.account)
        if row is None:
            row = self._rows[record.account] = _OpenRow(record)
        end = len(row.data)
        try:
            _encode_into(record, row.data, end)
        except Exception:
            self._take_back(record.account, row, end)
            raise
        row.count += 1
        row.last_sequence, row.last_received = record.last_sequence, record.received_time
        self.count += 1
        self._size += len(record.frame)
        if self._kept is not None:
            self._kept.append(record)
        return self.count >= MOST_RECORDS or self._size >= MOST_BYTES

    def _take_back(self, account: AccountId, row: _OpenRow, end: int) -> None:
        del row.data[end:]
        if not row.count:
            del self._rows[account]

    def close(self, next_position: int) -> Batch:
        """The batch as it is written, its rows at the positions from `next_position` on. Nothing may be added any more."""
        rows = [row.close(position, account) for position, (account, row) in enumerate(self._rows.items(), next_position)]
        return Batch(rows, self.count, self._kept)


def decode_row(position: int, data: bytes | bytearray) -> list[Record]:
    """The records of a row, their events with their bytes attached. Raises StoreError for a row that this version cannot read."""
    try:
        records = _decoder.decode(data)
    except msgspec.MsgspecError as error:
        raise StoreError(f"row {position} of the journal cannot be read: {error}") from None
    for record in records:
        if record.frame:
            _attach(record.events, Frame.of(record.frame))
    return records


def _attach(events: Sequence[Event], frame: Frame) -> None:
    for event in events:
        if event.frame is not None:
            stamp(event, event.sequence, frame)
