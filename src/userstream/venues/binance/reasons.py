"""One line for people about bytes that could not be read, without any of their content."""

from __future__ import annotations

import re
from typing import Final

import msgspec

_PLACE: Final = re.compile(r" - at `\$([^`]*)`$")
_INDEX: Final = re.compile(r"\[[^\]]*\]")
_MISSING: Final = re.compile(r"^Object missing required field `([^`]*)`$")


def reason_of(error: Exception) -> str:
    """Why the typed decoder refused: 'field o.s is missing', 'field o.i: expected int, got str', 'not JSON', 'not UTF-8'.

    The same kind of trouble gives the same line each time, so that it can be counted.
    """
    if isinstance(error, UnicodeDecodeError):
        return "not UTF-8"
    if isinstance(error, RecursionError):
        return "nested too deeply"
    if not isinstance(error, msgspec.ValidationError):
        return "not JSON"
    return _validation_reason(str(error))


def _validation_reason(text: str) -> str:
    place = ""
    if found := _PLACE.search(text):
        place = _INDEX.sub("", found[1]).strip(".")
        text = text[: found.start()]
    if missing := _MISSING.match(text):
        path = f"{place}.{missing[1]}" if place else missing[1]
        return f"field {path} is missing"
    words = text.replace("`", "")
    words = words[:1].lower() + words[1:]
    return f"field {place}: {words}" if place else words
