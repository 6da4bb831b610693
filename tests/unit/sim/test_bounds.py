"""Numbers of actions and steps: what is no number, and what no exchange lives to see, is refused."""

from __future__ import annotations

from decimal import Decimal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from userstream.sim.actions import ACTIONS, BadAction, parse_action
from userstream.sim.bounds import LONGEST_S, MOST_EVENTS_PER_S, check_close, check_numbers
from userstream.sim.faults import load_script


class Numbers(msgspec.Struct, frozen=True, kw_only=True):
    price: Decimal = Decimal(1)
    amount: Decimal = Decimal(1)
    for_s: Decimal | None = None
    events_per_s: Decimal = Decimal(1)
    word: str = "nan"


@given(st.decimals(0, LONGEST_S), st.decimals(allow_nan=False, allow_infinity=False), st.decimals(0, MOST_EVENTS_PER_S))
def test_every_number_and_every_lasting_time_passes(lasting: Decimal, amount: Decimal, rate: Decimal) -> None:
    check_numbers(Numbers(price=abs(amount), amount=amount, for_s=lasting, events_per_s=rate))


@given(st.decimals(max_value=0, allow_nan=False, allow_infinity=False).filter(lambda price: price < 0))
def test_no_price_below_zero_passes(price: Decimal) -> None:
    with pytest.raises(ValueError, match="must be 0 or more") as caught:
        check_numbers(Numbers(price=price))
    assert str(caught.value).startswith(f"price {price} ")


@given(st.integers(-10, 70_000))
def test_the_codes_that_pass_are_those_that_a_close_frame_may_carry(code: int) -> None:
    may = code in (1000, 1001, 1002, 1003) or 1007 <= code <= 1014 or 3000 <= code <= 4999
    try:
        check_close(code, "x" * 123)
    except ValueError as wrong:
        assert not may and str(wrong).startswith(f"code {code} must be")
    else:
        assert may
    with pytest.raises(ValueError, match="must be 123 bytes or less"):
        check_close(1000, "x" * 124)


@given(st.decimals(allow_nan=False, allow_infinity=False).filter(lambda rate: not 0 <= rate <= MOST_EVENTS_PER_S))
def test_no_rate_passes_that_one_process_cannot_do(rate: Decimal) -> None:
    with pytest.raises(ValueError, match="must be between 0 and 10000 events per second") as caught:
        check_numbers(Numbers(events_per_s=rate))
    assert str(caught.value).startswith(f"events_per_s {rate} ")


@given(st.decimals().filter(lambda number: not number.is_finite() or not 0 <= number <= LONGEST_S))
def test_no_other_time_passes_and_the_field_is_named_with_its_value(lasting: Decimal) -> None:
    with pytest.raises(ValueError, match="for_s") as caught:
        check_numbers(Numbers(for_s=lasting))
    assert str(lasting) in str(caught.value)


@pytest.mark.parametrize("price", ["NaN", "sNaN", "Infinity", "-Infinity"])
def test_what_is_no_number_is_refused_in_every_field(price: str) -> None:
    with pytest.raises(ValueError, match=f"price {price} must be a finite number"):
        check_numbers(Numbers(price=Decimal(price)))


@given(st.sampled_from(sorted(ACTIONS)), st.sampled_from(["nan", "inf", "-inf"]))
def test_no_action_takes_a_number_that_is_none(name: str, number: str) -> None:
    for field in ACTIONS[name].__struct_fields__:
        with pytest.raises(BadAction):
            parse_action(name, {field: float(number)})


@given(st.floats(), st.sampled_from(["at_s", "every_s", "from_s", "until_s"]))
def test_whatever_the_time_of_a_step_is_it_can_be_followed_or_is_refused_in_words(number: float, field: str) -> None:
    times = {"every_s": 1, field: number} if field in ("from_s", "until_s") else {field: number}
    try:
        script = load_script(msgspec.json.encode([{"action": "cut", **times}]))
    except ValueError:
        return
    assert len(script.due(Decimal(-1), Decimal(5))) <= 5_000
