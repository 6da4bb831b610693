"""Who lives through what, in which company."""

from __future__ import annotations

import sys

import msgspec

from userstream.adapters.clock import SystemClock
from userstream.entry.chaos.clients import Client, Found
from userstream.entry.chaos.products import PRODUCTS, USDM
from userstream.entry.chaos.runs import SIDE_BY_SIDE, Patience, Plan, Run, longest_ms, make_plans, play_wave, waves_of
from userstream.entry.chaos.scripts import find_scripts, read_script

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
    assert (plan.longest_ms, other.longest_ms) == (20_000 + 6 * 7_000 + 4_300 + 500, 6 * 50_000 + 50_000 + 500)
    assert msgspec.structs.replace(plan, seed=3).longest_ms == plan.longest_ms - 20_000 + script.length_for(3)
    assert longest_ms([plan, other]) == longest_ms([other]) > other.longest_ms + 190_000
    assert longest_ms([plan] * (SIDE_BY_SIDE + 1)) == 2 * longest_ms([plan])
    assert longest_ms([]) == 0
