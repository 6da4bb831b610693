"""Who lives through what, in which company."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from decimal import Decimal

import msgspec
import pytest

from tests.support.clock import ManualClock
from userstream.adapters.clock import SystemClock
from userstream.entry.chaos.clients import Client, Found
from userstream.entry.chaos.products import PRODUCTS, USDM
from userstream.entry.chaos.runs import SIDE_BY_SIDE, Patience, Plan, Run, longest_ms, make_plans, play_wave, waves_of
from userstream.entry.chaos.scoreboard import BookFill, Books, Score
from userstream.entry.chaos.scripts import find_scripts, read_script
from userstream.entry.chaos.sightings import FillKey
from userstream.kernel.ids import Millis

SCRIPTS = find_scripts((), [USDM])


def found(name: str, version: str | None = "1.0", program: str = "none") -> Found:
    return Found(client=Client(name=name, package=name, program=program, note=""), version=version, python=sys.executable)


def test_every_installed_client_lives_through_every_script_with_every_seed() -> None:
    scripts = SCRIPTS
    plans = make_plans([found("a"), found("absent", None), found("b")], scripts, 3)
    who = {(plan.found.client.name, plan.script.name, plan.seed) for plan in plans}
    assert who == {(name, script.name, seed) for name in "ab" for script in scripts for seed in range(3)}
    assert len(plans) == len(who)
    lengths = [plan.script.length_ms + plan.script.patience_ms for plan in plans if plan.seed == 0]
    assert lengths == sorted(lengths)


def test_a_client_lives_through_the_scripts_of_the_products_that_its_program_speaks() -> None:
    everywhere = found("a")
    futures = msgspec.structs.replace(everywhere, client=msgspec.structs.replace(everywhere.client, name="b", speaks=(USDM.venue,)))
    plans = make_plans([everywhere, futures], find_scripts(["cut"]), 1)
    who = {(plan.found.client.name, plan.score.venue) for plan in plans}
    assert who == {("a", venue) for venue in PRODUCTS} | {("b", USDM.venue)}


async def test_who_is_told_that_the_key_is_refused_has_recovered() -> None:
    script = read_script("x", msgspec.json.encode({"tests": "t", "steps": [], "refused": True, "patience_s": 0}))
    async with Run(Plan(found=found("a", program="no_such_program"), script=script, seed=0), SystemClock()) as run:
        await run.prepare()
        assert await run._was_told(known=0)


def test_patience_begins_anew_whenever_the_books_move() -> None:
    patience = Patience(500)
    assert [patience.is_over(moves, now) for moves, now in ((3, 100), (3, 599), (4, 600), (4, 1_099), (4, 1_100))] == [False] * 4 + [True]
    assert not patience.is_over(5, 1_100)


class Venue:
    """An exchange whose books a test writes; `on_fill` hears of each fill and whether it is the last sign of life."""

    def __init__(self, clock: ManualClock, on_fill: Callable[[FillKey, bool], None]) -> None:
        self.books, self.moves, self.ended_ms = Books(fills={}, orders={}, legs={}), 0, 0
        self._clock, self._on_fill = clock, on_fill

    def begin(self) -> None:
        self.trade("1")

    def end(self) -> None:
        self.ended_ms = self._clock.now()

    def place_probe(self, name: str) -> None:
        """It is filled at once, or never seen."""

    def fill_probe(self, name: str) -> FillKey:
        return self.trade(name)

    def trade(self, name: str) -> FillKey:
        key = ("B", name, name)
        self.books.fills[key] = BookFill(price=Decimal(1), quantity=Decimal(1), time_ms=self._clock.now())
        self.books.orders["B", name] = ("filled", Decimal(1))
        self.moves += 1
        self._on_fill(key, name == "sign-of-life")
        return key


class Watched:
    """A run on a manual clock: what its user is told is up to the test."""

    def __init__(self, on_fill: Callable[[Watched, FillKey, bool], None], patience_s: int = 8) -> None:
        script = read_script("x", msgspec.json.encode({"tests": "t", "steps": [], "seconds": 1, "patience_s": patience_s}))
        self.clock = ManualClock()
        self.venue = Venue(self.clock, lambda key, is_last: on_fill(self, key, is_last))
        self.run = Run(Plan(found=found("a"), script=script, seed=0), self.clock)
        self.run._exchange = self.venue  # type: ignore[assignment]
        self.run.is_up = True

    def tell(self, key: FillKey, *, fill: bool = True, order: bool = True) -> None:
        symbol, trade_id, order_id = key
        named = {"at_ms": self.clock.now(), "symbol": symbol, "trade_id": trade_id, "order_id": order_id}
        if fill:
            self.run._sightings.take(msgspec.json.encode(named | {"kind": "fill", "price": "1", "quantity": "1"}))
        if order:
            self.run._sightings.take(msgspec.json.encode(named | {"kind": "order", "status": "filled", "filled": "1"}))

    def tell_later(self, key: FillKey, after_ms: int) -> None:
        self.clock.call_at(Millis(self.clock.now() + after_ms), lambda: self.tell(key))

    async def play(self) -> Score:
        playing = asyncio.create_task(self.run.play())
        await self.clock.advance(self.run.plan.longest_ms + 1_000)
        return await playing


def columns(score: Score) -> tuple[int, int, int, bool]:
    return score.lost, score.doubled, score.wrong, score.recovered


async def test_who_tells_all_is_flawless_and_the_run_ends_early() -> None:
    watched = Watched(lambda watched, key, _: watched.tell(key))
    began = watched.clock.now()
    playing = asyncio.create_task(watched.run.play())
    await watched.clock.advance_until(playing.done, limit_ms=10_000)
    assert columns(await playing) == (0, 0, 0, True)
    assert watched.clock.now() - began < 3_000


@pytest.mark.parametrize(("kept", "judged"), [("fill", (1, 0, 0, True)), ("order", (0, 0, 1, True))])
async def test_what_is_kept_back_until_the_next_event_counts(kept: str, judged: tuple[int, int, int, bool]) -> None:
    held: list[FillKey] = []

    def on_fill(watched: Watched, key: FillKey, is_last: bool) -> None:
        for former in held:
            watched.tell(former, fill=kept == "fill", order=kept == "order")
        held[:] = [key]
        watched.tell(key, fill=is_last or kept != "fill", order=is_last or kept != "order")

    score = await Watched(on_fill).play()
    assert columns(score) == judged
    assert not score.is_flawless
    assert ("told too late" if kept == "fill" else "order B/1: told nothing, is filled 1") in score.words


async def test_what_is_lost_for_good_is_lost_and_does_not_hide_what_is_wrong_afterwards() -> None:
    score = await Watched(lambda watched, key, is_last: watched.tell(key, order=False) if is_last else None).play()
    assert columns(score) == (1, 0, 2, True)


async def test_who_does_not_hear_the_last_sign_of_life_has_not_recovered() -> None:
    score = await Watched(lambda watched, key, is_last: None if is_last else watched.tell(key)).play()
    assert columns(score) == (1, 0, 1, False)


@pytest.mark.parametrize(("after_ms", "lost"), [(7_500, 0), (9_000, 1)])
async def test_a_fill_after_the_end_has_the_patience_to_itself(after_ms: int, lost: int) -> None:
    def on_fill(watched: Watched, key: FillKey, is_last: bool) -> None:
        if key[1] == "late":
            watched.tell_later(key, after_ms)
        elif key[1] == "1":
            watched.tell_later(key, 5_000)
            watched.clock.call_at(Millis(watched.clock.now() + 4_000), lambda: _trade_late(watched))
        else:
            watched.tell(key)

    score = await Watched(on_fill).play()
    assert (score.lost, score.recovered) == (lost, True)


def _trade_late(watched: Watched) -> None:
    watched.venue.trade("late")


def test_waves_hold_all_runs_in_their_order() -> None:
    plans = make_plans([found("a"), found("b")], SCRIPTS, 2)
    waves = list(waves_of(plans))
    assert [plan for wave in waves for plan in wave] == list(plans)
    assert all(len(wave) == SIDE_BY_SIDE for wave in waves[:-1])
    assert list(waves_of([])) == []


async def test_a_program_that_cannot_begin_is_told_and_not_judged() -> None:
    script = read_script("x", msgspec.json.encode({"tests": "t", "steps": []}))
    plan = Plan(found=found("a", program="no_such_program"), script=script, seed=4)
    told: list[str] = []
    [score] = await play_wave([plan], SystemClock(), told.append)
    assert told == ["starting 1 program (a), at most 192 s", "a lives through x at binance-usdm, seed 4: it did not begin"]
    assert (score.client, score.script, score.seed) == ("a", "x", 4)
    assert (score.is_judged, score.recovered, score.is_flawless) == (False, False, False)
    assert "the program ended" in score.note
    assert "no_such_program" in score.note


async def test_a_program_that_is_still_starting_is_told_apart_from_a_client_that_hears_nothing() -> None:
    script = read_script("x", msgspec.json.encode({"tests": "t", "steps": []}))
    run = Run(Plan(found=found("a"), script=script, seed=0), SystemClock())
    starting = await run.play()
    assert (starting.is_judged, starting.note) == (False, "its program was still starting after 180 s: play it with fewer others")
    run._sightings.take(b'{"kind":"trouble","at_ms":1,"words":"no route"}')
    assert (await run.play()).note == f"{starting.note}, last error: no route"
    run._sightings.take(b'{"kind":"ready","at_ms":2}')
    deaf = await run.play()
    assert not deaf.is_judged
    assert deaf.note == "not one fill came through before the first fault (it does not listen, last error: no route)"


def test_how_long_it_takes_at_most_holds_the_script_its_stretch_and_all_that_is_waited_for() -> None:
    script = read_script("x", msgspec.json.encode({"tests": "t", "steps": [{"at_s": 20, "action": "cut"}], "patience_s": 7}))
    refused = read_script("y", msgspec.json.encode({"tests": "t", "steps": [], "refused": True, "patience_s": 50}))
    plan, other = (Plan(found=found("a"), script=each, seed=0) for each in (script, refused))
    assert (plan.longest_ms, other.longest_ms) == (20_000 + 6 * 7_000 + 1_300, 3 * 50_000 + 50_000 + 500)
    assert msgspec.structs.replace(plan, seed=3).longest_ms == plan.longest_ms - 20_000 + script.length_for(3)
    assert longest_ms([plan, other]) == longest_ms([other]) > other.longest_ms + 190_000
    assert longest_ms([plan] * (SIDE_BY_SIDE + 1)) == 2 * longest_ms([plan])
    assert longest_ms([]) == 0
