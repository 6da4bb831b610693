"""Cutting frames down to the keys that their shapes know."""

from __future__ import annotations

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.venues.binance.kit import Case, golden_cases, order_frame
from userstream.venues.binance.forms import ALL_EVENTS
from userstream.venues.binance.shapes import SHAPES, Shape, prune

TOY: Shape = {"a": None, "o": {"x": None, "l": {"y": None}}}
values = st.recursive(st.integers() | st.text(max_size=3), lambda inner: st.lists(inner, max_size=3), max_leaves=4)


def test_every_message_has_its_shape() -> None:
    assert SHAPES.keys() == {*ALL_EVENTS, "serverShutdown"}
    assert all("e" in shape and "E" in shape for shape in SHAPES.values())
    order = SHAPES["ORDER_TRADE_UPDATE"]["o"]
    assert order is not None and {"s", "rp", "M", "AP"} < order.keys()
    account = SHAPES["ACCOUNT_UPDATE"]["a"]
    assert account is not None and account["B"] is not None and account["B"].keys() == {"a", "wb", "cw", "bc"}


@pytest.mark.parametrize(
    ("frame", "kept", "unknown"),
    [
        (b'{"a":1}', b'{"a":1}', []),
        (b'{"a":1.10,"b":2}', b'{"a":1.10}', ["M.b"]),
        (b'{"b":{"a":1},"a":[{"b":2}]}', b'{"a":[{"b":2}]}', ["M.b"]),
        (b' {"o": {"x":"1","y":2,"l":[{"y":1,"z":2},{"z":3},4]}}', b'{"o":{"x":"1","l":[{"y":1},{},4]}}', ["M.o.y", "M.o.l.z"]),
        (b'{"o":null,"a":{}}', b'{"o":null,"a":{}}', []),
        (b'{"o":[5,{"w":1}]}', b'{"o":[5,{}]}', ["M.o.w"]),
        (b'{"a":1,"a":2}', b'{"a":2}', []),
        (b"5", b"5", []),
    ],
)
def test_unknown_keys_are_cut_out_and_named(frame: bytes, kept: bytes, unknown: list[str]) -> None:
    assert prune(frame, TOY, "M") == (kept, unknown)


def test_values_keep_their_exact_digits() -> None:
    frame = order_frame(zz=1).replace(b'"0.050"', b"0.0500000000000000000000000000000001")
    pruned, unknown = prune(frame, SHAPES["ORDER_TRADE_UPDATE"], "ORDER_TRADE_UPDATE")
    assert b'"q":"0.0500000000000000000000000000000001",' in pruned
    assert unknown == ["ORDER_TRADE_UPDATE.o.zz"]


@pytest.mark.parametrize("case", [case for name, case in golden_cases() if not name.startswith(("unrecognized", "envelope", "server"))])
def test_documented_messages_lose_nothing(case: Case) -> None:
    message = msgspec.json.decode(case.frame, type=dict[str, object])
    pruned, unknown = prune(case.frame, SHAPES[str(message["e"])], "x")
    assert (_digits_of(pruned), unknown) == (_digits_of(bytes(case.frame)), [])


def _digits_of(frame: bytes) -> object:
    """The message without the difference between text and number."""
    return json.loads(frame, parse_int=str, parse_float=str)


@given(st.dictionaries(st.sampled_from("abox"), values, max_size=4))
def test_pruning_twice_is_pruning_once(message: dict[str, object]) -> None:
    once, unknown = prune(msgspec.json.encode(message), TOY, "M")
    assert prune(once, TOY, "M") == (once, [])
    assert set(unknown) >= {f"M.{key}" for key in message if key not in TOY}
