"""What a feed said beyond the documents: counted every time, told once, with a sample that holds no secret."""

from __future__ import annotations

import re
from typing import Final, TypeVar

from userstream.domain.events import Unrecognized
from userstream.kernel.ids import AccountId, Millis, VenueName
from userstream.kernel.text import printable

Word = TypeVar("Word")

MOST_NAMES: Final = 1_000
"""How many different unknown things are counted by name; a feed of garbage must not fill the memory."""

OVERFLOW: Final = "event (others)"
SAMPLE_LENGTH: Final = 200
NAME_LENGTH: Final = 120
_LOOKED_AT: Final = 4_096

_NAMED_SECRET: Final = re.compile(r'("(?:listenKey|stream|apiKey|signature)"\s*:\s*")[^"]*')
# Order ids end at 36 characters, listen keys and signatures begin at 60.
_LONG_RUN: Final = re.compile(r"[A-Za-z0-9+/=]{40,}")
_CUT_RUN: Final = re.compile(r"[A-Za-z0-9+/=]+\Z")


def without_secrets(text: str) -> str:
    """The text without what is, or looks like, a listen key."""
    return _LONG_RUN.sub("***", _NAMED_SECRET.sub(r"\1***", text))


def sample_of(frame: bytes) -> str:
    """The beginning of a frame for people: at most 200 characters, one line, no secrets."""
    text = frame[:_LOOKED_AT].decode("utf-8", "replace")
    if len(frame) > _LOOKED_AT:
        text = _CUT_RUN.sub("***", text)
    return printable(without_secrets(text))[:SAMPLE_LENGTH]


def short(text: str) -> str:
    """A name from a frame, fit for a counter."""
    return printable(without_secrets(text))[:NAME_LENGTH]


class Drift:
    """One feed's account of unknown things. Owned by one decoder; `news` is emptied after each frame;
    `seen` counts all."""

    __slots__ = ("account", "counts", "news", "seen", "venue")

    def __init__(self, account: AccountId, venue: VenueName) -> None:
        self.account = account
        self.venue = venue
        self.counts: dict[str, int] = {}
        self.news: list[tuple[str, str]] = []
        self.seen = 0

    def count(self, name: str) -> bool:
        """Counts it; True if it was never seen before."""
        if name not in self.counts and len(self.counts) >= MOST_NAMES:
            name = OVERFLOW
        self.seen += 1
        before = self.counts.get(name, 0)
        self.counts[name] = before + 1
        return before == 0

    def word(self, path: str, word: str, meaning: Word) -> Word:
        """Counts a word no table knows and gives back what to use instead."""
        name = short(f"word {path}={word}")
        if self.count(name):
            self.news.append((name, "a word the documents do not list"))
        return meaning

    def text(self, path: str, word: str) -> str:
        """As `word`, for free text: the word itself in lower case. An empty word is none."""
        return self.word(path, word, word.lower()) if word else ""

    def field(self, path: str) -> None:
        """Counts a field no struct knows."""
        name = short(f"field {path}")
        if self.count(name):
            self.news.append((name, "a field the documents do not list"))

    def unrecognized(self, name: str, reason: str, frame: bytes, event_time: Millis, received_time: Millis) -> Unrecognized:
        return Unrecognized(
            account=self.account,
            venue=self.venue,
            event_time=event_time,
            received_time=received_time,
            name=name,
            reason=reason,
            sample=sample_of(frame),
        )
