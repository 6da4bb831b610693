"""The gate: who may ask when, how long a pause lasts, and that no clock but the one that never jumps decides it."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.clock import ManualClock
from tests.support.transport import RecordingHttp, json_answer
from userstream.kernel.ids import Millis
from userstream.kernel.secret import Secret
from userstream.runtime.gate import APART_MS, Gate
from userstream.venues.binance.errors import pause_ms
from userstream.wire.pacing import MINUTE_EDGE_MS, MINUTE_MS, Measurement, WeightBudget
from userstream.wire.request import HttpRequest

HEADER = "x-mbx-used-weight-1m"
CALL = HttpRequest(method="GET", target=Secret("/fapi/v1/time"), label="GET /fapi/v1/time")
HOUR_MS = 3_600_000


class Door:
    """A gate of 100 a minute on a clock that a test turns; `granted` names who came through, in order."""

    def __init__(self) -> None:
        self.clock = ManualClock(wall=MINUTE_MS * 1_000)
        self.http = RecordingHttp(default=json_answer({}))
        self.gate = Gate("http://venue", WeightBudget(100), self.http, self.clock, pause_of=pause_ms, used_weight_header=HEADER)
        self.granted: list[str] = []
        self.tasks: dict[str, asyncio.Task[None]] = {}

    def ask(self, name: str, weight: int = 1, *, urgent: bool = False, vital: bool = False, risk: bool = False) -> None:
        async def wait() -> None:
            if risk:
                await self.gate.grant_risk(weight)
            else:
                await (self.gate.grant_vital(weight) if vital else self.gate.grant(weight, urgent=urgent))
            self.granted.append(name)

        self.tasks[name] = self.clock.spawn(wait(), name)

    def learn_clock(self, ahead_ms: int) -> None:
        """An account measured the venue's clock this instant, and well."""
        self.gate.learn_clock(Measurement(ahead_ms=ahead_ms, error_ms=0, measured_at=self.clock.now()))

    async def refuse(self, status: int, **headers: str) -> None:
        """The venue answers one call with a refusal."""
        self.http.default = json_answer({}, status, **headers)
        await self.gate.send(CALL, time_limit_ms=1_000)


async def test_what_fits_is_granted_at_once_and_the_rest_in_the_next_minute() -> None:
    door = Door()
    for name in ("a", "b", "c"):
        door.ask(name, 40)
    await door.clock.settle()
    assert door.granted == ["a", "b"]
    await door.clock.advance(MINUTE_MS)
    assert door.granted == ["a", "b", "c"]
    assert door.gate.waits == 1


async def test_urgent_questions_pass_by_and_equals_keep_their_order() -> None:
    door = Door()
    door.ask("first", 80)
    await door.clock.settle()
    for name, urgent in (("late", False), ("later", False), ("risk", True), ("risk too", True)):
        door.ask(name, 60 if not urgent else 20, urgent=urgent)
        await door.clock.settle()
    await door.clock.advance(3 * MINUTE_MS)
    assert door.granted == ["first", "risk", "risk too", "late", "later"]


async def test_a_risk_action_has_the_reserve_to_itself_and_passes_by_whoever_waits() -> None:
    door = Door()
    door.ask("books", 95, urgent=True)
    door.ask("more books", 60, urgent=True)
    await door.clock.settle()
    door.ask("cancel", 4, risk=True)
    await door.clock.settle()
    assert door.granted == ["books", "cancel"]
    door.ask("reduce", 4, risk=True)
    await door.clock.settle()
    assert door.granted == ["books", "cancel"], "the venue's limit is nobody's reserve"
    await door.clock.advance(MINUTE_MS)
    assert door.granted == ["books", "cancel", "reduce", "more books"]


async def test_an_urgent_question_that_fits_into_the_reserve_does_not_wait_for_those_that_do_not() -> None:
    door = Door()
    door.ask("first", 80)
    door.ask("late", 10)
    await door.clock.settle()
    door.ask("risk", 10, urgent=True)
    await door.clock.settle()
    assert door.granted == ["first", "risk"]
    door.ask("risk too", 10, urgent=True)
    door.ask("risk as well", 1, urgent=True)
    await door.clock.settle()
    assert door.granted == ["first", "risk"], "equals keep their order"
    await door.clock.advance(MINUTE_MS)
    assert door.granted == ["first", "risk", "risk too", "risk as well", "late"]


@pytest.mark.parametrize("vital", [False, True])
async def test_a_limit_that_was_met_on_a_socket_silences_everybody_too(vital: bool) -> None:
    door = Door()
    door.gate.refrain(30_000)
    door.gate.refrain(10_000)
    door.ask("a", urgent=True, vital=vital)
    await door.clock.advance(29_999)
    assert door.granted == []
    await door.clock.advance(1)
    assert (door.granted, door.gate.refused) == (["a"], 2)


@pytest.mark.parametrize(("headers", "pause_ms"), [({"retry_after": "120"}, 120_000), ({"retry_after": "9" * 25}, 3 * 24 * HOUR_MS)])
@pytest.mark.parametrize("status", [429, 418])
@pytest.mark.parametrize("vital", [False, True])
async def test_a_refusal_silences_everybody_for_as_long_as_the_venue_says(
    status: int, headers: dict[str, str], pause_ms: int, vital: bool
) -> None:
    door = Door()
    await door.refuse(status, **headers)
    door.ask("a", urgent=True, vital=vital)
    await door.clock.advance(pause_ms - 1)
    assert door.granted == []
    await door.clock.advance(1)
    assert door.granted == ["a"]
    assert (door.gate.refused, door.gate.waits) == (1, 1)


@given(st.lists(st.tuples(st.integers(1, 30_000), st.integers(-HOUR_MS, HOUR_MS)), max_size=6), st.booleans())
def test_no_jump_of_the_wall_clock_moves_the_end_of_a_pause(jumps: list[tuple[int, int]], vital: bool) -> None:
    async def play() -> None:
        door = Door()
        await door.refuse(429, retry_after="200")
        began = door.clock.now()
        door.ask("a", vital=vital)
        for after_ms, jump_ms in jumps:
            await door.clock.advance(after_ms)
            door.clock.jump_wall(jump_ms)
        await door.clock.advance_until(lambda: door.granted == ["a"], limit_ms=HOUR_MS)
        assert door.clock.now() - began == 200_000

    asyncio.run(play())


@given(st.integers(-HOUR_MS, HOUR_MS))
def test_a_better_known_venue_clock_does_not_move_the_end_of_a_pause(shift_ms: int) -> None:
    async def play() -> None:
        door = Door()
        await door.refuse(418, retry_after="90")
        began = door.clock.now()
        door.learn_clock(MINUTE_MS * 1_000 + shift_ms)
        door.ask("a", vital=True)
        await door.clock.advance_until(lambda: door.granted == ["a"], limit_ms=2 * HOUR_MS)
        assert door.clock.now() - began == 90_000

    asyncio.run(play())


async def test_a_backward_jump_opens_no_minute_anew_and_lengthens_no_wait() -> None:
    door = Door()
    door.ask("a", 80)
    await door.clock.settle()
    door.ask("b", 80)
    await door.clock.advance(10_000)
    door.clock.jump_wall(-HOUR_MS)
    await door.clock.advance(MINUTE_MS - 10_000)
    assert door.granted == ["a", "b"]


async def test_minutes_are_the_venues() -> None:
    door = Door()
    ahead_ms = door.clock.wall() - door.clock.now()
    door.learn_clock(ahead_ms + 59_000 - door.clock.wall() % MINUTE_MS)
    door.ask("a", 80)
    door.ask("b", 80)
    await door.clock.advance(1_000)
    assert door.granted == ["a", "b"]


@pytest.mark.parametrize("error_ms", [-45_000, 45_000])
async def test_what_was_counted_by_a_wrong_clock_is_used_of_the_minute_that_runs_and_of_no_other(error_ms: int) -> None:
    door = Door()
    ahead_ms = door.clock.wall() - door.clock.now() - door.clock.wall() % MINUTE_MS + 30_000
    door.learn_clock(ahead_ms + error_ms)
    door.http.default = json_answer({}, x_mbx_used_weight_1m="75")
    await door.gate.send(CALL, time_limit_ms=1_000)
    await door.clock.advance(1)
    door.learn_clock(ahead_ms)
    assert door.gate.used_weight == 75
    door.ask("a", 80)
    await door.clock.advance(29_000)
    assert door.granted == []
    await door.clock.advance(2_000)
    assert door.granted == ["a"]


@pytest.mark.parametrize(("accounts", "weight"), [(2, 40), (20, 5)])
async def test_an_account_whose_clock_is_poor_takes_nothing_from_the_budget_of_all(accounts: int, weight: int) -> None:
    clock = ManualClock(wall=MINUTE_MS * 1_000)
    budget = WeightBudget(2_400, edge_ms=MINUTE_EDGE_MS)
    gate = Gate("http://venue", budget, RecordingHttp(), clock, pause_of=pause_ms)
    began, ahead_ms, granted = clock.now(), clock.wall() - clock.now(), [0] * 7

    async def keep_asking(told: Measurement) -> None:
        while True:
            await gate.grant(weight, urgent=True)
            granted[(clock.now() - began) // MINUTE_MS] += weight
            await clock.sleep(200)
            gate.learn_clock(told)
            await clock.sleep(1_800)

    well, badly = Measurement(ahead_ms, 20, began), Measurement(ahead_ms + 3_000, 3_000, Millis(began + 6_000))
    clocks = [well] * (accounts - 1) + [badly]
    asking = [clock.spawn(keep_asking(told), f"account {number}") for number, told in enumerate(clocks)]
    for _ in range(7 * 120):
        await clock.advance(500)
    assert all(weight_of_minute >= 2_000 for weight_of_minute in granted), granted
    for task in asking:
        task.cancel()
    await gate.close()


async def test_after_a_jump_of_the_venues_clock_nobody_who_has_not_asked_again_moves_the_minutes_back() -> None:
    door = Door()
    before = Measurement(door.clock.wall() - door.clock.now(), 20, door.clock.now())
    door.gate.learn_clock(before)
    await door.clock.advance(1)
    door.learn_clock(before.ahead_ms + 90_000)
    door.ask("a", 80)
    door.ask("b", 80)
    await door.clock.settle()
    door.gate.learn_clock(before)
    await door.clock.advance(30_000)
    assert door.granted == ["a", "b"]


@given(st.lists(st.integers(0, 3 * APART_MS), max_size=12), st.integers(0, 100))
async def test_readings_that_can_wait_begin_apart_while_little_of_the_budget_is_used(waits: list[int], used: int) -> None:
    door = Door()
    last = -APART_MS
    for wait_ms in waits:
        await door.clock.advance(wait_ms)
        door.gate.learn_used(used)
        now = door.clock.now()
        assert door.gate.take_room() is (used <= 25 and now - last >= APART_MS)
        last = now if used <= 25 and now - last >= APART_MS else last


async def test_a_reading_that_can_wait_does_not_begin_while_a_question_waits() -> None:
    door = Door()
    door.ask("all", 100)
    door.ask("more")
    await door.clock.advance(MINUTE_MS - 1)
    assert not door.gate.take_room()
    await door.clock.advance(MINUTE_MS + 1)
    assert door.gate.take_room()


async def test_one_of_those_who_wait_tells_of_it_for_all_for_a_minute() -> None:
    door = Door()
    began = door.clock.now()
    assert [door.gate.may_tell(Millis(began + after_ms)) for after_ms in (0, 1, 59_999, 60_000, 60_001)] == [
        True,
        False,
        False,
        True,
        False,
    ]
    assert door.gate.told_until == began + 2 * MINUTE_MS


async def test_the_venues_own_count_counts_and_a_new_minute_begins_with_nothing() -> None:
    door = Door()
    door.http.default = json_answer({}, x_mbx_used_weight_1m="90")
    await door.gate.send(CALL, time_limit_ms=1_000)
    assert door.gate.used_weight == 90
    door.ask("a", 20, urgent=True)
    door.ask("vital", 10, vital=True)
    await door.clock.settle()
    assert door.granted == ["vital"], "what a socket needs to open passes by"
    await door.clock.advance(MINUTE_MS)
    assert door.granted == ["vital", "a"]
    await door.clock.advance(MINUTE_MS)
    assert door.gate.used_weight == 0


async def test_who_stops_waiting_costs_nothing_and_holds_nobody_up() -> None:
    door = Door()
    door.ask("a", 80)
    await door.clock.settle()
    door.ask("gone", 80)
    door.ask("b", 80)
    await door.clock.advance(1_000)
    door.tasks["gone"].cancel()
    await door.clock.advance(MINUTE_MS)
    assert door.granted == ["a", "b"]
    assert door.gate.used_weight == 80


async def test_close_ends_all_waiting() -> None:
    door = Door()
    await door.refuse(418, retry_after="3600")
    door.ask("a")
    door.ask("b", urgent=True)
    await door.clock.settle()
    await door.gate.close()
    await door.clock.settle()
    assert door.granted == []
    assert all(task.cancelled() for task in door.tasks.values())
    assert door.clock.running == []


async def test_what_passes_by_those_who_wait_does_not_hide_that_they_do() -> None:
    door = Door()
    door.ask("books", 80)
    await door.clock.settle()
    door.ask("more books", 60)
    await door.clock.settle()
    waiting = door.gate.words_for_wait()
    assert waiting == "waiting 60 s for the venue's request budget"
    door.ask("a key", 1, vital=True)
    await door.clock.settle()
    assert (door.granted, door.gate.words_for_wait()) == (["books", "a key"], waiting)
    await door.clock.advance(MINUTE_MS)
    assert (door.granted[-1], door.gate.words_for_wait()) == ("more books", "")


async def test_a_queue_that_is_longer_than_a_minute_says_so() -> None:
    door = Door()
    for number in range(5):
        door.ask(str(number), 60)
    await door.clock.settle()
    assert door.gate.words_for_wait() == (
        "waiting 60 s for the venue's request budget, as 4 questions do, the last of them for about 3 min"
    )
