"""`userstream tokens`: who may use the HTTP API."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, Literal, TypeVar

import msgspec
from cyclopts import App, Parameter

from userstream.entry.cli.accounts import DEFAULT_CONFIG, Config, Json
from userstream.entry.cli.output import complain, say
from userstream.entry.times import show_time
from userstream.kernel.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from userstream.adapters.sqlite_tokens import SqliteTokens
    from userstream.domain.access import ApiToken
    from userstream.domain.audit import AuditNote
    from userstream.kernel.ids import Millis

ResultT = TypeVar("ResultT")
LONGEST_LIFE_DAYS: Final = 3_650
LONGEST_NAME: Final = 64
WIDE: Final = 160

tokens = App(
    name="tokens",
    help="Who may use the HTTP API. Of a token only a hash is kept.\n\nExample: userstream tokens add grafana --role viewer",
)


@tokens.command
def add(
    name: Annotated[str, Parameter(help="Who or what will use it.")],
    *,
    role: Annotated[Literal["viewer", "operator", "admin"], Parameter(help="operator may connect accounts, admin read the audit log.")],
    days: Annotated[int, Parameter(help="How long it lives.")] = 90,
    config: Config = DEFAULT_CONFIG,
    json: Json = False,
) -> int:
    """Make a token and print it: this once, and never again. A name is free again when its token was revoked or has expired.

    Example: `userstream tokens add grafana --role viewer --days 30`
    """
    from userstream.domain.access import Role
    from userstream.entry.web.access import make_token

    if not (name.strip() and name.isprintable() and len(name) <= LONGEST_NAME):
        raise SettingsError(f"name {name!r} must be one short line of text")
    if not 1 <= days <= LONGEST_LIFE_DAYS:
        raise SettingsError(f"--days {days} must be between 1 and {LONGEST_LIFE_DAYS}")

    async def keep(store: SqliteTokens, now: Millis) -> tuple[ApiToken, str]:
        token, text = make_token(name, Role(role), now=now, days=days)
        await store.add_token(token, _note("token.add", token.id, now, f"{role}, {days} days"))
        return token, text.reveal()

    token, text = _run(config, keep)
    if json:
        say(msgspec.json.encode({**_public(token), "token": text}).decode())
    else:
        say(text)
        complain(f"token {token.id} of {name!r} ({role}) lives until {show_time(token.expires_time)}; it is shown this once only")
    return 0


@tokens.command(name="list")
def show(*, config: Config = DEFAULT_CONFIG, json: Json = False) -> int:
    """List all tokens, those that are over too.

    Example: `userstream tokens list --json`
    """

    async def read(store: SqliteTokens, now: Millis) -> tuple[list[ApiToken], int]:
        return await store.all_tokens(), now

    found, now = _run(config, read)
    if json:
        say(msgspec.json.encode([_public(token) for token in found]).decode())
    else:
        _show(found, now)
    return 0


@tokens.command
def revoke(
    token_id: Annotated[str, Parameter(help="The id, as list shows it.")], *, config: Config = DEFAULT_CONFIG, json: Json = False
) -> int:
    """Take a token's power away: requests are refused at once, its live feeds are closed within 5 s.

    Example: `userstream tokens revoke 3f9a0c21d4e7`
    """

    async def end(store: SqliteTokens, now: Millis) -> ApiToken | None:
        await store.revoke_token(token_id, now, _note("token.revoke", token_id, now))
        return await store.find_token(token_id)

    token = _run(config, end)
    if json and token is not None:
        say(msgspec.json.encode(_public(token)).decode())
    else:
        say(f"{token_id}: revoked")
    return 0


def _run(config: Path, work: Callable[[SqliteTokens, Millis], Awaitable[ResultT]]) -> ResultT:
    import asyncio

    from userstream.adapters.clock import SystemClock
    from userstream.adapters.sqlite_tokens import SqliteTokens
    from userstream.entry.cli.stores import check_store_place
    from userstream.entry.configuration import read_registry_part

    path = Path(read_registry_part(config).store)
    check_store_place(path)

    async def serve() -> ResultT:
        async with await SqliteTokens.open(path) as store:
            return await work(store, SystemClock().wall())

    return asyncio.run(serve())


def _note(action: str, subject: str, now: Millis, detail: str = "") -> AuditNote:
    from userstream.domain.audit import AuditNote
    from userstream.entry.desk import find_caller

    caller = find_caller()
    return AuditNote(time=now, actor=caller.actor, origin=caller.origin, action=action, subject=subject, detail=detail)


def _public(token: ApiToken) -> dict[str, object]:
    """Without the hash, which is nobody's business."""
    return {name: value for name, value in msgspec.structs.asdict(token).items() if name != "hash"}


def _show(found: list[ApiToken], now: int) -> None:
    from rich.console import Console
    from rich.table import Table

    from userstream.kernel.ids import Millis

    console = Console(highlight=False, markup=False)
    if not console.is_terminal:
        console.width = WIDE
    table = Table("id", "name", "role", "created (UTC)", "expires (UTC)", "state")
    for token in found:
        state = "live" if token.is_live(Millis(now)) else "expired" if token.revoked_time is None else "revoked"
        table.add_row(token.id, token.name, token.role, show_time(token.created_time), show_time(token.expires_time), state)
    console.print(table if found else "no token yet: userstream tokens add NAME --role viewer")
