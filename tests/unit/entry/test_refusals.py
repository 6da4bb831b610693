"""Every refusal of a paper exchange names the field, its value, the rule, and what to do."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import pytest

import userstream.sim
from userstream.entry.refusals import HINTS, FieldRule, Premises, explain

PREMISES = Premises(
    actions={
        "place": {
            "symbol": FieldRule("text", ""),
            "side": FieldRule("one of buy, sell", ""),
            "quantity": FieldRule("decimal", ""),
            "good_till_time": FieldRule("integer", "ms, only with gtd"),
        },
        "silence": {"for_s": FieldRule("decimal or null", "null: until resume")},
    },
    symbols=("BTCUSDT", "ETHUSDT"),
    account="paper",
)


@pytest.mark.parametrize(
    ("fields", "error", "told"),
    [
        ({"side": "bye"}, "Invalid enum value 'bye' - at `$.side`", "place: side = 'bye' must be one of buy, sell"),
        ({"quantity": "x"}, "Invalid decimal string - at `$.quantity`", "place: quantity = 'x' must be a decimal number such as '0.001'"),
        ({"symbol": None}, "Expected `str`, got `null` - at `$.symbol`", "place: symbol = None must be text"),
        ({}, "Object missing required field `side`", "place: side is missing: it must be one of buy, sell"),
        (
            {"good_till_time": "soon"},
            "Expected `int`, got `str` - at `$.good_till_time`",
            "place: good_till_time = 'soon' must be a whole number (ms, only with gtd)",
        ),
    ],
)
def test_a_field_that_is_wrong_in_itself(fields: Mapping[str, object], error: str, told: str) -> None:
    assert explain("place", fields, f"action 'place': {error}", "", PREMISES) == told


def test_a_field_that_may_be_left_out() -> None:
    told = explain("silence", {"for_s": "x"}, "action 'silence': Invalid decimal string - at `$.for_s`", "", PREMISES)
    assert told == "silence: for_s = 'x' must be a decimal number such as '0.001', or None (None: until resume)"


def test_a_field_that_there_is_not() -> None:
    told = explain("place", {"sid": "buy"}, "action 'place' has no field 'sid'; the nearest is 'side'", "", PREMISES)
    assert told == "place: there is no field 'sid'; did you mean 'side'?"


def test_what_the_books_refuse_is_told_with_the_values_that_its_text_leaves_out() -> None:
    fields = {"symbol": "BTCUSDT", "client_order_id": "a", "order_id": None}
    told = explain("cancel", fields, "order does not exist", "unknown_order", PREMISES)
    assert told == ("cancel: symbol = 'BTCUSDT', client_order_id = 'a': order does not exist; the orders it knows are in truth()['orders']")
    named = explain("place", {"quantity": "0"}, "quantity 0 is below 0.001", "quantity_too_small", PREMISES)
    assert named == "place: quantity 0 is below 0.001; take more"


@pytest.mark.parametrize("rule", ["unknown_symbol", "unknown_order"])
def test_a_symbol_that_is_not_traded_is_the_first_thing_told(rule: str) -> None:
    told = explain("cancel", {"symbol": "BTCUSD"}, "does not exist", rule, PREMISES)
    assert told == "cancel: symbol = 'BTCUSD' is not traded here; did you mean 'BTCUSDT'?"


def test_another_account() -> None:
    told = explain("cut", {"account": "bob"}, "there is no account 'bob'; there are paper", "", PREMISES)
    assert told == "cut: account = 'bob' is not known; this one is 'paper'"


def test_what_is_not_foreseen_keeps_the_words_of_the_exchange() -> None:
    assert explain("adl", {}, "it is too late", "too_late", PREMISES) == "adl: it is too late"
    assert explain("adl", {}, "it is too late", "", PREMISES) == "adl: it is too late"


def test_every_hint_is_for_a_rule_that_an_exchange_has() -> None:
    sources = Path(next(iter(userstream.sim.__path__))).rglob("*.py")
    rules = {rule for source in sources for rule in re.findall(r'Refused\("(\w+)"', source.read_text("utf-8"))}
    assert HINTS.keys() - rules == set()
