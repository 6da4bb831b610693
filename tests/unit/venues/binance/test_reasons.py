"""One line about bytes that cannot be read: the same line for the same trouble, and none of the content."""

from __future__ import annotations

import msgspec
import pytest

from userstream.venues.binance.reasons import reason_of


class Inner(msgspec.Struct):
    number: int = msgspec.field(name="n")


class Outer(msgspec.Struct):
    inner: Inner = msgspec.field(name="i")
    many: tuple[Inner, ...] = ()


@pytest.mark.parametrize(
    ("frame", "reason"),
    [
        (b"", "not JSON"),
        (b"{]", "not JSON"),
        (b"[1", "expected object, got array"),
        (b'{"i":"\xff"}', "field i: expected object, got str"),
        (b"{}", "field i is missing"),
        (b'{"i":{}}', "field i.n is missing"),
        (b'{"i":{"n":"secret"}}', "field i.n: expected int, got str"),
        (b'{"i":{"n":1},"many":[{"n":1},{"n":null}]}', "field many.n: expected int, got null"),
        (b'{"i":{"n":1},"many":[{"n":1},{}]}', "field many.n is missing"),
    ],
)
def test_the_reason_names_the_place(frame: bytes, reason: str) -> None:
    with pytest.raises(msgspec.MsgspecError) as caught:
        msgspec.json.decode(frame, type=Outer)
    assert reason_of(caught.value) == reason


def test_other_troubles() -> None:
    with pytest.raises(UnicodeDecodeError) as caught:
        msgspec.json.decode(b'"\xff"', type=str)
    assert reason_of(caught.value) == "not UTF-8"
    assert reason_of(RecursionError()) == "nested too deeply"
