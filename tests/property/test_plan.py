"""Laws of the plan: carried out it leaves nothing to do, it touches nobody without a reason, and no minute holds more than it may."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Final

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from userstream.domain.plan import MINUTE_MS, Action, Connection, Place, PlanPolicy, Reconnect, Restart, Start, Stop, Wait, Wanted, plan
from userstream.kernel.ids import AccountId, Millis

START: Final = Millis(100_000_000)
PLACES: Final = ("near", "far")
NAMES: Final = [AccountId(f"account-{number}") for number in range(8)]
POLICY: Final = PlanPolicy()
HEALTH_MS: Final = 600_000
HOUR_MS: Final = 3_600_000


class World:
    """Accounts as a plan finds them, and what its actions make of them. Every key is good and every socket opens, but those of `bad`."""

    def __init__(
        self,
        wanted: Sequence[Wanted],
        connections: Sequence[Connection],
        places: Mapping[str, Place],
        now: Millis = START,
        bad: frozenset[AccountId] = frozenset(),
    ) -> None:
        self.wanted = {each.account: each for each in wanted}
        self.connections = {each.account: each for each in connections}
        self.places, self.now, self.bad = dict(places), now, bad
        self.done: list[tuple[Millis, Action]] = []

    def plan(self) -> tuple[Action, ...]:
        return plan(self.wanted.values(), self.connections.values(), self.now, self.places, POLICY)

    def carry_out(self, actions: Sequence[Action]) -> None:
        for action in actions:
            match action:
                case Stop(account):
                    del self.connections[account]
                case Start(account) | Restart(account) | Reconnect(account):
                    self._begin(account)
                case Wait():
                    continue
            self.done.append((self.now, action))

    def _begin(self, account: AccountId) -> None:
        wish, former = self.wanted[account], self.connections.get(account)
        self.places[wish.place] = self.places[wish.place].after(self.now, wish.weight)
        failures = 0 if former is None else former.failures
        is_bad = account in self.bad
        self.connections[account] = Connection(
            account=account,
            revision=wish.revision,
            began=self.now,
            failed_at=self.now if is_bad else None,
            failures=failures + 1 if is_bad else 0,
        )

    def run(self, limit_ms: int) -> None:
        """Carries out plan after plan: when the former one says, and from time to time."""
        end = Millis(self.now + limit_ms)
        while self.now < end:
            self.carry_out(self.plan())
            waits = [action.until for action in self.plan() if isinstance(action, Wait)]
            assert all(until > self.now for until in waits), "a wait for the past would never end"
            self.now = min([*waits, Millis(self.now + HEALTH_MS), end])

    def openings(self, place: str) -> list[tuple[Millis, int]]:
        found = [(time, self.wanted[action.account]) for time, action in self.done if not isinstance(action, Stop | Wait)]
        return [(time, each.weight) for time, each in found if each.place == place]


def times(most_ago: int) -> st.SearchStrategy[Millis]:
    return st.integers(START - most_ago, START).map(Millis)


@st.composite
def worlds(draw: st.DrawFn) -> World:
    wishes = [
        Wanted(
            account=name,
            revision=draw(st.sampled_from("12")),
            place=draw(st.sampled_from(PLACES)),
            weight=draw(st.integers(1, 12)),
            is_exposed=draw(st.booleans()),
        )
        for name in draw(st.sets(st.sampled_from(NAMES)).map(sorted))
    ]
    connections = [
        Connection(
            account=name,
            revision=draw(st.sampled_from("12")),
            began=draw(times(4 * POLICY.dark_limit_ms)),
            is_exposed=draw(st.booleans()),
            dark_since=draw(st.none() | times(4 * POLICY.dark_limit_ms)),
            reconnects=draw(st.integers(0, 3)),
            failed_at=draw(st.none() | times(4 * POLICY.first_retry_ms)),
            failures=draw(st.integers(1, 4)),
        )
        for name in draw(st.sets(st.sampled_from(NAMES)).map(sorted))
    ]
    places = {
        name: Place(
            weight_per_minute=draw(st.integers(5, 30)),
            starts=tuple(draw(st.lists(st.tuples(times(MINUTE_MS), st.integers(1, 10)), max_size=3))),
            closed_until=Millis(draw(st.integers(START - MINUTE_MS, START + MINUTE_MS))),
        )
        for name in PLACES
    }
    return World(wishes, connections, places)


def is_left_alone(world: World, found: Connection) -> bool:
    wish = world.wanted.get(found.account)
    return wish is not None and wish.revision == found.revision and found.dark_since is None and found.failed_at is None


@given(worlds())
def test_once_all_is_carried_out_only_those_that_wait_are_left(world: World) -> None:
    first = world.plan()
    world.carry_out(first)
    assert world.plan() == tuple(action for action in first if isinstance(action, Wait))


@given(worlds())
def test_in_the_end_what_is_wanted_runs_as_it_is_wanted_and_nothing_else(world: World) -> None:
    world.run(limit_ms=4 * HOUR_MS)
    assert {name: each.revision for name, each in world.connections.items()} == {name: each.revision for name, each in world.wanted.items()}
    assert all(each.failed_at is None for each in world.connections.values())


@given(worlds())
def test_an_account_whose_row_did_not_change_and_that_has_a_socket_is_never_touched(world: World) -> None:
    alone = [found for found in world.connections.values() if is_left_alone(world, found)]
    world.run(limit_ms=HOUR_MS)
    assert not {action.account for _, action in world.done} & {found.account for found in alone}
    assert [world.connections[found.account] for found in alone] == alone


@given(worlds())
def test_the_accounts_order_changes_nothing_and_each_is_named_once(world: World) -> None:
    actions = world.plan()
    assert len({action.account for action in actions}) == len(actions)
    wishes, found = list(world.wanted.values()), list(world.connections.values())
    assert plan(wishes[::-1], found[::-1], world.now, world.places, POLICY) == actions


@given(worlds())
def test_of_a_place_whoever_has_something_at_stake_never_waits_for_one_who_has_not(world: World) -> None:
    waiting: set[str] = set()
    exposed = {name for name, each in world.wanted.items() if each.is_exposed} | {
        name for name, each in world.connections.items() if each.is_exposed
    }
    given_up = {name for name, each in world.connections.items() if each.failed_at is not None}
    for action in world.plan():
        if isinstance(action, Stop):
            continue
        place = world.wanted[action.account].place
        if isinstance(action, Wait) and action.account in exposed - given_up:
            waiting.add(place)
        elif not isinstance(action, Wait) and action.account not in exposed:
            assert place not in waiting


def assert_within_budget(world: World, place: str, weight_per_minute: int) -> None:
    openings = world.openings(place)
    for begin, _ in openings:
        window = [weight for time, weight in openings if begin <= time < begin + MINUTE_MS]
        assert sum(window) <= weight_per_minute or len(window) == 1


@given(worlds())
def test_no_minute_holds_more_openings_than_the_budget_allows(world: World) -> None:
    limits = {name: place.weight_per_minute for name, place in world.places.items()}
    shut = {name: place.closed_until for name, place in world.places.items()}
    world.run(limit_ms=HOUR_MS)
    for name, limit in limits.items():
        assert_within_budget(world, name, limit)
        assert all(time >= shut[name] for time, _ in world.openings(name))


@settings(max_examples=15)
@given(st.integers(1, 5), st.integers(60, 600), st.sets(st.integers(0, 499), max_size=100))
def test_five_hundred_accounts_cut_at_once_begin_anew_within_the_budget_and_exposed_ones_first(
    weight: int, per_minute: int, held: set[int]
) -> None:
    names = [AccountId(f"account-{number:03}") for number in range(500)]
    wishes = [Wanted(account=name, revision="1", place="near", weight=weight) for name in names]
    cut = Millis(START - POLICY.dark_limit_ms)
    dark = [
        Connection(account=name, revision="1", began=Millis(0), dark_since=cut, is_exposed=number in held)
        for number, name in enumerate(names)
    ]
    world = World(wishes, dark, {"near": Place(weight_per_minute=per_minute)})
    world.run(limit_ms=4 * HOUR_MS)
    order = [action.account for _, action in world.done]
    assert sorted(order) == names
    assert set(order[: len(held)]) == {names[number] for number in held}
    assert_within_budget(world, "near", per_minute)
    last, _ = world.done[-1]
    assert last - START <= (500 // (per_minute // weight)) * MINUTE_MS


@given(worlds(), st.sets(st.sampled_from(NAMES)))
def test_a_bad_key_is_tried_alone_after_growing_pauses_and_restarts_nobody_else(world: World, bad: set[AccountId]) -> None:
    good = World(
        [each for each in world.wanted.values() if each.account not in bad],
        [each for each in world.connections.values() if each.account not in bad],
        {name: msgspec.structs.replace(place, weight_per_minute=10_000) for name, place in world.places.items()},
    )
    both = World(list(world.wanted.values()), list(world.connections.values()), good.places, bad=frozenset(bad))
    for each in (good, both):
        each.run(limit_ms=4 * HOUR_MS)
    deeds = Counter(action for _, action in both.done)
    assert {action: times for action, times in deeds.items() if action.account not in bad} == Counter(action for _, action in good.done)
    for name in bad:
        tries = [time for time, action in both.done if action.account == name and not isinstance(action, Stop)]
        pauses = [later - earlier for earlier, later in pairwise(tries)]
        assert all(pause >= POLICY.first_retry_ms for pause in pauses)
        assert pauses == sorted(pauses)
