"""Every refusal of a paper exchange names the field, its value, the rule, and what to do."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import userstream.sim
from userstream.entry.refusals import HINTS, Premises, explain

PREMISES = Premises(
    actions={"place": ("symbol", "side", "quantity", "good_till_time"), "silence": ("for_s",)},
    symbols=("BTCUSDT", "ETHUSDT"),
    account="paper",
)


def test_a_field_that_is_wrong_in_itself_is_told_as_the_exchange_tells_it_with_pythons_word_for_nothing() -> None:
    side = "side 'bye' must be one of buy, sell"
    assert explain("place", {"side": "bye"}, f"action 'place': {side}", "", PREMISES) == f"place: {side}"
    lasts = "for_s 'x' must be a decimal number such as '0.001', or null (null: until resume)"
    told = explain("silence", {"for_s": "x"}, f"action 'silence': {lasts}", "", PREMISES)
    assert told == "silence: for_s 'x' must be a decimal number such as '0.001', or None (None: until resume)"


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
