"""What a margin account owes."""

from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from userstream.sim.books import Millis
from userstream.sim.ledger import money
from userstream.sim.spot.loans import HOURLY_RATE, MarginAccount

NOW = Millis(1_790_000_000_000)
AMOUNTS = st.decimals("0.00000001", "100000", places=8)


def account() -> MarginAccount:
    return MarginAccount("alice", 1, {"USDT": Decimal(1000)}, NOW, user="alice")


def test_the_first_hour_is_charged_at_once_and_each_hour_again() -> None:
    owner = account()
    first = owner.add_principal("USDT", Decimal(1000), NOW)
    assert (first.kind, first.principal, first.interest) == ("borrow", Decimal(1000), 1000 * HOURLY_RATE)
    line = owner.charge("USDT", NOW)
    assert line is not None
    assert (line.kind, line.principal, line.interest, line.owed) == ("interest", Decimal(0), 1000 * HOURLY_RATE, 1000 + 2000 * HOURLY_RATE)


def test_interest_is_paid_before_principal() -> None:
    owner = account()
    owner.add_principal("USDT", Decimal(1000), NOW)
    line = owner.pay_back("USDT", Decimal("0.02"), NOW)
    assert (line.interest, line.principal) == (Decimal("0.0125"), Decimal("0.0075"))
    assert owner.debts["USDT"].interest == 0


def test_a_debt_too_small_for_interest_is_never_charged() -> None:
    owner = account()
    owner.add_principal("BTC", Decimal("0.0001"), NOW)
    assert owner.charge("BTC", NOW) is None
    assert len(owner.lines) == 1


@given(st.lists(st.tuples(st.sampled_from(["borrow", "charge", "repay"]), AMOUNTS), max_size=30))
def test_what_is_owed_is_the_sum_of_the_lines(steps: list[tuple[str, Decimal]]) -> None:
    owner = account()
    for step, amount in steps:
        owed = owner.owed("USDT")
        if step == "borrow":
            owner.add_principal("USDT", amount, NOW)
        elif step == "charge" and owed:
            owner.charge("USDT", NOW)
        elif owed:
            owner.pay_back("USDT", min(amount, owed), NOW)
    signs = {"borrow": 1, "interest": 1, "repay": -1}
    assert owner.owed("USDT") == sum(signs[line.kind] * line.amount for line in owner.lines)
    assert owner.owed("USDT") >= 0
    assert owner.owed("USDT") == money(owner.owed("USDT"))
    assert len({line.loan_id for line in owner.lines}) == len(owner.lines)
