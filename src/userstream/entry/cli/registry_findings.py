"""What the doctor finds about the accounts of the registry: the vault, each key, its rights, its listen key, its last proof."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

from userstream.entry.cli.findings import Finding, is_ready_store
from userstream.entry.times import show_time
from userstream.kernel.errors import SettingsError, StoreError, UserStreamError
from userstream.kernel.ids import Millis
from userstream.kernel.sealed import VaultError

if TYPE_CHECKING:
    from userstream.entry.bootstrap import AccountSettings
    from userstream.entry.configuration import Configuration
    from userstream.entry.registry import AccountDesk, Looked
    from userstream.wire.registration import RegisteredAccount

LONG_UNPROVEN_MS: Final = 24 * 3600 * 1000
HOUR_MS: Final = 3_600_000
DAY_MS: Final = 24 * HOUR_MS
MINUTE_MS: Final = 60_000
NOBODY: Final = Finding("registry", "ok", "no account yet; userstream accounts add NAME --venue VENUE adds one")


async def check_registry(configuration: Configuration, wanted: list[AccountSettings]) -> AsyncIterator[Finding]:
    """Everything about the registry that a service of this configuration would use. wanted: gets the accounts that it would run."""
    part = configuration.registry
    if not part.is_run:
        return
    if not is_ready_store(Path(part.store)):
        yield NOBODY
        return
    try:
        async for finding in _check_open(configuration, wanted):
            yield finding
    except (SettingsError, StoreError) as error:
        yield Finding("registry", "problem", str(error))


async def _check_open(configuration: Configuration, wanted: list[AccountSettings]) -> AsyncIterator[Finding]:
    from userstream.adapters.clock import SystemClock
    from userstream.entry.desk import find_caller, open_desk, open_registry
    from userstream.entry.registry import AccountBook

    async with open_registry(configuration.registry) as registry:
        book = AccountBook(registry, SystemClock(), find_caller())
        count, broken = await book.count(), await book.verify_log()
    yield Finding("audit log", "problem" if broken else "ok", broken or "its chain of hashes is whole")
    if not count:
        yield NOBODY
        return
    try:
        async with open_desk(configuration.registry) as desk:
            async for finding in _check_accounts(desk, configuration, wanted):
                yield finding
    except SettingsError as error:
        yield Finding("vault", "problem", str(error))


async def _check_accounts(desk: AccountDesk, configuration: Configuration, wanted: list[AccountSettings]) -> AsyncIterator[Finding]:
    from userstream.adapters.clock import SystemClock
    from userstream.entry.key_rotation import count_keys

    yield judge_keys(await count_keys(desk.registry, desk.vault), desk.vault.keys, desk.vault.newest_key)
    named = {settings.name for settings in configuration.accounts}
    async for account in desk.accounts():
        if not account.active:
            yield Finding(f"account {account.account}", "ok", "is disabled: userstream run does not take it up")
            continue
        if account.account in named:
            yield Finding(f"account {account.account}", "problem", "is in the configuration file and in the registry: take it out of one")
            continue
        yield judge_proof(account, SystemClock().wall())
        yield judge_listen_key(account, SystemClock().wall())
        yield await _check_key(desk, account, configuration, wanted)


async def _check_key(desk: AccountDesk, account: RegisteredAccount, configuration: Configuration, wanted: list[AccountSettings]) -> Finding:
    from userstream.entry.registry import settings_of

    subject = f"account {account.account}: key"
    try:
        looked = await desk.check(account.account)
        credentials = desk.open_key(account)
    except VaultError as error:
        return Finding(subject, "problem", f"it does not open, and the account is not run: {error}")
    except UserStreamError as error:
        return Finding(subject, "problem", str(error))
    wanted.append(settings_of(account, credentials, configuration.recovery, configuration.stream))
    return judge_rights_of(account, looked)


def judge_keys(needed: dict[str, int], ring: tuple[str, ...], newest: str) -> Finding:
    """What the ring of keys is worth. needed: how many accounts need which key; an empty name: their records cannot be read."""
    missing = {key: count for key, count in needed.items() if key not in ring}
    if missing:
        told = ", ".join(f"{count} need {key or 'a key that their damaged records do not tell'}" for key, count in missing.items())
        return Finding("vault", "problem", f"accounts need keys that the ring does not have: {told}; put these keys back into the ring")
    older = sum(count for key, count in needed.items() if key != newest)
    if older:
        return Finding(
            "vault", "warning", f"{older} of {sum(needed.values())} accounts need an older key than {newest}: userstream keys rotate"
        )
    spare = len(ring) - 1
    words = f"all accounts need the newest key, {newest}" + (f"; {spare} older in the ring that no account needs" if spare else "")
    return Finding("vault", "ok", words)


def judge_proof(account: RegisteredAccount, now: Millis) -> Finding:
    """When a running service last found the account proven. `now`: wall clock (ms)."""
    subject = f"account {account.account}: last proven"
    if account.proven_time is None:
        return Finding(
            subject, "warning", "never, as far as the registry knows: a service that runs it says so within a minute of its proof"
        )
    age = now - account.proven_time
    words = f"{show_time(account.proven_time)} UTC, {_span(age)} ago"
    return Finding(subject, "warning" if age > LONG_UNPROVEN_MS else "ok", words)


def judge_listen_key(account: RegisteredAccount, now: Millis) -> Finding:
    """Whether a start within its life could go on with the listen key of the last run. `now`: wall clock (ms)."""
    subject, kept = f"account {account.account}: listen key", account.listen_key
    if kept is None:
        return Finding(subject, "ok", "none is kept: the venue gives one at the next start")
    if kept.expires_at <= now:
        return Finding(subject, "ok", f"the kept one ended {_span(now - kept.expires_at)} ago: the venue gives another at the next start")
    return Finding(subject, "ok", f"kept, good for {_span(kept.expires_at - now)} more")


def judge_rights_of(account: RegisteredAccount, looked: Looked) -> Finding:
    """What the venue says that the key may do. What it does not say is a warning: to take such a key was somebody's explicit word."""
    subject = f"account {account.account}: rights"
    if looked.rights is None:
        return Finding(subject, "warning", f"not known: {looked.trouble or 'the venue does not tell'}")
    widened = f"the key may do more than before: {', '.join(looked.widened)}" if looked.widened else ""
    bad = "; ".join(filter(None, (looked.refusals, widened)))
    if bad:
        return Finding(subject, "problem", f"{bad}: take these rights from the key at the venue's page")
    warnings = "; ".join(looked.verdict.warnings)
    return Finding(subject, "warning" if warnings else "ok", warnings or "the key may do nothing that it should not")


def _span(duration_ms: int) -> str:
    for unit, name in ((DAY_MS, "d"), (HOUR_MS, "h"), (MINUTE_MS, "min")):
        if duration_ms >= unit:
            return f"{duration_ms // unit} {name}"
    return f"{max(0, duration_ms) // 1_000} s"
