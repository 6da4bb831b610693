"""What is available, where only the books tell it: the answer that was asked last counts, in whichever order they come."""

from __future__ import annotations

from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from tests.support.events import A_TIME, balance_set
from userstream.domain.account import Account
from userstream.domain.fold import apply
from userstream.kernel.ids import AccountId, VenueName


@given(st.permutations(range(4)))
def test_the_answer_that_was_asked_last_says_what_is_available(arrival: list[int]) -> None:
    account = Account(AccountId("alice"), VenueName("binance-usdm"), lag_ms=5_000)
    apply(account, balance_set(asset="USDT", total="100", available=None, transaction_time=A_TIME), 1)
    for number in arrival:
        told = balance_set(
            asset="USDT", total="100", available=str(number), source="snapshot", transaction_time=A_TIME, as_of=A_TIME + number
        )
        assert apply(account, told) is None, "too early to count"
    assert account.available["USDT"] == (Decimal(3), A_TIME + 3)
