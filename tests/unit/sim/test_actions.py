"""The records of what can be done, their reader, and the notes about them."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from userstream.sim.actions import ACTIONS, BadAction, Drop, Place, Raw, name_of, parse_action
from userstream.sim.books import Side


def test_amounts_come_as_text_or_as_numbers_and_stay_exact() -> None:
    action = parse_action("place", {"account": "a", "symbol": "B", "side": "sell", "quantity": "0.10", "price": Decimal("81000.1")})
    assert action == Place(account="a", symbol="B", side=Side.SELL, quantity=Decimal("0.10"), price=Decimal("81000.1"))


@pytest.mark.parametrize(
    ("name", "fields", "words"),
    [
        ("sillence", {}, ["'sillence'", "'silence'"]),
        ("movePrice", {}, ["'move_price'"]),
        ("silence", {"fors": 1}, ["'fors'", "'for_s'"]),
        ("place", {"account": "a", "symbl": "B"}, ["'symbl'", "'symbol'"]),
        ("cut", {"account": 3}, ["'cut': account 3 must be text"]),
        ("place", {"account": "a", "symbol": "B", "quantity": "1", "side": "buye"}, ["'place': side 'buye' must be one of buy, sell"]),
        ("transfer", {"account": "a", "asset": "USDT"}, ["amount is missing: it must be a decimal number"]),
        ("pause_trading", {"now": True}, ["no fields", "'now'"]),
        ("drop", {"probability": 2}, ["between 0 and 1"]),
        ("drop", {"count": 0}, ["count"]),
        ("rate", {"events_per_s": -1}, ["events_per_s"]),
        ("rate", {"events_per_s": "10000.1"}, ["events_per_s 10000.1", "between 0 and 10000"]),
        ("rate", {"events_per_s": "1e300000"}, ["events_per_s", "between 0 and 10000"]),
        ("rest_lag", {"ms": 40_000}, ["ms 40000 must be a whole number (0 to 30000)"]),
        ("answer", {"path": "fapi"}, ["path 'fapi' must be text (a slash and the beginning of a path, for instance /fapi/v1/order)"]),
        ("raw", {}, ["text and hex"]),
        ("raw", {"text": "a", "hex": "00"}, ["text and hex"]),
        ("raw", {"hex": "0g"}, ["hex '0g' must be pairs of hexadecimal digits"]),
        ("raw", {"hex": "000"}, ["hex '000' must be"]),
        ("fill", {"account": "a", "symbol": "B"}, ["give one of order_id and client_order_id"]),
        ("fill", {"account": "a", "symbol": "B", "order_id": 1, "price": "-1"}, ["price -1 must be 0 or more"]),
        ("move_price", {"symbol": "B", "price": -5}, ["price -5 must be 0 or more"]),
        ("place", {"account": "a", "symbol": "B", "side": "buy", "quantity": "-0.1"}, ["quantity -0.1 must be 0 or more"]),
        ("close", {"code": "gone"}, ["code 'gone' must be a whole number (1000 to 1003"]),
        ("close", {"code": 1006}, ["code 1006 must be one that a WebSocket may send: 1000 to 1003, 1007 to 1014, or 3000 to 4999"]),
        ("close", {"reason": "é" * 62}, ["reason", "must be 123 bytes or less"]),
        ("margin_call", {"account": "*"}, ["'margin_call': account '*' must be the name of one account"]),
    ],
)
def test_a_mistake_is_named_with_the_nearest_word(name: str, fields: dict[str, object], words: list[str]) -> None:
    with pytest.raises(BadAction) as raised:
        parse_action(name, fields)
    assert all(word in str(raised.value) for word in words), str(raised.value)


@given(st.text(max_size=30), st.dictionaries(st.text(max_size=10), st.none() | st.booleans() | st.integers() | st.text(), max_size=3))
def test_whatever_is_sent_only_a_bad_action_is_raised(name: str, fields: dict[str, object]) -> None:
    for each in (name, *ACTIONS):
        try:
            assert isinstance(parse_action(each, fields), ACTIONS[each])
        except BadAction as wrong:
            assert str(wrong)


def test_defaults_of_rules_are_one_frame_of_any_event_of_everybody() -> None:
    assert parse_action("drop", {}) == Drop(account="*", event="*")
    assert parse_action("raw", {"text": "{}"}) == Raw(text="{}")


def test_every_action_knows_its_word() -> None:
    assert (name_of(Drop()), name_of(Raw(text=""))) == ("drop", "raw")
