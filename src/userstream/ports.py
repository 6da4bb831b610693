"""Floor 5: what the runtime needs from the outside world. Small protocols, and the plain data that they speak of."""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Iterator, Mapping, Sequence
from typing import Final, Protocol, overload

import msgspec

from userstream.domain.access import ApiToken
from userstream.domain.alert_words import Notification
from userstream.domain.alerts import KeptIncident
from userstream.domain.audit import AuditEntry, AuditHead, AuditNote
from userstream.domain.events import Event
from userstream.domain.evidence import Evidence
from userstream.kernel.errors import StoreError
from userstream.kernel.ids import AccountId, Millis
from userstream.kernel.sealed import SealPlace
from userstream.kernel.secret import Secret
from userstream.wire.registration import NameHistory, RegisteredAccount, SealedListenKey
from userstream.wire.request import HttpRequest, HttpResponse
from userstream.wire.rights import KeyRights


class Timer(Protocol):
    def cancel(self) -> None: ...


class Clock(Protocol):
    """The only source of time, waiting, tasks and chance."""

    def now(self) -> Millis:
        """Milliseconds that never jump: for timers and durations."""

    def wall(self) -> Millis:
        """Milliseconds since 1970 (UTC) of this machine: for stamps and signatures only."""

    def call_at(self, when: Millis, callback: Callable[[], None]) -> Timer:
        """Calls back once at or after `when` (of `now`)."""

    async def sleep(self, duration_ms: int) -> None: ...

    def spawn(self, work: Coroutine[object, object, None], name: str) -> asyncio.Task[None]:
        """Starts a task; the caller owns it."""

    @property
    def task_failures(self) -> int:
        """Tasks of `spawn` that an exception ended, so far; those that were cancelled are none."""

    def chance(self) -> float:
        """A number in [0, 1) for jitter."""


class SocketEvents(Protocol):
    """What a socket tells its owner, in order, on the event loop's own stack."""

    def on_frames(self, frames: Sequence[bytes]) -> None:
        """Whole text messages that came together, at least one, in their order. Who closes or pauses the socket while it takes them has
        them all the same."""

    def on_odd_frame(self, frame: bytes, reason: str) -> None:
        """A message that is no text (binary, compressed), cut to a sane size; the socket goes on where it can."""

    def on_ping(self) -> None:
        """A ping (already answered) or a pong."""

    def on_closed(self, reason: str) -> None:
        """The socket is gone; nothing follows. `reason` is one line for people without secrets."""


class Socket(Protocol):
    """An open WebSocket."""

    def send(self, text: str) -> None: ...

    def ping(self) -> None: ...

    def pause(self) -> None:
        """Stop reading: what the venue sends waits in the kernel's buffers."""

    def resume(self) -> None: ...

    def close(self) -> None:
        """Ends it at once; `on_closed` follows."""


class Transport(Protocol):
    async def connect(self, url: Secret, events: SocketEvents, *, time_limit_ms: int) -> Socket:
        """Opens a socket. Raises ConnectionError with one line for people, never with the address's secrets."""

    async def close(self) -> None: ...


class HttpClient(Protocol):
    async def send(self, base_url: str, request: HttpRequest, *, time_limit_ms: int) -> HttpResponse:
        """Never raises for trouble on the way: then `status` is 0 and `body` says what happened."""

    async def close(self) -> None: ...


class Record(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One append: the bytes that came in and what they meant. `sequence` is that of the first event, or the place of a record
    without events (a duplicate, an answer that told nothing new). Records of an account grow in sequence."""

    account: AccountId
    sequence: int
    received_time: Millis
    connection: int
    frame: bytes
    events: tuple[Event, ...]

    @property
    def last_sequence(self) -> int:
        """The highest sequence of the record."""
        return self.events[-1].sequence if self.events else self.sequence

    @property
    def memory_bytes(self) -> int:
        """What it takes in memory, about: measured with the venues' commonest messages."""
        return 400 + len(self.frame) + 1_300 * len(self.events)


class StoredRecord(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A record read back: `position` is its place among all accounts of the journal, for readers that save how far they came."""

    position: int
    record: Record


class Packed(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Records whose places follow each other, as a journal keeps them: a MessagePack list of `Record`. position: of the first.
    first_received: when (our clock, ms) the first was received."""

    position: int
    count: int
    first_received: Millis
    data: bytearray

    @property
    def last_position(self) -> int:
        return self.position + self.count - 1


MOST_PACKED_BYTES: Final = 4 << 20
"""So much of what lies packed is passed on at once, unless one row alone is larger: a storm of large answers stays a matter of turns."""


class PackedRecords(Sequence[StoredRecord]):
    """Stored records that lie packed: who passes them on, counts them, or asks where they end, makes none of them."""

    @property
    @abstractmethod
    def packed(self) -> Sequence[Packed]:
        """All of them, in the order of their positions."""

    @abstractmethod
    def __iter__(self) -> Iterator[StoredRecord]: ...

    def __len__(self) -> int:
        return sum(part.count for part in self.packed)

    @overload
    def __getitem__(self, place: int) -> StoredRecord: ...
    @overload
    def __getitem__(self, place: slice) -> Sequence[StoredRecord]: ...
    def __getitem__(self, place: int | slice) -> StoredRecord | Sequence[StoredRecord]:
        return list(self)[place]


def first_position(records: Sequence[StoredRecord]) -> int:
    """Where some records begin, of which there is at least one."""
    return records.packed[0].position if isinstance(records, PackedRecords) else records[0].position


def last_position(records: Sequence[StoredRecord]) -> int:
    """Where some records end, of which there is at least one."""
    return records.packed[-1].last_position if isinstance(records, PackedRecords) else records[-1].position


class Committed(msgspec.Struct, frozen=True, gc=False):
    """How much of an account a commit made durable, and when (our clock, ms) the first of it was received."""

    account: AccountId
    records: int
    first_received: Millis


class Journal(Protocol):
    """Append-only, ordered per account. What `committed` reports survives a crash of process and machine."""

    def append(self, record: Record) -> None:
        """Hands over one record; never waits. Raises StoreError once the journal has failed for good."""

    @property
    def backlog(self) -> int:
        """Records handed over and not yet committed."""

    @property
    def trouble(self) -> StoreError | None:
        """Why commits fail right now; None while all is well."""

    def watch(self, callback: Callable[[Sequence[Record]], None]) -> None:
        """Calls back on the event loop after each commit, with the records that it made durable, in order."""

    def watch_commits(self, callback: Callable[[Sequence[Committed]], None]) -> None:
        """As `watch`, for whom it is enough to know how much was made durable: the journal then need not keep the records for him."""

    async def flush(self) -> None:
        """Returns when all that was appended before is committed. Raises StoreError when it cannot be."""

    async def last_sequence(self, account: AccountId) -> int:
        """The highest sequence ever given out for the account, 0 if there is none."""

    async def read(self, *, after: int, limit: int) -> list[StoredRecord]:
        """Records of all accounts with a position above `after`."""

    async def read_account(self, account: AccountId, *, after: int, limit: int, whole: bool = False) -> list[Record]:
        """Records of one account whose last sequence is above `after`, as far as they are kept. `whole`: raises NotKept, which names the
        oldest place from which it can be read, when records above `after` were removed to make room."""

    async def save_checkpoint(self, account: AccountId, sequence: int, events: Sequence[Event]) -> None:
        """Keeps events that rebuild the account's state as it was after `sequence`, so that a restart reads little."""

    async def load_checkpoint(self, account: AccountId) -> tuple[int, tuple[Event, ...]]:
        """The newest checkpoint: its sequence and events; (0, ()) if there is none."""

    async def close(self) -> None:
        """Commits what it holds, then ends."""


class Projection(Protocol):
    """Tables made from the journal: orders, fills, positions, balances, coverage. A batch and the reader's position are one
    transaction; the same batch twice changes nothing."""

    async def position(self, reader: str) -> int:
        """How far the named reader has come, 0 if never."""

    async def apply(self, reader: str, records: Sequence[StoredRecord]) -> None:
        """Applies the events of a batch and saves its last position. Records at or below the saved position are ignored."""


class StateReader(Protocol):
    """Reads the tables, for commands and checks; also from another process."""

    async def rows(self, table: str, account: AccountId | None = None, *, limit: int = 1000) -> list[dict[str, object]]: ...


class Selection(msgspec.Struct, frozen=True, kw_only=True):
    """Which rows of a table: None chooses all. since, until: the venue's time (ms), `until` outside. before: a place that a page named."""

    account: AccountId | None = None
    symbol: str | None = None
    since: Millis | None = None
    until: Millis | None = None
    before: int | None = None
    limit: int = 100


class HistoryPage(msgspec.Struct, frozen=True, kw_only=True):
    """Rows as text, whole numbers and None. next_place: where the next page begins; None where there is none."""

    rows: list[dict[str, object]]
    next_place: int | None


class HistoryReader(Protocol):
    """Reads the tables of history in pages; also from another process."""

    async def page(self, table: str, selection: Selection) -> HistoryPage:
        """Newest arrivals first. Raises ValueError for a table without such an order, or without a column that is asked for, StoreError
        when the store cannot be read."""


class EvidenceReader(Protocol):
    """Gathers what an account's certificate rests on."""

    async def gather(self, account: AccountId) -> Evidence:
        """All that is committed, as of one moment; nothing of an account that nobody knows."""


class Vault(Protocol):
    """Seals secrets into records that open in one place only. Every method raises VaultError, in one line without a secret."""

    def renew(self) -> None:
        """Takes up the keys that came meanwhile. May wait for a file, so not on an event loop. Raises SettingsError where they cannot be
        read; those known stay."""

    @property
    def newest_key(self) -> str:
        """The id of the key that new records need."""

    @property
    def keys(self) -> tuple[str, ...]:
        """The ids of all keys that records can be read with, the newest last."""

    def key_of(self, record: str) -> str:
        """The id of the key that a record needs."""

    def seal(self, place: SealPlace, values: Mapping[str, Secret]) -> dict[str, str]:
        """The records of an account's secrets by field, under one new data key."""

    def seal_beside(self, place: SealPlace, field: str, value: Secret, neighbour: str) -> str:
        """The record of one secret more, under the data key of another record of the account."""

    def open(self, place: SealPlace, field: str, record: str) -> Secret:
        """The secret; only for the place and the field that it was sealed for."""

    def rewrap(self, place: SealPlace, records: Iterable[str]) -> list[str]:
        """The same secrets under the same data keys, these wrapped with the newest key; what is wrapped with it already stays as it is."""


class Registry(Protocol):
    """The accounts of the service. A change and its note in the audit log are one transaction. Raises SettingsError for an account that is
    not there, StoreError when the store cannot be used."""

    async def next_version(self, account: AccountId) -> int:
        """The version that the account's next credentials must be sealed with."""

    async def add(self, account: RegisteredAccount, note: AuditNote) -> None:
        """Raises SettingsError for a name that is taken, StoreError when its version is not the next any more."""

    async def get(self, account: AccountId) -> RegisteredAccount | None: ...

    async def page(self, *, after: str = "", limit: int = 1_000, active_only: bool = False) -> list[RegisteredAccount]:
        """Accounts whose id is above `after`, in the order of ids."""

    async def set_active(self, account: AccountId, active: bool, note: AuditNote) -> None: ...

    async def remove(self, account: AccountId, note: AuditNote) -> None: ...

    async def replace_key(self, account: RegisteredAccount, note: AuditNote) -> None:
        """Its key, version, rights and their time; the former listen key is forgotten. Raises StoreError when its version is not the
        next."""

    async def save_rights(self, account: AccountId, version: int, rights: KeyRights | None, time: Millis, note: AuditNote) -> None:
        """What the venue said of the key of that version at that time (our clock, ms). None: it does not tell, and what it said before
        stays. Where the account has another key by now, only the note is written."""

    async def save_proven(self, account: AccountId, time: Millis) -> None:
        """When its state was proven last (our clock, ms); an earlier time changes nothing."""

    async def save_identity(self, account: AccountId, version: int, identity: str) -> None:
        """What the venue calls the account that the key of that version opens. Where the account has another key by now, nothing is
        saved."""

    async def history_of(self, account: AccountId) -> NameHistory:
        """What the store holds under a name, also where no account of the registry has it."""

    async def save_listen_key(self, account: AccountId, version: int, listen_key: SealedListenKey | None) -> bool:
        """False, and nothing is saved, where the account has other credentials by now or is gone."""

    async def swap_records(self, swaps: Sequence[tuple[RegisteredAccount, RegisteredAccount]]) -> int:
        """Of each pair, puts the second's records in the place of the first's, unless they have changed meanwhile. How many it was."""

    async def close(self) -> None: ...


class AuditLog(Protocol):
    """Append-only; see `domain.audit`."""

    async def write_note(self, note: AuditNote) -> None: ...

    async def audit_entries(self, *, after: int = 0, limit: int = 1_000) -> list[AuditEntry]: ...

    async def audit_head(self) -> AuditHead: ...


class Tokens(Protocol):
    """The tokens of the HTTP API. A change and its note in the audit log are one transaction. Raises StoreError when the store cannot be
    used."""

    async def add_token(self, token: ApiToken, note: AuditNote) -> None:
        """Keeps it with its note, or neither. Raises SettingsError for a name that a living token has."""

    async def find_token(self, token_id: str) -> ApiToken | None:
        """The token with this id, revoked and expired ones too."""

    async def all_tokens(self) -> list[ApiToken]:
        """Oldest first."""

    async def revoke_token(self, token_id: str, time: Millis, note: AuditNote) -> None:
        """From `time` (our clock, ms) on it opens nothing; an earlier revocation stays. Raises SettingsError when there is none."""


class Metrics(Protocol):
    def count(self, name: str, amount: int = 1, labels: Mapping[str, str] | None = None) -> None: ...

    def gauge(self, name: str, value: float, labels: Mapping[str, str] | None = None) -> None: ...

    def observe(self, name: str, values: Mapping[float, int], labels: Mapping[str, str] | None = None) -> None:
        """Adds to a histogram: each value so many times, a batch at once."""

    def forget_account(self, account: str) -> None:
        """Its numbers are shown no more; those of an account of this name that comes later begin anew."""


class Notifier(Protocol):
    """Tells people. Nothing waits for it, and what it cannot deliver is counted, never raised."""

    def notify(self, notification: Notification) -> None:
        """Hands it over; never waits, never raises. What is more than it can hold is dropped, the least severe first."""

    @property
    def waiting(self) -> int:
        """Deliveries that were handed over and are not made yet."""

    async def close(self, *, limit_ms: int) -> None:
        """Delivers what waits, for at most so long, and ends; the rest is dropped. May be called twice."""


class IncidentKeeper(Protocol):
    """What was told to people, over a restart. Its calls block; they raise StoreError."""

    def read(self) -> Sequence[KeptIncident]:
        """What was written last; nothing at first."""

    def write(self, incidents: Sequence[KeptIncident]) -> None:
        """Replaces it, whole or not at all."""


Handler = Callable[[Event], Awaitable[None] | None]
