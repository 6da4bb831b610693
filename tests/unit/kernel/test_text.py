"""What others wrote cannot command the terminal on which it is shown."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from userstream.kernel.text import printable


@given(st.text())
def test_each_letter_that_can_be_printed_stays_and_no_other_does(text: str) -> None:
    shown = printable(text)
    assert shown.isprintable()
    assert len(shown) == len(text)
    assert all(new == (old if old.isprintable() else "\ufffd") for old, new in zip(text, shown, strict=True))


@pytest.mark.parametrize("text", ["\x1b[2J", "a\r\nb", "\x9b31m", "\u202egnp.exe", "\x07"])
def test_commands_to_a_terminal_are_replaced(text: str) -> None:
    assert printable(text) != text


def test_words_of_any_language_stay() -> None:
    assert printable("\u5927 \u00e9t\u00e9 BTC-USDT") == "\u5927 \u00e9t\u00e9 BTC-USDT"
