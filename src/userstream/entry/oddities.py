"""Messages of the venue that could not be understood, told in the log: the first at once, of many only how many they have become."""

from __future__ import annotations

from collections import Counter

import structlog

from userstream.domain.events import Unrecognized

_log = structlog.get_logger("userstream.run")


class Oddities:
    """Counts them for one account, by what they are, and tells of the 1st, the 10th, the 100th, ...: a storm of them fills no log. Their
    bytes are in the journal."""

    MOST_NAMES = 100
    """Kinds that are counted each by itself; a venue that invents names fills neither the log nor the memory."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()

    def note(self, event: Unrecognized) -> None:
        """Tells of it where its number is a power of ten."""
        name = event.name if event.name in self._counts or len(self._counts) < self.MOST_NAMES else "others"
        self._counts[name] += 1
        count = self._counts[name]
        if _is_power_of_ten(count):
            words = (
                "a message could not be understood" if count == 1 else f"{count} messages of a kind could not be understood since the start"
            )
            _log.warning(words, action="unrecognized", account=event.account, name=name, count=count, reason=event.reason)


def _is_power_of_ten(count: int) -> bool:
    return str(count).rstrip("0") == "1"
