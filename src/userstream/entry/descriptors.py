"""How many files and sockets this process may hold open, how many it needs, and one line instead of many when they run out."""

from __future__ import annotations

import asyncio
import errno
import sys
from collections.abc import Callable
from typing import Final, NamedTuple

from userstream.kernel.errors import UserStreamError

OUT_OF_FILES: Final = frozenset({errno.EMFILE, errno.ENFILE})
OWN_FILES: Final = 20
"""Of the interpreter, the event loop and the store, with its readers."""
SOCKETS_OF_AN_ACCOUNT: Final = 2
"""One, and its successor before it goes."""
CALLS_OF_AN_ACCOUNT: Final = 6
MOST_CALLS: Final = 100
"""What the HTTP client opens at most, whatever the number of accounts."""


class Room(NamedTuple):
    """How many files and sockets a process may hold open: now, and as far as it may raise that itself."""

    now: int
    most: int


UNLIMITED: Final = 1 << 30

if sys.platform == "win32":

    def read_room() -> Room:
        """No such limit here."""
        return Room(UNLIMITED, UNLIMITED)

    def _raise_to(limit: int) -> None:
        raise OSError(errno.ENOSYS, "no such limit here")

else:
    import resource

    def read_room() -> Room:
        """This process's own limits."""
        return Room(*(UNLIMITED if limit == resource.RLIM_INFINITY else limit for limit in resource.getrlimit(resource.RLIMIT_NOFILE)))

    def _raise_to(limit: int) -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))


def need_of(accounts: int, *, ends: int = 1) -> int:
    """How many files and sockets so many accounts take at most. `ends`: 2 where the exchange is in the same process."""
    return OWN_FILES + ends * (SOCKETS_OF_AN_ACCOUNT * accounts + min(MOST_CALLS, CALLS_OF_AN_ACCOUNT * accounts))


def make_room(need: int) -> int:
    """Raises this process's limit to `need`, as far as it may. Returns the limit."""
    room = read_room()
    if room.now >= need:
        return room.now
    try:
        _raise_to(min(need, room.most))
    except (OSError, ValueError):  # a system may allow less than it says
        return room.now
    return min(need, room.most)


def require_room(accounts: int, *, ends: int = 1) -> None:
    """Makes room for so many accounts. Raises UserStreamError with the limit and what to do where that cannot be."""
    need = need_of(accounts, ends=ends)
    limit = make_room(need)
    if limit < need:
        raise UserStreamError(told_about(limit, accounts, need))


def told_about(limit: int, accounts: int, need: int) -> str:
    """The limit, what is needed, and what to do if that is more."""
    words = f"this process may open {limit} files and sockets, {accounts} account{'' if accounts == 1 else 's'} can need {need}"
    return words if limit >= need else f"{words}: raise the limit (ulimit -n {need}), or take fewer accounts"


def quieten(loop: asyncio.AbstractEventLoop, tell: Callable[[str], None]) -> None:
    """When files and sockets run out, the loop's own words would be pages a second; `tell` hears one line, once."""
    told = False

    def hear(loop: asyncio.AbstractEventLoop, context: dict[str, object]) -> None:
        nonlocal told
        error = context.get("exception")
        if not (isinstance(error, OSError) and error.errno in OUT_OF_FILES):
            loop.default_exception_handler(context)
        elif not told:
            told = True
            limit = read_room().now
            tell(
                f"no more connections are taken: all of the {limit} files and sockets of this process are open; raise the limit (ulimit -n)"
            )

    loop.set_exception_handler(hear)
