"""`userstream tail`: the events of a store, a line each, also while they are written."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from userstream.domain.events import Event
from userstream.entry.cli.forms import plain_form, plain_json
from userstream.entry.cli.output import complain, say
from userstream.entry.cli.stores import check_account, find_only_account, require_store
from userstream.entry.times import show_time
from userstream.kernel.errors import SettingsError, nearest
from userstream.kernel.ids import AccountId
from userstream.kernel.text import printable

if TYPE_CHECKING:
    from userstream.adapters.sqlite_reader import SqliteReader

BATCH = 1_000
LOOK_S = 0.2
PLAIN_FIELDS = (
    *("symbol", "asset", "order_id", "client_order_id", "trade_id", "side", "status", "order_type", "price", "quantity"),
    *(
        "filled_quantity",
        "amount",
        "total",
        "delta",
        "principal",
        "interest",
        "fee",
        "fee_asset",
        "subject",
        "key",
        "ours",
        "theirs",
        "resolved",
        "state",
        "since",
        "until",
        "fills",
        "reason",
        "name",
    ),
)


def tail(
    store: Annotated[Path, Parameter(help="The database file.")],
    *,
    account: Annotated[str | None, Parameter(help="Only this account; without it, all.")] = None,
    kind: Annotated[list[str] | None, Parameter(help="Only events of these kinds, such as filled.")] = None,
    after: Annotated[int | None, Parameter(help="Only events behind this sequence of the account: each account counts its own.")] = None,
    last: Annotated[int | None, Parameter(help="Only so many, the newest.")] = None,
    follow: Annotated[bool, Parameter(help="Go on with what is written from now on.")] = False,
    json: Annotated[bool, Parameter(help="One JSON object a line.")] = False,
) -> int:
    """Print the events of a store, oldest first: sequence, the venue's time in UTC, account, kind, and what it says.

    Example: `userstream tail userstream.db --account alice --kind filled --follow`
    """
    from userstream.adapters.sqlite import open_reader
    from userstream.entry.cli import hear_interrupts

    kinds = frozenset(_known_kinds(kind or []))
    for option, number in (("--after", after), ("--last", last)):
        if number is not None and number < 0:
            raise SettingsError(f"{option} {number} must be 0 or above")
    require_store(store)
    hear_interrupts()  # the reader is to be closed, or it would leave files beside the store
    return asyncio.run(_tail(open_reader(store), account, kinds, after, last, follow=follow, json=json))


async def _tail(
    reader: SqliteReader, account: str | None, kinds: frozenset[str], after: int | None, last: int | None, *, follow: bool, json: bool
) -> int:
    def is_wanted(event: Event) -> bool:
        named = not kinds or event.__struct_config__.tag in kinds
        return named and account in (None, event.account) and event.sequence > (after or 0)

    position = 0
    try:
        await check_account(reader, account)
        if after is not None and account is None:
            account = await find_only_account(reader, f"--after {after} counts the events of one account")
        if after is not None and account is not None:
            await _warn_beyond_the_newest(reader, AccountId(account), after)
        if last is not None:
            position, newest = await _newest(reader, last, is_wanted)
            for event in newest:
                say(_line(event, json=json))
        while last is None or follow:
            stored = await reader.read(after=position, limit=BATCH)
            for event in [event for record in stored for event in record.record.events if is_wanted(event)]:
                say(_line(event, json=json))
            if stored:
                position = stored[-1].position
            elif follow:
                await asyncio.sleep(LOOK_S)
            else:
                break
        return 0
    finally:
        await reader.close()


async def _warn_beyond_the_newest(reader: SqliteReader, account: AccountId, after: int) -> None:
    newest = await reader.last_sequence(account)
    if after >= newest:
        complain(f"there is nothing after {after} yet: the newest event of {account} has the sequence {newest}")


async def _newest(reader: SqliteReader, count: int, is_wanted: Callable[[Event], bool]) -> tuple[int, list[Event]]:
    """The position at which the store ends, and the newest so many events, oldest first: read from the end, no further than needed."""
    found, end, before = list[Event](), 0, None
    while stored := await reader.read_before(before, limit=BATCH if count else 1):
        end, before = end or stored[0].position, stored[-1].position
        found += [event for record in stored for event in reversed(record.record.events) if is_wanted(event)]
        if len(found) >= count:
            break
    return end, found[:count][::-1]


def _known_kinds(kinds: list[str]) -> list[str]:
    from typing import get_args

    known = [str(kind.__struct_config__.tag) for kind in get_args(Event)]
    for kind in kinds:
        if kind not in known:
            raise SettingsError(f"--kind {kind!r} is not known; {nearest(kind, known)}")
    return kinds


def _line(event: Event, *, json: bool) -> str:
    if json:
        return plain_json(event).decode()
    form = plain_form(event)
    shown = " ".join(f"{name}={form[name]}" for name in PLAIN_FIELDS if form.get(name) not in (None, ""))
    when = show_time(event.event_time or event.received_time)
    return printable(f"{event.sequence:>10} {when} {event.account:12} {form['kind']:16} {shown}")
