"""What a query may hold is said by the API document, and what it may not hold is said in words."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from userstream.entry.web.queries import LONGEST_SHOWN, Parameter, read_parameters, refuse_body, refuse_names, refuse_values

KNOWN = {
    "limit": Parameter(place="query", rule="a whole number from 1 to 9"),
    "account": Parameter(place="query", rule="text"),
    "name": Parameter(place="path", rule="text"),
}


def rule_of(schema: dict[str, object], description: str = "") -> str:
    parameter = {"name": "x", "in": "query", "schema": schema, "description": description}
    return read_parameters({"paths": {"/a": {"get": {"parameters": [parameter]}}}})["get", "/a"]["x"].rule


@pytest.mark.parametrize(
    ("schema", "rule"),
    [
        ({"type": "integer", "minimum": 1.0, "maximum": 1000.0}, "a whole number from 1 to 1000"),
        ({"type": "integer", "minimum": 0}, "a whole number from 0"),
        ({"type": "integer", "maximum": 7}, "a whole number up to 7"),
        ({"type": "integer"}, "a whole number"),
        ({"oneOf": [{"type": "integer"}, {"type": "null"}], "minimum": 0, "maximum": 5}, "a whole number from 0 to 5"),
        ({"type": ["null", "string"], "enum": ["json", "csv", None]}, "one of json, csv"),
        ({"type": "string", "maxLength": 64}, "text of at most 64 characters"),
        ({"type": "string", "pattern": "^a$"}, "text of the form ^a$"),
        ({"type": "string"}, "as the API document says"),
    ],
)
def test_a_rule_is_the_end_of_a_sentence(schema: dict[str, object], rule: str) -> None:
    assert rule_of(schema) == rule


def test_a_form_of_its_own_is_told_by_its_description() -> None:
    assert rule_of({"type": "string", "pattern": "^[0-9]+$"}, "The cursor.") == "The cursor"


def test_headers_are_no_parameters() -> None:
    header = {"name": "x-request", "in": "header", "schema": {"type": "string"}}
    assert read_parameters({"paths": {"/a": {"post": {"parameters": [header]}, "get": {}}}}) == {("post", "/a"): {}, ("get", "/a"): {}}


@given(st.lists(st.sampled_from(["limit", "account"]), unique=True))
def test_what_is_known_may_come_in_any_order_once(names: list[str]) -> None:
    assert refuse_names(KNOWN, names) is None
    for name in names:
        told = refuse_names(KNOWN, [*names, name])
        assert told is not None and told.status == 400 and name in told.message


@given(st.text().filter(lambda name: name not in ("limit", "account")))
def test_what_is_not_known_is_named(name: str) -> None:
    told = refuse_names(KNOWN, ["limit", name])
    assert told is not None and (told.status, told.code) == (400, "unknown_parameter")
    assert "\n" not in told.message and (len(name) > LONGEST_SHOWN or repr(name) in told.message)


@given(st.text(min_size=LONGEST_SHOWN + 1, max_size=9_000))
def test_a_long_value_is_shown_by_its_beginning(value: str) -> None:
    message = refuse_values(KNOWN, [("limit", value)]).message
    assert message == f"limit = {value[:LONGEST_SHOWN] + '...'!r} must be a whole number from 1 to 9"


def test_a_body_is_told_field_by_field() -> None:
    told = refuse_body([("data", "Expected `object`"), ("venue", "Expected `str`")])
    assert (told.status, told.code) == (400, "bad_body")
    assert told.message == "the body is not as the API document says: Expected `object`; venue: Expected `str`"
