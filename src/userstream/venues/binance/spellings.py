"""Names of messages that the documents spell in more than one way: read in any case, with underscores or without (Binance margin, 4.4)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Final, TypeVar

import msgspec

from userstream.venues.binance.shapes import Shape

Read = TypeVar("Read")

_TOP: Final = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_TEXT: Final = msgspec.json.Decoder(str).decode
_ENCODE: Final = msgspec.json.Encoder().encode


def folded(name: str) -> str:
    """The same for all spellings of a name."""
    return name.replace("_", "").casefold()


class AnySpelling(Mapping[str, Shape]):
    """Shapes by the names of their messages, in any spelling."""

    def __init__(self, shapes: Mapping[str, Shape]) -> None:
        self._shapes = shapes
        self._names = {folded(name): name for name in shapes}

    def __getitem__(self, name: str) -> Shape:
        return self._shapes[self.known(name)]

    def __iter__(self) -> Iterator[str]:
        return iter(self._shapes)

    def __len__(self) -> int:
        return len(self._shapes)

    def known(self, name: str) -> str:
        """The spelling that the message structs have. Raises KeyError for a name that is none of theirs in any spelling."""
        return name if name in self._shapes else self._names[folded(name)]

    def reader(self, read: Callable[[bytes], Read]) -> Callable[[bytes], Read]:
        """The same reader, for messages that spell their name otherwise. A frame in a known spelling is read once, and no slower."""

        def read_any(frame: bytes) -> Read:
            try:
                return read(frame)
            except msgspec.ValidationError:
                renamed = self._renamed(frame)
                if renamed is None:
                    raise
            return read(renamed)

        return read_any

    def _renamed(self, frame: bytes) -> bytes | None:
        """The frame under the known spelling of its name; None where that would change nothing."""
        try:
            top = _TOP(frame)
            name = _TEXT(top["e"])
            known = self.known(name)
        except (KeyError, msgspec.ValidationError):
            return None
        return None if known == name else _ENCODE({**top, "e": known})
