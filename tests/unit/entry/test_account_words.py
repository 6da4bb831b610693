"""Names, labels and symbols: each slip is told with its rule and its limit."""

from __future__ import annotations

import pytest

from userstream.entry.account_words import check_name, check_symbols, check_words
from userstream.kernel.errors import SettingsError


@pytest.mark.parametrize("name", ["alice", "Desk 7", "a" * 64, "küche-2", "(alice)"])
def test_names_that_can_be(name: str) -> None:
    check_name(name)


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("", "is empty"),
        ("  ", "is empty"),
        (7, "one short line"),
        ("a\nb", "one short line"),
        ("a" * 65, "at most 64 characters, not 65"),
        (" alice", "begins or ends with a blank"),
        ("alice ", "begins or ends with a blank"),
        ("a/b", "leave out '/'"),
        ("..", "leave out '/'"),
        ("(store)", "is taken"),
    ],
)
def test_names_that_cannot_be(name: object, why: str) -> None:
    with pytest.raises(SettingsError, match=why):
        check_name(name)


def test_words_are_one_short_line() -> None:
    check_words(label="", user="desk")
    with pytest.raises(SettingsError, match="label must be one short line: this one holds line ends"):
        check_words(label="a\nb")
    with pytest.raises(SettingsError, match="label must be one short line: at most 200 characters, not 500"):
        check_words(label="x" * 500)


def test_symbols_are_written_as_the_venue_does() -> None:
    check_symbols("symbols", ("BTCUSDT", "BTCUSD_PERP", "BTCUSDT_270326", "1000PEPEUSDT"))
    for slip in ("BTC/USDT", "btcusdt", "BTC-USDT", "BTC USDT", " BTCUSDT", "BTC/USDT:USDT", "X" * 41):
        with pytest.raises(SettingsError, match=r"is no symbol: write it as the venue does.*such as BTCUSDT"):
            check_symbols("symbols", ("ETHUSDT", slip))
    for nothing in ("", " ", 7):
        with pytest.raises(SettingsError, match="must hold names such as BTCUSDT"):
            check_symbols("symbols", (nothing,))
