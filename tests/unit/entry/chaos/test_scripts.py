"""The fault scripts: all can be played, and a seed moves them in time without changing their order."""

from __future__ import annotations

from decimal import Decimal
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from userstream.entry.chaos.exchange import ChaosExchange
from userstream.entry.chaos.products import COINM, PRODUCTS, SPOT, USDM
from userstream.entry.chaos.scripts import (
    ACCOUNT,
    FOLDER,
    WHOLE,
    WIDEST_STRETCH,
    ChaosScript,
    TellAgain,
    find_scripts,
    read_script,
    script_names,
    stretch_of,
)
from userstream.kernel.errors import SettingsError
from userstream.sim.actions import EVERYBODY, Cut, Place
from userstream.sim.faults import ScriptError, load_script

SOURCE = b"""{"tests": "t", "steps": [{"at_s": 0.5, "action": "cut"}, {"at_s": 1, "action": "tell_again", "times": 2, "back": 1},
 {"every_s": 1, "from_s": 1.5, "until_s": 2.5, "action": "cut"}], "seconds": 3}"""


SCRIPTS = find_scripts()
COMMON = {"burst", "cut", "deaf-socket", "key-refused", "lagging-books", "late-report", "omitted", "rest-down", "same-fill"}
COMMON |= {"silent-socket", "socket-life", "storm"}


def place_of(script: ChaosScript) -> str:
    return f"{script.product.venue} {script.name}"


def has_own_step(script: ChaosScript) -> bool:
    return any(step["action"] == "tell_again" for step in script.file.steps)


@pytest.mark.parametrize("script", SCRIPTS, ids=place_of)
def test_every_script_can_be_played_and_says_what_it_tests(script: ChaosScript) -> None:
    file = script.file
    assert len(file.tests.split()) >= 6
    assert script.due(-1, script.length_ms, 0) or file.rate
    assert script.length_ms + script.patience_ms <= 30_000
    accounts = {getattr(action, "account", ACCOUNT) for action in script.due(-1, script.length_ms, 0)}
    assert accounts <= {ACCOUNT, EVERYBODY}
    assert not file.unlisted or file.unlisted in script.balances
    assert "BTC" in script.balances or "USDT" in script.balances


def test_the_experiments_are_all_there() -> None:
    keys = {"key-expired", "key-deleted"}
    assert set(script_names("binance-usdm")) == COMMON | keys | {"new-asset"}
    assert set(script_names("binance-coinm")) == COMMON | keys
    assert set(script_names("binance-spot")) == COMMON | {"cancel-ids", "new-asset", "server-shutdown", "subscription-ended"}


@pytest.mark.parametrize("script", SCRIPTS, ids=place_of)
async def test_the_exchange_takes_every_step_of_every_script(script: ChaosScript) -> None:
    async with ChaosExchange(script, seed=0) as exchange:
        exchange.place_probe("before")
        exchange.fill_probe("before")
        exchange.begin()
        for action in script.due(-1, script.length_ms, 0):
            exchange.act(action)
        assert exchange.books.fills


@pytest.mark.parametrize("script", [script for script in SCRIPTS if not has_own_step(script)], ids=place_of)
def test_a_script_without_an_own_step_is_a_script_of_the_paper_exchange_as_well(script: ChaosScript) -> None:
    plain = load_script((FOLDER / script.product.venue / f"{script.name}.json").read_bytes())
    assert plain.due(Decimal(-1), Decimal(60)) == script.due(-1_000, 60_000, 0)


def test_names_are_checked_and_the_nearest_is_told() -> None:
    assert [script.name for script in find_scripts(["cut", "burst"], [USDM])] == ["burst", "cut"]
    assert [script.product.venue for script in find_scripts(["cut"])] == list(PRODUCTS)
    assert [script.product for script in find_scripts(["cancel-ids"])] == [SPOT]
    with pytest.raises(SettingsError, match="did you mean 'cut'"):
        find_scripts(["cutt"])
    with pytest.raises(SettingsError, match="'new-asset' is played at binance-usdm and binance-spot alone"):
        find_scripts(["new-asset"], [COINM])
    with pytest.raises(SettingsError, match="cancel-ids"):
        find_scripts(["cancel-ids"], [USDM])


def test_steps_come_when_they_are_due() -> None:
    script = read_script("x", SOURCE)
    assert script.length_ms == 3_000
    assert script.due(-1, 499, 0) == []
    assert script.due(499, 500, 0) == [Cut()]
    assert script.due(500, 1_000, 0) == [TellAgain(times=2, back=1)]
    assert script.due(1_000, 3_000, 0) == [Cut(), Cut()]


@given(st.integers(1, 10_000), st.lists(st.integers(0, 4_000), max_size=30))
def test_a_seed_stretches_time_and_loses_no_step(seed: int, looks: list[int]) -> None:
    script = read_script("x", SOURCE)
    moments = [-1, *sorted({look for look in looks if look < script.length_for(seed)}), script.length_for(seed)]
    played = [action for after, now in pairwise(moments) for action in script.due(after, now, seed)]
    assert sorted(map(repr, played)) == sorted(map(repr, script.due(-1, script.length_ms, 0)))
    assert WHOLE <= stretch_of(seed) < WHOLE + WIDEST_STRETCH
    assert stretch_of(seed) == stretch_of(seed)
    assert script.length_for(0) == script.length_ms


@pytest.mark.parametrize(
    ("source", "words"),
    [
        (b"no json", "script x"),
        (b"[]", "script x"),
        (b'{"steps": []}', "tests"),
        (b'{"tests": "t", "steps": [], "speed": 1}', "speed"),
        (b'{"tests": "t", "steps": [{"at_s": 1, "action": "cutt"}]}', "step 1.*'cut'"),
        (b'{"tests": "t", "steps": [{"at_s": 1, "action": "cut"}, {"at_s": 1, "action": "tell_again", "time": 2}]}', "step 2.*time"),
    ],
)
def test_a_script_that_cannot_be_names_its_entry(source: bytes, words: str) -> None:
    with pytest.raises(ScriptError, match=words):
        read_script("x", source)


def test_amounts_are_exact() -> None:
    steps = b'[{"at_s": 0, "action": "place", "account": "paper-1", "symbol": "BTCUSDT", "side": "buy", "quantity": 0.1, "price": 60000}]'
    [place] = read_script("x", b'{"tests": "t", "steps": %s}' % steps).due(-1, 0, 0)
    assert isinstance(place, Place)
    assert str(place.quantity) == "0.1"
