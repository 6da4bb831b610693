"""What is done with accounts, and when: one case for each action."""

from __future__ import annotations

import pytest

from userstream.domain.plan import (
    BUDGET,
    CLOSED,
    DARK,
    MINUTE_MS,
    REFUSED,
    Action,
    Connection,
    Place,
    PlanPolicy,
    Reconnect,
    Restart,
    Start,
    Stop,
    Wait,
    Wanted,
    plan,
)
from userstream.kernel.ids import AccountId, Millis

NOW = Millis(10_000_000)
HOME = "venue"
WIDE = {HOME: Place(weight_per_minute=1_000)}


def wanted(name: str, revision: str = "1", *, weight: int = 1, exposed: bool = False) -> Wanted:
    return Wanted(account=AccountId(name), revision=revision, place=HOME, weight=weight, is_exposed=exposed)


def running(name: str, *, dark_since: int | None = None, reconnects: int = 0, exposed: bool = False) -> Connection:
    dark = None if dark_since is None else Millis(dark_since)
    return Connection(account=AccountId(name), revision="1", began=Millis(0), dark_since=dark, reconnects=reconnects, is_exposed=exposed)


def given_up(name: str, failed_at: int, failures: int = 1) -> Connection:
    return Connection(account=AccountId(name), revision="1", began=Millis(0), failed_at=Millis(failed_at), failures=failures)


def names(actions: tuple[Action, ...], kind: type[Action]) -> list[str]:
    return [str(action.account) for action in actions if type(action) is kind]


def test_what_is_wanted_is_started_what_is_not_is_stopped_and_the_rest_left_alone() -> None:
    actions = plan([wanted("new"), wanted("same")], [running("same"), running("gone")], NOW, WIDE)
    assert actions == (Stop(AccountId("gone")), Start(AccountId("new")))
    assert plan([wanted("same")], [running("same")], NOW, WIDE) == ()


def test_a_changed_row_begins_its_account_anew_even_one_that_was_given_up_a_moment_ago() -> None:
    actions = plan([wanted("live", "2"), wanted("bad", "2")], [running("live"), given_up("bad", NOW - 1)], NOW, WIDE)
    assert sorted(names(actions, Restart)) == ["bad", "live"]


def test_darkness_is_first_the_accounts_own_affair() -> None:
    policy, limit = PlanPolicy(), PlanPolicy().dark_limit_ms
    assert plan([wanted("dark")], [running("dark", dark_since=NOW - limit + 1)], NOW, WIDE) == ()
    assert plan([wanted("dark")], [running("dark", dark_since=NOW - limit)], NOW, WIDE) == (Reconnect(AccountId("dark"), DARK),)
    again = running("dark", dark_since=NOW - limit, reconnects=1)
    assert plan([wanted("dark")], [again], NOW, WIDE) == ()
    assert plan([wanted("dark")], [again], Millis(NOW + limit), WIDE) == (Reconnect(AccountId("dark"), DARK),)
    assert policy.patience_ms(100) == policy.longest_ms


def test_while_the_venue_wants_silence_nothing_begins_and_nobody_is_blamed_for_darkness() -> None:
    until = Millis(NOW + 5_000)
    shut = {HOME: Place(weight_per_minute=1_000, closed_until=until)}
    dark = running("dark", dark_since=NOW - 10 * PlanPolicy().dark_limit_ms)
    assert plan([wanted("dark"), wanted("new")], [dark], NOW, shut) == (Wait(AccountId("new"), until, CLOSED),)
    assert plan([wanted("dark")], [dark], Millis(until + 1_000), shut) == ()


def test_a_bad_key_is_tried_again_after_ever_longer_pauses_up_to_an_hour() -> None:
    policy = PlanPolicy()
    assert [policy.retry_ms(failures) for failures in (1, 2, 3, 7, 50)] == [60_000, 120_000, 240_000, 3_600_000, 3_600_000]
    bad = given_up("bad", NOW, failures=2)
    assert plan([wanted("bad")], [bad], NOW, WIDE) == (Wait(AccountId("bad"), Millis(NOW + 120_000), REFUSED),)
    assert plan([wanted("bad")], [bad], Millis(NOW + 120_000), WIDE) == (Reconnect(AccountId("bad"), REFUSED),)


def test_exposed_accounts_come_first_bad_keys_last_and_of_the_others_whoever_is_dark_longest() -> None:
    accounts = [wanted(name) for name in ("bad", "calm", "dark", "held", "longer")] + [wanted("known", exposed=True)]
    limit = PlanPolicy().dark_limit_ms
    connections = [
        given_up("bad", 0),
        running("dark", dark_since=NOW - limit),
        running("longer", dark_since=NOW - limit - 1),
        running("held", dark_since=NOW - limit, exposed=True),
    ]
    assert [action.account for action in plan(accounts, connections, NOW, WIDE)] == ["known", "held", "calm", "longer", "dark", "bad"]


def test_the_budget_spreads_starts_and_nobody_overtakes_a_heavy_one() -> None:
    place = {HOME: Place(weight_per_minute=10, starts=((Millis(NOW - 20_000), 4),))}
    accounts = [wanted("a", weight=5), wanted("b", weight=5), wanted("c", weight=1)]
    free = Millis(NOW + 40_000)
    assert plan(accounts, [], NOW, place) == (
        Start(AccountId("a")),
        Wait(AccountId("b"), free, BUDGET),
        Wait(AccountId("c"), free, BUDGET),
    )


@pytest.mark.parametrize(
    ("starts", "weight", "free_at"),
    [
        ([], 10, NOW),
        ([(NOW, 10)], 1, NOW + MINUTE_MS),
        ([(NOW - MINUTE_MS, 10)], 10, NOW),
        ([(NOW - 50_000, 4), (NOW - 10_000, 6)], 4, NOW + 10_000),
        ([(NOW - 50_000, 4), (NOW - 10_000, 6)], 5, NOW + 50_000),
        ([(NOW - 50_000, 4)], 99, NOW + 10_000),
    ],
)
def test_when_an_opening_fits_into_the_minute(starts: list[tuple[int, int]], weight: int, free_at: int) -> None:
    place = Place(weight_per_minute=10, starts=tuple((Millis(time), spent) for time, spent in starts))
    assert place.free_at(weight, NOW) == free_at


def test_a_place_forgets_what_began_more_than_a_minute_ago() -> None:
    place = Place(weight_per_minute=10)
    for number in range(5):
        place = place.after(Millis(NOW + 40_000 * number), 1)
    assert len(place.starts) == 2
