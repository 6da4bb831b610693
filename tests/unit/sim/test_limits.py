"""What an address and an account may ask for."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from userstream.sim.books import Millis
from userstream.sim.limits import AddressMeter, Limits, LimitSettings, OrderMeter, Verdict, Window

MINUTE = 60_000
START = Millis(1_790_000_040_000 // MINUTE * MINUTE)
SMALL = LimitSettings(weight_per_minute=100, orders_per_10s=3, orders_per_minute=5, strikes_before_ban=2)


@given(st.lists(st.tuples(st.integers(0, 200_000), st.integers(0, 50)), max_size=40))
def test_a_window_holds_the_sum_of_its_own_span_only(steps: list[tuple[int, int]]) -> None:
    window = Window(MINUTE)
    spent: list[tuple[int, int]] = []
    now = START
    for wait, amount in steps:
        now = Millis(now + wait)
        spent.append((now // MINUTE, amount))
        assert window.add(amount, now) == sum(each for index, each in spent if index == now // MINUTE)


def test_windows_begin_at_full_minutes_of_the_clock() -> None:
    meter = AddressMeter(SMALL)
    assert meter.charge(90, Millis(START + 59_999)).used == 90
    assert meter.charge(90, Millis(START + 60_000)).used == 90


def test_too_much_weight_is_refused_with_the_seconds_to_the_next_minute() -> None:
    meter = AddressMeter(SMALL)
    meter.charge(100, START)
    charge = meter.charge(1, Millis(START + 12_500))
    assert charge.verdict is Verdict.SLOW_DOWN
    assert charge.retry_after_s == 48


@pytest.mark.parametrize(("lowered", "left"), [(60, 60), (200, 100)])
def test_a_lowered_budget_holds_for_whoever_asked_already_and_for_all_others(lowered: int, left: int) -> None:
    limits = Limits(SMALL)
    limits.charge("known", 0, START)
    limits.lower(lowered)
    for address in ("known", "new"):
        assert limits.charge(address, left, START).verdict is Verdict.ALLOWED
        assert limits.charge(address, 1, START).verdict is Verdict.SLOW_DOWN


def test_who_goes_on_is_banned_and_each_ban_is_longer() -> None:
    meter = AddressMeter(SMALL)
    now, lengths = START, []
    for _ in range(3):
        meter.charge(101, now)
        verdicts = [meter.charge(1, now).verdict for _ in range(2)]
        assert verdicts == [Verdict.SLOW_DOWN, Verdict.BANNED]
        lengths.append(meter.charge(1, now).retry_after_s)
        now = Millis(now + lengths[-1] * 1000)
    assert lengths == [120, 240, 480]


def test_a_ban_ends_by_itself_or_when_it_is_lifted() -> None:
    meter = AddressMeter(SMALL)
    meter.ban(120, START)
    assert meter.is_banned(Millis(START + 119_999))
    assert meter.charge(1, Millis(START + 120_000)).verdict is Verdict.ALLOWED
    meter.ban(120, START)
    meter.ban(0, START)
    assert not meter.is_banned(START)


def test_bans_never_grow_beyond_the_longest() -> None:
    settings = LimitSettings(weight_per_minute=1, strikes_before_ban=0, first_ban_s=100_000)
    meter = AddressMeter(settings)
    now, lengths = START, []
    for _ in range(4):
        lengths.append(meter.charge(2, now).retry_after_s)
        now = Millis(now + lengths[-1] * 1000)
    assert lengths == [100_000, 200_000, settings.longest_ban_s, settings.longest_ban_s]


def test_orders_count_in_two_windows_and_the_refused_one_does_not_count() -> None:
    meter = OrderMeter(SMALL)
    assert [meter.add(1, 1, START).exceeded for _ in range(4)] == ["", "", "", "10s"]
    assert meter.use(START).ten_seconds == 3
    later = Millis(START + 10_000)
    assert [meter.add(1, 1, later).exceeded for _ in range(3)] == ["", "", "1m"]
    assert meter.use(later).minute == 5


def test_a_day_can_be_limited_and_a_minute_left_free() -> None:
    meter = OrderMeter(LimitSettings(orders_per_10s=0, orders_per_minute=0, orders_per_day=3))
    assert [meter.add(1, 0, Millis(START + minute * MINUTE)).exceeded for minute in range(4)] == ["", "", "", "1d"]
    assert meter.use(START).day == 3
    assert meter.add(1, 0, Millis(START + 24 * 60 * MINUTE)).exceeded == ""


def test_a_batch_weighs_five_in_ten_seconds_and_one_in_the_minute() -> None:
    meter = OrderMeter(LimitSettings())
    use = meter.add(5, 1, START)
    assert (use.ten_seconds, use.minute) == (5, 1)


def test_connection_attempts_are_counted_only_when_there_is_a_limit() -> None:
    assert all(AddressMeter(SMALL).may_connect(START) for _ in range(1000))
    limited = AddressMeter(LimitSettings(connects_per_5_minutes=2))
    assert [limited.may_connect(START) for _ in range(3)] == [True, True, False]
    assert limited.may_connect(Millis(START + 5 * MINUTE))


def test_a_budget_counts_refusals_and_remembers_the_highest_minute() -> None:
    limits = Limits(SMALL)
    for weight in (60, 60, 60, 60):
        limits.charge("127.0.0.1", weight, START)
    assert (limits.slowed, limits.banned, limits.highest) == (2, 1, 240)
    limits.ban_all(0, START)
    assert not limits.address("127.0.0.1").is_banned(START)


def test_addresses_do_not_share_weight() -> None:
    limits = Limits(SMALL)
    limits.charge("127.0.0.1", 100, START)
    assert limits.charge("127.0.0.2", 100, START).verdict is Verdict.ALLOWED


def test_wallets_and_accounts_have_budgets_of_their_own() -> None:
    limits = Limits(LimitSettings(weight_per_minute=10, wallet_weight_per_minute=20, account_weight_per_minute=30))
    assert limits.charge("a", 10, START).verdict is Verdict.ALLOWED
    assert limits.charge_wallet("a", 20, START).verdict is Verdict.ALLOWED
    assert limits.charge_account("x", 30, START).verdict is Verdict.ALLOWED
    assert [limits.charge("a", 1, START).verdict, limits.charge_wallet("a", 1, START).verdict] == [Verdict.SLOW_DOWN] * 2
    assert limits.charge_account("x", 1, START).verdict is Verdict.SLOW_DOWN
    assert limits.charge_account("y", 1, START).verdict is Verdict.ALLOWED


def test_a_ban_of_the_address_is_for_wallets_too() -> None:
    limits = Limits(LimitSettings())
    limits.ban_all(60, START)
    assert limits.charge_wallet("127.0.0.1", 0, START).verdict is Verdict.BANNED
