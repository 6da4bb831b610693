"""`userstream doctor`: is everything in order, and if not, what to do."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import msgspec
from cyclopts import Parameter

from userstream.entry.cli.output import say
from userstream.kernel.errors import AuthenticationError, SettingsError, StoreError, UserStreamError

if TYPE_CHECKING:
    from userstream.entry.bootstrap import AccountSettings, Application
    from userstream.entry.configuration import Configuration

LEAST_FREE_BYTES = 1 << 30
PATIENCE_S = 20.0
TOLERATED_OFFSET_MS = 1_000


class Finding(msgspec.Struct, frozen=True):
    """One checked thing."""

    subject: str
    verdict: Literal["ok", "warning", "problem"]
    words: str


def doctor(
    *,
    config: Annotated[Path, Parameter(help="The configuration file (TOML; docs/reference/configuration.md).")] = Path("userstream.toml"),
    json: Annotated[bool, Parameter(help="One JSON list.")] = False,
) -> int:
    """Check the configuration, the store, and for each account the venue, the clock, the key and the stream.

    Never deletes a listen key, places no order. Exit code 1 when a problem is found. Example: `userstream doctor --config userstream.toml`
    """
    findings = asyncio.run(_examine(config, quiet=json))
    if json:
        say(msgspec.json.encode(findings).decode())
    return 1 if any(finding.verdict == "problem" for finding in findings) else 0


async def _examine(config: Path, *, quiet: bool) -> list[Finding]:
    findings = []
    async for finding in _check_all(config):
        findings.append(finding)
        if not quiet:
            say(f"{finding.verdict:8} {finding.subject}: {finding.words}")
    return findings


async def _check_all(config: Path) -> AsyncIterator[Finding]:
    from userstream.entry.bootstrap import start_application
    from userstream.entry.configuration import read_configuration

    try:
        configuration = read_configuration(config)
    except SettingsError as error:
        yield Finding("configuration", "problem", str(error))
        return
    yield Finding("configuration", "ok", f"{config}: {len(configuration.accounts)} accounts")
    yield _check_room(len(configuration.accounts))
    for finding in _check_disk(configuration):
        yield finding
    yield await _check_store(configuration)
    application = await start_application(None)
    try:
        for settings in configuration.accounts:
            async for finding in _check_account(application, settings):
                yield finding
    finally:
        await application.stop()


def _check_room(accounts: int) -> Finding:
    """`run` raises the limit as far as it may, so what counts is how far that is."""
    from userstream.entry.descriptors import need_of, read_room, told_about

    need, limit = need_of(accounts), read_room().most
    return Finding("open files", "ok" if limit >= need else "problem", told_about(limit, accounts, need))


def _check_disk(configuration: Configuration) -> list[Finding]:
    folder = Path(configuration.store.path).absolute().parent
    if not folder.is_dir():
        return [Finding("disk", "problem", f"the folder {folder} does not exist: create it, or choose another [store] path")]
    free = shutil.disk_usage(folder).free
    words = f"{free / 2**30:.1f} GiB free in {folder}"
    return [Finding("disk", "ok" if free >= LEAST_FREE_BYTES else "warning", words)]


async def _check_store(configuration: Configuration) -> Finding:
    from userstream.adapters.sqlite import open_reader

    path = Path(configuration.store.path)
    if not await asyncio.to_thread(path.exists):
        return Finding("store", "ok", f"{path} does not exist yet; it will be made")
    try:
        reader = await asyncio.to_thread(open_reader, path)
        await reader.close()
    except StoreError as error:
        return Finding("store", "problem", str(error))
    return Finding("store", "ok", f"{path} can be read")


async def _check_account(application: Application, settings: AccountSettings) -> AsyncIterator[Finding]:
    """Runs the account for a moment and tells how far it came."""
    subject = f"account {settings.name}"
    try:
        account = await application.add(settings)
    except UserStreamError as error:
        yield Finding(subject, "problem", str(error))
        return
    machine = application.runner(settings.name).machine
    try:
        await account.wait_proven(PATIENCE_S)
    except AuthenticationError as error:
        yield Finding(subject, "problem", f"the venue refuses the key: {error}")
        return
    except (TimeoutError, UserStreamError) as error:
        yield Finding(subject, "problem", str(error))
        return
    finally:
        await application.remove(settings.name)
    if settings.credentials.api_secret is None:
        yield Finding(subject, "warning", "the stream opens; without an api_secret nothing can be proven")
        return
    offset = machine.clock.at(application.clock.now()) - application.clock.wall()
    verdict: Literal["ok", "warning"] = "ok" if abs(offset) < TOLERATED_OFFSET_MS else "warning"
    yield Finding(f"{subject}: clock", verdict, f"the venue's clock is {offset:+d} ms from this machine's (the difference is allowed for)")
    yield Finding(subject, "ok", "the key works, the stream opens, the state is proven")
