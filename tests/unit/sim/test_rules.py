"""One form for every mistake: the field, its value, what it must be."""

from __future__ import annotations

from decimal import Decimal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from userstream.sim.actions import ACTIONS, Answer, Close, FillOrder, Place
from userstream.sim.books import Side
from userstream.sim.rules import FieldRule, explain_mistake, nearest, rules_of, show_given, show_value

ANYTHING = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.lists(st.integers(), max_size=2)


@given(st.sampled_from(sorted(ACTIONS)), st.dictionaries(st.sampled_from(["account", "symbol", "price", "ms", "code", "fields"]), ANYTHING))
def test_whatever_is_wrong_the_words_name_a_field_and_never_a_place_in_a_reader(name: str, fields: dict[str, object]) -> None:
    kind = ACTIONS[name]
    given = {field: value for field, value in fields.items() if field in kind.__struct_fields__}
    try:
        msgspec.convert(given, kind)
    except msgspec.ValidationError as wrong:
        told = explain_mistake(kind, given, wrong)
        assert "`" not in told.replace(str(given), "") or any("`" in str(value) for value in given.values())
        assert any(field in told for field in kind.__struct_fields__)


@pytest.mark.parametrize(
    ("kind", "fields", "told"),
    [
        (Place, {"account": "a"}, "symbol is missing: it must be text"),
        (Close, {"code": None}, "code null must be a whole number (1000 to 1003, 1007 to 1014, or 3000 to 4999)"),
        (Answer, {"apply": 1}, "apply 1 must be true or false (do what was asked, then answer with this)"),
        (Answer, {"headers": {"A": 5}}, "headers {'A': 5} must be an object"),
    ],
)
def test_a_mistake_has_one_form(kind: type[msgspec.Struct], fields: dict[str, object], told: str) -> None:
    with pytest.raises(msgspec.ValidationError) as caught:
        msgspec.convert(fields, kind)
    assert explain_mistake(kind, fields, caught.value) == told


def test_a_rule_says_what_may_stand_there_and_what_it_means() -> None:
    assert rules_of(Place)["side"] == FieldRule("one of buy, sell", "")
    assert rules_of(FillOrder)["quantity"].words == "must be a decimal number such as '0.001', or null (null: all that is left)"


def test_values_are_shown_as_a_script_has_them_and_long_ones_cut() -> None:
    assert [show_value(value) for value in ("a", Side.BUY, None, True, Decimal("1.50"), 7)] == [
        "'a'",
        "'buy'",
        "null",
        "true",
        "1.50",
        "7",
    ]
    assert len(show_value("x" * 10_000)) < 100


def test_what_was_given_is_told_without_what_was_not() -> None:
    told = show_given(FillOrder(account="a", symbol="B", order_id=7, quantity=Decimal("0.5")))
    assert told == "account 'a', symbol 'B', order_id 7, quantity 0.5"


def test_there_is_always_a_nearest_word() -> None:
    assert nearest("", ["b", "a"]) in ("a", "b")
    assert nearest("cutt", ACTIONS) == "cut"
