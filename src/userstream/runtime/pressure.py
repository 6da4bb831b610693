"""Reading stands still while the journal is far behind, for all accounts of a journal alike.

Accounts may share a socket, which can only be read for all of them or for none: so an account that is idle waits with the busy ones.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final, Protocol

import structlog

from userstream.kernel.ids import Millis
from userstream.ports import Clock, Journal
from userstream.runtime.keeper import Keeper

BACKLOG_HIGH: Final = 200_000
BACKLOG_LOW: Final = 50_000
LOOK_MS: Final = 10
EXCUSE_MS: Final = 1_000

_log = structlog.stdlib.get_logger("userstream.pressure")


class ReadingAccount(Protocol):
    """An account whose sockets can be left unread for a while."""

    @property
    def keeper(self) -> Keeper:
        """Its way into the journal."""

    def hold_reading(self) -> None: ...

    def excuse_silence(self) -> None:
        """Said now and then while nothing is read: the silence is ours."""

    def go_on_reading(self) -> None: ...


class BackPressure:
    """Shared by the accounts of one journal. `is_holding`: nothing is read now."""

    def __init__(self, journal: Journal, clock: Clock) -> None:
        self._journal, self._clock = journal, clock
        self._members: set[ReadingAccount] = set()
        self._task: asyncio.Task[None] | None = None
        self.is_holding = False

    def join(self, member: ReadingAccount) -> None:
        self._members.add(member)
        if self.is_holding:
            member.hold_reading()

    def leave(self, member: ReadingAccount) -> None:
        self._members.discard(member)
        if not self._members and self._task is not None:
            self._task.cancel()
            self._task, self.is_holding = None, False

    def mind(self) -> None:
        """To be called now and then by who hands records over."""
        if not self.is_holding and self._journal.backlog > BACKLOG_HIGH and self._can_help():
            self.is_holding = True
            self._tell_all(lambda member: member.hold_reading())
            self._task = self._clock.spawn(self._hold(), "back-pressure")

    async def pass_by(self) -> None:
        """Returns when things are read, or read again."""
        while self.is_holding:
            await self._clock.sleep(LOOK_MS)

    def _can_help(self) -> bool:
        """A journal that refuses records does not catch up by waiting. Who has lost records gives it nothing any more."""
        keepers = [member.keeper for member in self._members]
        return all(keeper.is_level or keeper.lost is not None for keeper in keepers)

    def _tell_all(self, tell: Callable[[ReadingAccount], None]) -> None:
        """A fault of one must not keep the others from being read."""
        for member in list(self._members):
            try:
                tell(member)
            except Exception:
                _log.exception("an account failed while reading was held up", action="own_fault")

    async def _hold(self) -> None:
        next_excuse = self._clock.now()
        while self._journal.backlog > BACKLOG_LOW and self._can_help():
            if next_excuse <= self._clock.now():
                next_excuse = Millis(self._clock.now() + EXCUSE_MS)
                self._tell_all(lambda member: member.excuse_silence())
            await self._clock.sleep(LOOK_MS)
        self.is_holding = False
        self._tell_all(lambda member: member.go_on_reading())
