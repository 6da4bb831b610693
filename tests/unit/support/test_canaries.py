"""What looks for leaks finds them: a search that finds nothing would prove nothing."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.canaries import find_leaks, forms_of

SECRET = 'c4n4ry/"+ secret\\of 32 characters'
WRITERS: tuple[Callable[[bytes], bytes], ...] = (
    bytes,
    lambda text: text.hex().encode(),
    lambda text: text.hex().upper().encode(),
    base64.b64encode,
    lambda text: quote(text, safe="").encode(),
    lambda text: json.dumps(text.decode()).encode(),
)


@pytest.mark.parametrize("write", WRITERS)
@given(before=st.text("abc ", max_size=7), after=st.text("abc ", max_size=7))
def test_a_secret_is_found_however_it_is_written(write: Callable[[bytes], bytes], before: str, after: str) -> None:
    leaked = write(f"{before}{SECRET}{after}".encode())
    assert find_leaks({"key": SECRET}, {"clean": b"nothing here", "log": b"line " + leaked + b" end"})


def test_its_beginning_is_a_leak_and_less_is_none() -> None:
    assert find_leaks({"key": SECRET}, {"log": SECRET[:8].encode()}) == ["key (beginning) in log"]
    assert find_leaks({"key": SECRET}, {"log": SECRET[:7].encode()}) == []


@given(st.text(st.characters(codec="ascii", categories=["L", "N"]), min_size=16, max_size=64))
def test_no_form_is_so_short_that_anything_would_be_it(secret: str) -> None:
    assert all(len(form) >= 8 for form in forms_of(secret).values())
