"""`userstream doctor`: is everything in order, and if not, what to do."""

from __future__ import annotations

import asyncio
import math
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import msgspec
from cyclopts import Parameter

from userstream.domain.words import StreamState
from userstream.entry.cli.output import say
from userstream.kernel.errors import AuthenticationError, SettingsError, StoreError, UserStreamError

if TYPE_CHECKING:
    from userstream.entry.bootstrap import AccountSettings, Application
    from userstream.entry.configuration import Configuration

LITTLE_FREE_BYTES = 1 << 30
LEAST_FREE_BYTES = 16 << 20
LARGEST_READ_BYTES = 1 << 30
PATIENCE_S = 20.0
TOLERATED_OFFSET_MS = 1_000
WHERE_TO_LOOK = ": check rest_url, ws_url and the network"


class Finding(msgspec.Struct, frozen=True):
    """One checked thing."""

    subject: str
    verdict: Literal["ok", "warning", "problem"]
    words: str


def doctor(
    *,
    config: Annotated[Path, Parameter(help="The configuration file (TOML; docs/reference/configuration.md).")] = Path("userstream.toml"),
    patience: Annotated[float, Parameter(help="For how many seconds each account may try to prove its state.")] = PATIENCE_S,
    json: Annotated[bool, Parameter(help="One JSON list.")] = False,
) -> int:
    """Check the configuration, the store, and for each account the venue, the clock, the key and the stream.

    Never deletes a listen key, places no order. Exit code 1 when a problem is found. Example: `userstream doctor --config userstream.toml`
    """
    if not (math.isfinite(patience) and patience > 0):
        raise SettingsError(f"--patience {patience:g} must be a number above 0")
    findings = asyncio.run(_examine(config, patience, quiet=json))
    if json:
        say(msgspec.json.encode(findings).decode())
    return 1 if any(finding.verdict == "problem" for finding in findings) else 0


async def _examine(config: Path, patience_s: float, *, quiet: bool) -> list[Finding]:
    findings = []
    async for finding in _check_all(config, patience_s):
        findings.append(finding)
        if not quiet:
            say(f"{finding.verdict:8} {finding.subject}: {finding.words}")
    return findings


async def _check_all(config: Path, patience_s: float) -> AsyncIterator[Finding]:
    from userstream.entry.bootstrap import start_application
    from userstream.entry.configuration import read_configuration

    try:
        configuration = read_configuration(config)
    except SettingsError as error:
        yield Finding("configuration", "problem", str(error))
        return
    yield Finding("configuration", "ok", f"{config}: {_accounts(len(configuration.accounts))}")
    if not configuration.websocket_enabled:
        yield Finding("connections", "warning", "WEBSOCKET_ENABLED is false: userstream run starts without connections")
    yield _check_room(len(configuration.accounts))
    for finding in _check_disk(configuration):
        yield finding
    yield await _check_store(configuration)
    application = await start_application(None)
    try:
        for settings in configuration.accounts:
            async for finding in _check_account(application, settings, patience_s):
                yield finding
    finally:
        await application.stop()


def _accounts(count: int) -> str:
    return f"{count} account{'' if count == 1 else 's'}"


def _check_room(accounts: int) -> Finding:
    """`run` raises the limit as far as it may, so what counts is how far that is."""
    from userstream.entry.descriptors import need_of, read_room, told_about

    need, limit = need_of(accounts), read_room().most
    return Finding("open files", "ok" if limit >= need else "problem", told_about(limit, accounts, need))


def _check_disk(configuration: Configuration) -> list[Finding]:
    folder = Path(configuration.store.path).absolute().parent
    if not folder.is_dir():
        return [Finding("disk", "problem", f"the folder {folder} does not exist: create it, or choose another [store] path")]
    return [judge_room(shutil.disk_usage(folder).free, folder)]


def judge_room(free: int, folder: Path) -> Finding:
    """What so many free bytes are worth."""
    shown = f"{free / 2**30:.1f} GiB" if free >= LITTLE_FREE_BYTES else f"{free / 2**20:.1f} MiB"
    if free >= LEAST_FREE_BYTES:
        return Finding("disk", "ok" if free >= LITTLE_FREE_BYTES else "warning", f"{shown} free in {folder}")
    return Finding("disk", "problem", f"{shown} free in {folder}: make room, or choose another [store] path")


async def _check_store(configuration: Configuration) -> Finding:
    path = Path(configuration.store.path)
    try:
        return Finding("store", "ok", await asyncio.to_thread(_read_store, path))
    except StoreError as error:
        return Finding("store", "problem", str(error))


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


async def _check_account(application: Application, settings: AccountSettings, patience_s: float) -> AsyncIterator[Finding]:
    """Runs the account for a moment and tells how far it came."""
    subject = f"account {settings.name}"
    try:
        account = await application.add(settings)
    except UserStreamError as error:
        yield Finding(subject, "problem", str(error))
        return
    machine = application.runner(settings.name).machine
    try:
        await account.wait_proven(patience_s)
    except AuthenticationError as error:
        yield Finding(subject, "problem", f"the venue refuses the key: {error}")
        return
    except (TimeoutError, UserStreamError) as error:
        yield Finding(subject, "problem", f"{error}{WHERE_TO_LOOK if account.state is StreamState.CONNECTING else ''}")
        return
    finally:
        await application.remove(settings.name)
    if settings.credentials.api_secret is None:
        yield Finding(subject, "warning", "the stream opens; without an api_secret nothing can be proven")
        return
    offset = machine.clock.at(application.clock.now()) - application.clock.wall()
    verdict: Literal["ok", "warning"] = "ok" if abs(offset) < TOLERATED_OFFSET_MS else "warning"
    advice = "" if verdict == "ok" else ": set this machine's clock right"
    yield Finding(f"{subject}: clock", verdict, f"the venue's clock is {offset:+d} ms from this machine's, which is allowed for{advice}")
    yield Finding(subject, "ok", "the key works, the stream opens, the state is proven")
