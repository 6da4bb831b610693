"""What the doctor finds: one line each, with what to do. Here are the findings that need no venue."""

from __future__ import annotations

import asyncio
import os
import shlex
import shutil
import stat
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

import msgspec

from userstream.kernel.errors import SettingsError, StoreError

if TYPE_CHECKING:
    from userstream.adapters.postgres_address import Connection
    from userstream.adapters.postgres_migrations import Form
    from userstream.entry.configuration import Configuration
    from userstream.entry.storage import PostgresTarget

LITTLE_FREE_BYTES: Final = 1 << 30
LEAST_FREE_BYTES: Final = 16 << 20
LARGEST_READ_BYTES: Final = 1 << 30
OTHERS: Final = 0o077 if os.name == "posix" else 0
BESIDE: Final = ("-wal", "-shm", ".lock")

Verdict = Literal["ok", "warning", "problem"]


class Finding(msgspec.Struct, frozen=True):
    """One checked thing."""

    subject: str
    verdict: Verdict
    words: str


def check_room(accounts: int) -> Finding:
    """`run` raises the limit as far as it may, so what counts is how far that is."""
    from userstream.entry.descriptors import need_of, read_room, told_about

    need, limit = need_of(accounts), read_room().most
    return Finding("open files", "ok" if limit >= need else "problem", told_about(limit, accounts, need))


def check_disk(configuration: Configuration) -> Finding:
    """Whether there is a place for the store, and room."""
    folder = Path(configuration.store.path).absolute().parent
    if not folder.is_dir():
        return Finding("disk", "problem", f"the folder {folder} does not exist: create it, or choose another [store] path")
    return judge_room(shutil.disk_usage(folder).free, folder)


def judge_room(free: int, folder: Path) -> Finding:
    """What so many free bytes are worth."""
    shown = f"{free / 2**30:.1f} GiB" if free >= LITTLE_FREE_BYTES else f"{free / 2**20:.1f} MiB"
    if free >= LEAST_FREE_BYTES:
        return Finding("disk", "ok" if free >= LITTLE_FREE_BYTES else "warning", f"{shown} free in {folder}")
    return Finding("disk", "problem", f"{shown} free in {folder}: make room, or choose another [store] path")


def check_rights(configuration: Configuration) -> Finding | None:
    """Whether the store can be written, or begun, by who asks, and read by nobody else; None where there is no folder for it."""
    from userstream.adapters.sqlite_file import NOT_WRITABLE

    path = Path(configuration.store.path).absolute()
    if not path.parent.is_dir():
        return None
    if (reason := _why_not_writable(path)) is not None:
        return Finding("store rights", "problem", f"{reason}: {NOT_WRITABLE}")
    if open_to_others := [(file, mode) for file in _files_of(path) if (mode := _mode_of(file)) & OTHERS]:
        file, mode = open_to_others[0]
        words = f"{file} can be used by others (mode {stat.S_IMODE(mode):04o}), and it holds keys, tokens and the audit log"
        return Finding(
            "store rights", "warning", f"{words}: run chmod 600 {' '.join(shlex.quote(str(file)) for file, _ in open_to_others)}"
        )
    return Finding("store rights", "ok", f"{path.parent} can be written")


def _files_of(path: Path) -> list[Path]:
    """The store and what stands beside it while it is open."""
    return [file for file in (path, *(path.with_name(f"{path.name}{end}") for end in BESIDE)) if file.is_file()]


def _mode_of(file: Path) -> int:
    """0 for one that is gone: a store's log goes with the last who has it open."""
    try:
        return file.stat().st_mode
    except FileNotFoundError:
        return 0


def _why_not_writable(path: Path) -> str | None:
    try:
        # nothing but an attempt tells of each file system
        tempfile.TemporaryFile(dir=path.parent).close()
    except OSError as error:
        return f"nothing can be written in {path.parent} ({(error.strerror or type(error).__name__).lower()})"
    # a store that is open as a database must not be opened in another way
    effective = os.access in os.supports_effective_ids
    refused = [file for file in _files_of(path) if not os.access(file, os.R_OK | os.W_OK, effective_ids=effective)]
    return f"{refused[0]} cannot be read and written" if refused else None


async def check_store(configuration: Configuration) -> Finding:
    """Whether the store can be read as a whole."""
    path = Path(configuration.store.path)
    try:
        return Finding("store", "ok", await asyncio.to_thread(_read_store, path))
    except StoreError as error:
        return Finding("store", "problem", str(error))
    finally:
        await asyncio.to_thread(clear_beside, path)


def _read_store(path: Path) -> str:
    """What is found. Raises StoreError."""
    from userstream.adapters.sqlite_file import check_pages, open_for_reading

    if not path.exists():
        return f"{path} does not exist yet; it will be made"
    size = path.stat().st_size
    if not size and not path.with_name(f"{path.name}-wal").exists():
        return f"{path} is empty: it will be filled"
    if size > LARGEST_READ_BYTES:
        open_for_reading(path).close()
        return f"{path} can be opened; it is too large to be read as a whole"
    check_pages(path)
    return f"{path} can be read"


def check_alerts(configuration: Configuration) -> Finding:
    """Whether anybody would be told of trouble."""
    if configuration.alerts is None:
        return Finding(
            "alerts", "ok", "nobody is told of trouble, which stands in the log and in /metrics; the table [alerts] names whom to tell"
        )
    count = len(configuration.alerts.urls)
    return Finding("alerts", "ok", f"{count} address{'' if count == 1 else 'es'} would be told; userstream alerts test tries them")


async def check_database(target: PostgresTarget) -> Finding:
    """Whether PostgreSQL can be reached, and its tables are such as this version needs."""
    from userstream.adapters.postgres_migrations import check_tables, read_form
    from userstream.entry.cli.db import with_connection
    from userstream.entry.storage import address_of

    async def look(connection: Connection) -> Form:
        form = await read_form(connection)
        if form.number:
            await check_tables(connection)
        return form

    try:
        address = address_of(target)
        form = await with_connection(address, look)
    except (StoreError, SettingsError) as error:
        return Finding("postgres", "problem", str(error))
    return judge_form(form, address.label, migrates=target.migrate)


def judge_form(form: Form, label: str, *, migrates: bool) -> Finding:
    """What tables of this form are worth. `migrates`: whether the service may bring them up to date itself."""
    from userstream.adapters.postgres_migrations import check_form, load_steps

    newest = len(load_steps())
    try:
        check_form(form)
    except StoreError as error:
        if migrates and form.number < newest:
            return Finding("postgres", "ok", f"{label} can be reached; its tables are brought to the form {newest} by the next start")
        return Finding("postgres", "problem", f"PostgreSQL at {label}: {error}")
    return Finding("postgres", "ok", f"{label} can be reached; its tables have the form {form.number}")


def is_ready_store(path: Path) -> bool:
    """Whether there is a store of this version's form: opening it for writing changes nothing."""
    from userstream.adapters.sqlite_file import open_for_reading

    try:
        open_for_reading(path).close()
    except StoreError:
        return False
    finally:
        clear_beside(path)
    return True


def clear_beside(path: Path) -> None:
    """Removes the empty log and its index, which looking at a store at rest has to leave beside it. A log that holds something is left to
    whoever writes the store next, and SQLite itself keeps what another process has open."""
    from userstream.adapters.sqlite_file import check_owner

    # tidiness alone: who may not write here leaves them
    with suppress(OSError, StoreError):
        if not path.with_name(f"{path.name}-wal").stat().st_size:
            check_owner(path)
