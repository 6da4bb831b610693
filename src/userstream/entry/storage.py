"""What a process fills beside its embedded tables: PostgreSQL, by a pump of its own from the same journal."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec
import structlog

from userstream.kernel.errors import SettingsError, StoreError
from userstream.kernel.ids import Millis
from userstream.kernel.secret import Secret
from userstream.ports import Clock, Metrics, Projection, StoredRecord, last_position
from userstream.runtime.pump import Pump
from userstream.runtime.stages import TimedProjection

if TYPE_CHECKING:
    from userstream.adapters.postgres import PostgresProjection
    from userstream.adapters.postgres_address import PostgresAddress
    from userstream.adapters.postgres_process import PostgresProcess
    from userstream.adapters.sqlite import SqliteStore
    from userstream.adapters.sqlite_marks import JournalMark

KIND: Final = "postgres"
READER: Final = "tables"
INTERVAL_MS: Final = 1
MOST_RECORDS_OF_A_TURN: Final = 2_000
MARK_EVERY_MS: Final = 5_000
STOP_LIMIT_MS: Final = 2_000
STALL_MS: Final = 5_000
"""How long work may wait with nothing done before that is trouble. A turn takes milliseconds; who stands still says nothing, and the limits
of connection and transaction come much later."""
STALL_LOOK_MS: Final = 1_000
WRITER: Final = "userstream.entry.postgres_writer"
_NAME_RANGE: Final = 1 << 32


class PostgresSection(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A PostgreSQL that is filled beside the embedded tables. The url is given in one of three ways, and so is a password outside it."""

    url: str | None = None
    url_env: str | None = None
    url_file: str | None = None
    password: str | None = None
    password_env: str | None = None
    password_file: str | None = None
    migrate: bool = True
    own_process: bool = True

    def __repr__(self) -> str:
        return "PostgresSection(***)"


class PostgresTarget(msgspec.Struct, frozen=True, kw_only=True):
    """Which PostgreSQL, with which password. migrate: whether its tables may be made and brought up to date by whoever comes first.
    own_process: whether a process of its own fills it, so that the accounts of this one never wait while rows are made."""

    url: Secret
    password: Secret | None = None
    migrate: bool = True
    own_process: bool = True


def address_of(target: PostgresTarget) -> PostgresAddress:
    """Raises SettingsError for what is no URL of PostgreSQL, and where the extra is not installed."""
    try:
        from userstream.adapters.postgres_address import PostgresAddress
    except ModuleNotFoundError as error:
        raise SettingsError(f"PostgreSQL needs the package {error.name}: pip install 'userstream[postgres]'") from None
    return PostgresAddress(target.url, target.password)


def fresh_name(clock: Clock) -> str:
    """A name for a journal that no other one has: the time, and chance for those of the same moment."""
    return f"{clock.wall():x}-{int(clock.chance() * _NAME_RANGE):08x}"


class PostgresFeed:
    """The pump to PostgreSQL and all that belongs to it. Accounts never wait for it; the journal keeps what it has not confirmed."""

    def __init__(self, target: PostgresTarget, path: Path, clock: Clock) -> None:
        """Settles the journal's name, before the store at `path` is opened; blocks for some milliseconds. Raises SettingsError for a wrong
        target, StoreError where no store can be. Opens no connection."""
        from userstream.adapters.sqlite_marks import settle_mark

        self.address = address_of(target)
        self._target, self._clock = target, clock
        self._journal = settle_mark(path, KIND, fresh_name(clock))
        self._tables: PostgresProjection | PostgresProcess | None = None
        self._watch: StallWatch | None = None
        self._on_trouble: Callable[[Exception | None], None] = tell_postgres_trouble
        self._is_told = False
        self.pump: Pump | None = None

    def start(self, store: SqliteStore, on_trouble: Callable[[Exception | None], None], metrics: Metrics) -> None:
        """Begins to fill, now or as soon as the server can be reached. on_trouble: hears once when that stops to work or stands still, and
        None once it goes on."""
        from userstream.adapters.sqlite import PackedJournal
        from userstream.adapters.sqlite_marks import JournalMark

        self._tables, self._on_trouble = self._make_tables(), on_trouble
        marked = MarkedTables(self._tables, store, JournalMark(store, KIND, self._journal), self._clock)
        self.pump = Pump(
            PackedJournal(store) if self._is_filled_by_process else store,
            TimedProjection(marked, metrics, self._clock, KIND),
            READER,
            clock=self._clock,
            batch=MOST_RECORDS_OF_A_TURN,
            interval_ms=INTERVAL_MS,
            rests=0,
            on_trouble=lambda _: self._look(),
        )
        self.pump.start()
        self._watch = StallWatch(self.pump, self._clock, self._tell)

    @property
    def trouble(self) -> Exception | None:
        """Why PostgreSQL does not follow the journal right now, also where it merely stands still; None while all is well."""
        stall = None if self._watch is None else self._watch.trouble
        return stall if self.pump is None else self.pump.trouble or stall

    def _look(self) -> None:
        if self._watch is not None:
            self._watch.look()
        self._tell()

    def _tell(self) -> None:
        if (trouble := self.trouble) is None and self._is_told:
            self._is_told = False
            self._on_trouble(None)
        elif trouble is not None and not self._is_told:
            self._is_told = True
            self._on_trouble(trouble)

    @property
    def _is_filled_by_process(self) -> bool:
        return bool(self._target.own_process and sys.executable) and not getattr(sys, "frozen", False)

    def _make_tables(self) -> PostgresProjection | PostgresProcess:
        target = self._target
        if self._is_filled_by_process:
            from userstream.adapters.postgres_process import PostgresProcess

            return PostgresProcess(WRITER, self._clock, target.url, target.password, journal=self._journal, migrate=target.migrate)
        from userstream.adapters.postgres import PostgresProjection, PostgresSettings

        settings = PostgresSettings(migrate=target.migrate)
        return PostgresProjection(self.address, self._clock, journal=self._journal, settings=settings)

    async def stop(self) -> None:
        """Brings over what can be brought over in 2 s, while the server answers; the journal keeps the rest."""
        if self._watch is not None:
            self._watch.stop()
        if self.pump is not None:
            await self.pump.stop(limit_ms=0 if self.trouble else STOP_LIMIT_MS)
            if self.pump.lag:
                tell_lag(self.pump.lag)
        if self._tables is not None:
            await self._tables.close()


class StallWatch:
    """Looks, every second, whether a pump that has work gets on with it. on_look: called after each look. Runs until it is stopped."""

    def __init__(self, pump: Pump, clock: Clock, on_look: Callable[[], None]) -> None:
        self._pump, self._clock, self._on_look = pump, clock, on_look
        self._position, self._moved = pump.position, clock.now()
        self._timer = clock.call_at(Millis(self._moved + STALL_LOOK_MS), self._look_again)

    @property
    def trouble(self) -> StoreError | None:
        """As of now; None while it moves, has nothing to do, or knows by itself what is wrong."""
        waited_ms, lag = self._clock.now() - self._moved, self._pump.lag
        if waited_ms < STALL_MS or self._pump.position != self._position or not self._pump.has_work:
            return None
        waiting = f", {lag} record{' waits' if lag == 1 else 's wait'}" if lag else ""
        return StoreError(f"PostgreSQL has not confirmed anything for {waited_ms // 1000} s{waiting}")

    def look(self) -> None:
        """Notes whether it has moved since the last look."""
        pump = self._pump
        if pump.position != self._position or pump.trouble is not None or not pump.has_work:
            self._position, self._moved = pump.position, self._clock.now()

    def stop(self) -> None:
        self._timer.cancel()

    def _look_again(self) -> None:
        self.look()
        self._timer = self._clock.call_at(Millis(self._clock.now() + STALL_LOOK_MS), self._look_again)
        self._on_look()


class MarkedTables:
    """`Projection` over PostgreSQL that tells the journal, now and then, how far it is needed no more."""

    def __init__(self, tables: Projection, store: SqliteStore, mark: JournalMark, clock: Clock) -> None:
        self._tables, self._store, self._mark, self._clock = tables, store, mark, clock
        self._marked, self._settled = clock.now(), 0

    async def position(self, reader: str) -> int:
        """As in `Projection`. Raises StoreError also where the journal is an older copy of the one that was read."""
        position = await self._tables.position(reader)
        # What the server lost has not been settled.
        self._settled = min(self._settled, position)
        await self._mark.check_journal(position)
        if position < (marked := await self._mark.position()):
            tell_step_back(position, marked)
        return position

    async def apply(self, reader: str, records: Sequence[StoredRecord]) -> None:
        """As in `Projection`."""
        await self._tables.apply(reader, records)
        if records and self._clock.now() - self._marked >= MARK_EVERY_MS:
            # What was written a while ago has reached the server's disk; what was written just now may be lost with it.
            settled, self._settled = self._settled, last_position(records)
            self._marked = self._clock.now()
            await self._move_mark(settled)

    async def _move_mark(self, position: int) -> None:
        try:
            await self._mark.move(position)
        except StoreError as error:
            # The rows are where they belong; only the journal keeps more than it has to, until the next mark.
            _log().warning("the journal could not be marked", action="mark_failed", reason=str(error))


def tell_step_back(position: int, marked: int) -> None:
    """A database that lost what it had confirmed (a failover, an old backup) is filled again, as far as the journal reaches back."""
    _log().warning(
        "PostgreSQL has lost what it had confirmed; it is filled again from the journal",
        action="postgres_step_back",
        before=marked,
        after=position,
    )


def tell_lag(records: int) -> None:
    """One line of the log where an orderly stop left some of the journal behind."""
    what = "PostgreSQL lacks the newest records of the journal; the next start brings them"
    _log().warning(what, action="postgres_behind", records=records)


def tell_postgres_trouble(trouble: Exception | None) -> None:
    """One line of the log when PostgreSQL stops to follow the journal, one when it follows again."""
    if trouble is None:
        _log().info("PostgreSQL follows the journal again", action="postgres_recovered")
    else:
        _log().error("PostgreSQL does not follow the journal, which keeps what it lacks", action="postgres_trouble", reason=str(trouble))


def _log() -> structlog.stdlib.BoundLogger:
    return structlog.stdlib.get_logger("userstream.postgres")
