"""`userstream doctor`: is everything in order, and if not, what to do."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
from cyclopts import Parameter

from userstream.domain.words import StreamState
from userstream.entry.cli.findings import Finding, Verdict, check_alerts, check_database, check_disk, check_rights, check_room, check_store
from userstream.entry.cli.output import say
from userstream.entry.cli.port_findings import check_http, check_metrics
from userstream.entry.cli.registry_findings import check_registry
from userstream.kernel.errors import AuthenticationError, SettingsError, UserStreamError

if TYPE_CHECKING:
    from userstream.entry.bootstrap import AccountSettings, Application

PATIENCE_S = 20.0
AT_ONCE = 8
"""Accounts that are run side by side: few enough for the venue's budget, enough that a desk need not wait for each."""
TOLERATED_OFFSET_MS = 1_000
WHERE_TO_LOOK = ": check rest_url, ws_url and the network"


def doctor(
    *,
    config: Annotated[Path, Parameter(help="The configuration file (TOML; docs/reference/configuration.md).")] = Path("userstream.toml"),
    patience: Annotated[float, Parameter(help="For how many seconds each account may try to prove its state.")] = PATIENCE_S,
    json: Annotated[bool, Parameter(help="One JSON list.")] = False,
) -> int:
    """Check the configuration, the store and the database, and for each account the venue, the clock, the key and the stream.

    For accounts of the registry also the vault, what each key may do, and when the account was proven last. Never deletes a listen key,
    places no order. Exit code 1 when a problem is found. Example: `userstream doctor --config userstream.toml`
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
    if not quiet:
        say(sum_up(findings))
    return findings


def sum_up(findings: Sequence[Finding]) -> str:
    """The last line for people."""
    problems, warnings = (sum(finding.verdict == verdict for finding in findings) for verdict in ("problem", "warning"))
    if not problems and not warnings:
        return "everything is in order"
    told = f"{problems} problem{'' if problems == 1 else 's'}, {warnings} warning{'' if warnings == 1 else 's'}"
    return told


async def _check_all(config: Path, patience_s: float) -> AsyncIterator[Finding]:
    from userstream.entry.bootstrap import start_application
    from userstream.entry.configuration import read_configuration

    try:
        configuration = read_configuration(config)
    except SettingsError as error:
        yield Finding("configuration", "problem", str(error))
        return
    yield Finding("configuration", "ok", f"{config}: {_accounts(len(configuration.accounts))} in the file")
    if not configuration.websocket_enabled:
        yield Finding("connections", "warning", "WEBSOCKET_ENABLED is false: userstream run starts without connections")
    yield check_disk(configuration)
    if (rights := check_rights(configuration)) is not None:
        yield rights
    yield await check_store(configuration)
    if configuration.postgres is not None:
        yield await check_database(configuration.postgres)
    for check_port in (check_http, check_metrics):
        if (port := await check_port(configuration)) is not None:
            yield port
    yield check_alerts(configuration)
    wanted = list(configuration.accounts)
    async for finding in check_registry(configuration, wanted):
        yield finding
    yield check_room(len(wanted))
    application = await start_application(None)
    try:
        for begin in range(0, len(wanted), AT_ONCE):
            group = wanted[begin : begin + AT_ONCE]
            for found in await asyncio.gather(*(_check_account(application, settings, patience_s) for settings in group)):
                for finding in found:
                    yield finding
    finally:
        await application.stop()


def _accounts(count: int) -> str:
    return f"{count} account{'' if count == 1 else 's'}"


async def _check_account(application: Application, settings: AccountSettings, patience_s: float) -> list[Finding]:
    """Runs the account for a moment and tells how far it came."""
    subject = f"account {settings.name}"
    try:
        account = await application.add(settings)
    except UserStreamError as error:
        return [Finding(subject, "problem", str(error))]
    machine = application.runner(settings.name).machine
    try:
        await account.wait_proven(patience_s)
    except AuthenticationError as error:
        return [Finding(subject, "problem", f"the venue refuses the key: {error}")]
    except (TimeoutError, UserStreamError) as error:
        return [Finding(subject, "problem", f"{error}{WHERE_TO_LOOK if account.state is StreamState.CONNECTING else ''}")]
    finally:
        await application.remove(settings.name)
    if settings.credentials.api_secret is None:
        return [Finding(subject, "warning", "the stream opens; without an api_secret nothing can be proven")]
    offset = machine.clock.at(application.clock.now()) - application.clock.wall()
    return [
        judge_clock(settings.name, offset),
        Finding(subject, "ok", "the key works, the stream opens, the state is proven"),
    ]


def judge_clock(name: str, offset_ms: int) -> Finding:
    """What a venue's clock that is so far ahead of ours is worth."""
    verdict: Verdict = "ok" if abs(offset_ms) < TOLERATED_OFFSET_MS else "warning"
    advice = "" if verdict == "ok" else ": set this machine's clock right"
    words = f"the venue's clock is {offset_ms:+d} ms from this machine's, which is allowed for{advice}"
    return Finding(f"account {name}: clock", verdict, words)
