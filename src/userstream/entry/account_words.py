"""What may be said of an account beside its key: its name, its label, its symbols. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from userstream.kernel.errors import SettingsError

LONGEST_NAME: Final = 64
LONGEST_WORDS: Final = 200
OWN_SUBJECTS: Final = ("(store)", "(connections)")
"""What the health of the service as a whole is told under."""
_SYMBOL: Final = re.compile(r"\w{1,40}")


def check_name(name: object) -> None:
    """Raises SettingsError for what no account can be called: it stands in logs, in file names and in addresses of the HTTP API."""
    if not name or (isinstance(name, str) and not name.strip()):
        raise SettingsError(f"account name {name!r} is empty: every account needs a name of its own")
    if not isinstance(name, str) or not name.isprintable():
        raise SettingsError(f"account name {name!r} must be one short line of text")
    if len(name) > LONGEST_NAME:
        raise SettingsError(
            f"account name {name[:LONGEST_NAME]!r}... must be one short line: at most {LONGEST_NAME} characters, not {len(name)}"
        )
    if name != name.strip():
        raise SettingsError(f"account name {name!r} begins or ends with a blank: leave it out")
    if "/" in name or name in (".", ".."):
        raise SettingsError(
            f"account name {name!r} cannot be part of an address of the HTTP API: leave out '/', and do not call it '.' or '..'"
        )
    if name in OWN_SUBJECTS:
        raise SettingsError(f"account name {name!r} is taken: the service itself is told under it; choose another name")


def check_words(**words: str) -> None:
    """Raises SettingsError for what is not one short line."""
    for field, text in words.items():
        rule = f"{field} must be one short line"
        if not text.isprintable():
            raise SettingsError(f"{rule}: this one holds line ends or other characters that cannot be shown")
        if len(text) > LONGEST_WORDS:
            raise SettingsError(f"{rule}: at most {LONGEST_WORDS} characters, not {len(text)}")


def check_symbols(field: str, symbols: Iterable[object]) -> None:
    """Raises SettingsError for what no venue calls a symbol so: the venue would refuse each question for it, for ever."""
    names = tuple(symbols)
    if not all(isinstance(name, str) and name.strip() for name in names):
        raise SettingsError(f"{field} = {names!r} must hold names such as BTCUSDT")
    for name in map(str, names):
        if not _SYMBOL.fullmatch(name) or name != name.upper():
            raise SettingsError(
                f"{field}: {name!r} is no symbol: write it as the venue does, in capital letters and digits without a sign between them,"
                " such as BTCUSDT (COIN-M: BTCUSD_PERP)"
            )
