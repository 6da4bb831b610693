"""Which doubts have stayed open too long: messages of one execution arrive in any order, so each doubt gets its time."""

from __future__ import annotations

from typing import Final

import msgspec

from userstream.domain.account import Account, Doubt
from userstream.kernel.ids import Millis
from userstream.wire.recovery import Policy

DISPUTED_AFTER: Final = 3
"""After so many questions that did not settle it, a doubt is a mismatch."""

LONGEST_WAIT_MS: Final = 60_000


class Waiting(msgspec.Struct):
    number: int
    due: Millis
    tries: int = 0


class Doubts:
    """Keeps the time that the pure account does not know."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._waiting: dict[Doubt, Waiting] = {}

    def weigh(self, account: Account, now: Millis) -> tuple[list[tuple[Doubt, int]], list[Doubt]]:
        """The doubts to ask about now, with how often they were asked before; and those that have been settled since."""
        open_doubts = account.doubts
        settled = [doubt for doubt, waiting in self._waiting.items() if open_doubts.get(doubt) != waiting.number]
        for doubt in settled:
            del self._waiting[doubt]
        due: list[tuple[Doubt, int]] = []
        for doubt, number in list(open_doubts.items()):
            waiting = self._waiting.get(doubt)
            if waiting is None:
                self._waiting[doubt] = Waiting(number, Millis(now + self._limit_ms(doubt)))
            elif waiting.due <= now:
                due.append((doubt, waiting.tries))
                waiting.tries += 1
                waiting.due = Millis(now + min(LONGEST_WAIT_MS, self._limit_ms(doubt) * 2 ** (waiting.tries + 1)))
        return due, settled

    def _limit_ms(self, doubt: Doubt) -> int:
        return self._policy.order_doubt_ms if doubt.subject == "order" else self._policy.position_doubt_ms
