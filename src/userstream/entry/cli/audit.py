"""`userstream audit`: the completeness certificate of an account, and whether it has a hole."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Final

import msgspec
from cyclopts import Parameter

from userstream.domain.certificate import Certificate, Interval, IntervalState, certify, public_certificate
from userstream.domain.events import Mismatch
from userstream.entry.cli.output import say, show_count
from userstream.entry.cli.stores import require_store
from userstream.entry.times import show_time
from userstream.kernel.errors import SettingsError, StoreError, nearest
from userstream.kernel.ids import AccountId, Millis
from userstream.kernel.text import printable

STORE: Final = Path("userstream.db")
WIDE: Final = 160
_WILL_BE_READ: Final = "STREAM_ONLY at the end: the next reading of the venue's history compares it"
_NOT_READ_AGAIN: Final = "STREAM_ONLY at the end: the account stopped before the venue's history was read again; the next start reads it"
_NOT_REPAIRED: Final = "KNOWN_GAP at the end: the account stopped before it had read what it may have missed; the next start reads it"
_NEVER_READ: Final = "STREAM_ONLY: the venue's history was not read to the end yet; that takes some seconds, and the account's secret"
ELSEWHERE: Final[Mapping[str, str]] = MappingProxyType(
    {"binance-margin-risk": "it tells margin warnings and debts; the fills are told to the account at binance-margin: audit that one"}
)
"""Where to look instead, where a certificate has nothing to prove."""
NOT_MILLISECONDS: Final = range(10_000_000, 100_000_000_000)
"""As milliseconds these would be days of 1970 to 1973: meant are seconds, or a date without dashes."""


def audit(
    account: Annotated[str, Parameter(help="The account's name in the store.")],
    *,
    store: Annotated[Path, Parameter(help="The database file.")] = STORE,
    from_: Annotated[str | None, Parameter(name="--from", help="ISO date or time (UTC if it does not say), or milliseconds.")] = None,
    until: Annotated[str | None, Parameter(help="As --from; what lies at it is outside. Without it: up to the last thing known.")] = None,
    json: Annotated[bool, Parameter(help="One JSON object.")] = False,
) -> int:
    """Print the completeness certificate of an account: what is proven, what only the stream told, what is missing.

    Works while another process writes the store. Exits with 1 when a hole (a gap that is not repaired, or time of which nothing is known)
    lies in the interval, or a mismatch is open; with 2 for a wrong name or time, and where the store cannot be read.

    Example: `userstream audit alice --store userstream.db --from 2026-01-31`
    """
    since_ms, until_ms = _read_time("--from", from_), _read_time("--until", until)
    require_store(store)
    try:
        certificate = asyncio.run(_audit(store, account, since_ms, until_ms))
    except StoreError as error:
        raise SettingsError(str(error)) from None  # exit code 1 would say that there is a hole
    if json:
        say(msgspec.json.encode(public_certificate(certificate)).decode())
    else:
        _show(certificate)
    return 0 if certificate.is_whole else 1


def _read_time(option: str, text: str | None) -> Millis | None:
    if text is None:
        return None
    if text.isdecimal() and text.isascii():
        if int(text) in NOT_MILLISECONDS:
            raise SettingsError(f"{option} {text} are no milliseconds since 1970, those have 13 digits today: add 000, or write 2026-01-31")
        return Millis(int(text))
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise SettingsError(f"{option} {text!r} is no time: write 2026-01-31, 2026-01-31T09:30:00Z, or milliseconds since 1970") from None
    return Millis(round((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1_000))


async def _audit(store: Path, account: str, since: Millis | None, until: Millis | None) -> Certificate:
    from userstream.adapters.clock import SystemClock
    from userstream.adapters.sqlite_evidence import SqliteEvidence

    clock = SystemClock()
    await _check_account(store, account)
    for option, moment in (("--from", since), ("--until", until)):
        if moment is not None and moment > clock.wall():
            raise SettingsError(f"{option} {show_time(moment)} lies in the future")
    if since is not None and until is not None and since >= until:
        raise SettingsError(f"--from {show_time(since)} --until {show_time(until)}: the interval must end after it begins")
    evidence = await SqliteEvidence(store, clock).gather(AccountId(account))
    try:
        return certify(evidence, since, until)
    except ValueError as error:
        raise SettingsError(f"--from and --until: {error}") from None


async def _check_account(store: Path, account: str) -> None:
    from userstream.adapters.sqlite import open_reader

    reader = open_reader(store)
    try:
        known = await reader.accounts()
    finally:
        await reader.close()
    if account not in known:
        hint = nearest(account, known) if known else "it knows none yet"
        hint += "" if "known:" in hint or not known else f" (known: {', '.join(known)})"
        raise SettingsError(f"there is no account {account!r} in {store}; {hint}")


# --- for people ---


def _show(certificate: Certificate) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False, markup=False, emoji=False)
    if not console.is_terminal:
        console.width = WIDE  # a pipe has no edge: nothing is cut off there
    console.print(f"{certificate.account} on {certificate.venue or 'an unknown venue'}, venue time in UTC")
    table = Table("from", "until", "state", "fills")
    for interval in certificate.intervals:
        grows = certificate.is_growing and interval is certificate.intervals[-1]
        table.add_row(
            show_time(interval.since), f"{show_time(interval.until)}{' (growing)' if grows else ''}", interval.state, _fills(interval)
        )
    console.print(table)
    for mismatch in certificate.mismatches:
        console.print(f"mismatch: {_sentence(mismatch)}")
    console.print(_verdict(certificate))
    if why := _why_unproven(certificate):
        console.print(why)


def _fills(interval: Interval) -> str:
    count = sum(interval.fills.values())
    return f"{count} ({', '.join(f'{source} {number}' for source, number in interval.fills.items())})" if count else "0"


def _sentence(mismatch: Mismatch) -> str:
    cause = f", found by {mismatch.cause}" if mismatch.cause else ""
    since = f", since {show_time(mismatch.since)}" if mismatch.since else ""
    return printable(f"{mismatch.subject} {mismatch.key}: ours {mismatch.ours}, theirs {mismatch.theirs}{since}{cause}")


def _verdict(certificate: Certificate) -> str:
    if not certificate.is_whole:
        holes, mismatches = show_count(len(certificate.holes), "hole"), len(certificate.mismatches)
        return f"NOT WHOLE: {holes}, {show_count(mismatches, 'open mismatch', 'open mismatches')}"
    if (elsewhere := ELSEWHERE.get(certificate.venue)) is not None:
        return f"nothing to prove: no fills are read at {certificate.venue}; {elsewhere}"
    if certificate.complete_since is None:
        return "no hole; nothing is proven yet, all is the stream's word"
    proven = f"every fill from {show_time(certificate.complete_since)} to {show_time(certificate.proven_until or 0)} is in"
    unread = "; what follows is the stream's word" if _ends_unread(certificate) else ""
    return f"WHOLE: {proven}{unread}"


def _ends_unread(certificate: Certificate) -> bool:
    return certificate.intervals[-1].state is IntervalState.STREAM_ONLY


def _why_unproven(certificate: Certificate) -> str:
    """Why the last interval is not proven, and what will change that; empty where it is, and where the account itself will tell."""
    if certificate.intervals[-1].state is IntervalState.KNOWN_GAP:
        return "" if certificate.is_growing or certificate.mismatches else _NOT_REPAIRED
    if not _ends_unread(certificate) or certificate.venue in ELSEWHERE:
        return ""
    if certificate.complete_since is None:
        return _NEVER_READ if certificate.is_whole else ""
    return _WILL_BE_READ if certificate.is_growing else _NOT_READ_AGAIN
