"""The errors that all products of the family share."""

from userstream.sim.books import Refused
from userstream.sim.dialects.binance_errors import COMMON, VenueError, Vocabulary, invalid, missing, missing_both, not_required

WORDS = Vocabulary({-1013: "Filter failure", -1121: "No such pair."}, {"bad_tick": (-1013, "PRICE_FILTER"), "unknown_order": (-2013, "")})


def test_a_product_adds_its_own_texts_to_those_of_the_family() -> None:
    assert WORDS.refuse(-2013).text == COMMON[-2013]
    assert WORDS.refuse(-1121).text == "No such pair."
    assert WORDS.refuse(-9999).text == COMMON[-1000]


def test_a_rule_of_the_books_becomes_a_code_with_its_own_text() -> None:
    found = WORDS.translate(Refused("bad_tick"))
    assert (found.code, found.text, found.status) == (-1013, "PRICE_FILTER", 400)
    assert WORDS.translate(Refused("never heard of")).code == -1000


def test_what_is_not_there_may_have_another_code() -> None:
    assert WORDS.translate(Refused("unknown_order"), unknown=-2011).code == -2011
    assert WORDS.translate(Refused("bad_tick"), unknown=-2011).code == -1013


def test_the_body_shows_what_more_there_is_to_say() -> None:
    wrong = WORDS.refuse(-2021, "half done", status=409, data={"cancelResult": "SUCCESS"})
    assert (wrong.status, wrong.body) == (409, {"code": -2021, "msg": "half done", "data": {"cancelResult": "SUCCESS"}})
    assert VenueError(-1000).body == {"code": -1000, "msg": COMMON[-1000]}


def test_the_parameters_that_are_wrong_are_named() -> None:
    assert (missing("side").code, invalid("side").code, not_required("side").code) == (-1102, -1130, -1106)
    assert all("'side'" in wrong.text for wrong in (missing("side"), invalid("side"), not_required("side")))
    assert "'orderId' or 'origClientOrderId'" in missing_both("orderId", "origClientOrderId").text
