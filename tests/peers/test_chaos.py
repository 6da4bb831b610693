"""The conformance kit judges another client by the same measure: every copy that the venue sends is seen, what falls into a gap is not."""

from __future__ import annotations

import sys

import pytest

from tests.peers.exchange import require
from userstream.adapters.clock import SystemClock
from userstream.entry.chaos.clients import find_clients, find_versions
from userstream.entry.chaos.products import SPOT, USDM
from userstream.entry.chaos.runs import make_plans, play_wave
from userstream.entry.chaos.scripts import find_scripts

pytestmark = pytest.mark.peers


async def test_python_binance_hands_on_every_copy_and_loses_what_fell_into_a_gap() -> None:
    require("python-binance", "binance")
    found = await find_versions(find_clients(["python-binance"]), sys.executable)
    scores = await play_wave(make_plans(found, find_scripts(["same-fill", "cut"], [USDM]), 1), SystemClock(), list[str]().append)
    copies, gap = sorted(scores, key=lambda score: score.script, reverse=True)
    assert (copies.is_judged, copies.lost, copies.doubled, copies.invented, copies.recovered) == (True, 0, 4, 0, True)
    assert gap.is_judged
    assert gap.lost >= 2
    assert not gap.is_flawless


async def test_python_binance_is_deaf_on_spot_once_its_socket_was_cut() -> None:
    require("python-binance", "binance")
    found = await find_versions(find_clients(["python-binance"]), sys.executable)
    [score] = await play_wave(make_plans(found, find_scripts(["cut"], [SPOT]), 1), SystemClock(), list[str]().append)
    assert (score.is_judged, score.recovered) == (True, False)
    assert score.lost >= 4
