"""What a program is told, and the form in which it tells."""

from __future__ import annotations

import pytest

from userstream.entry.chaos.programs.told import PREFIX, Place, Witness, read_place
from userstream.entry.chaos.sightings import Sightings

TOLD = {
    "VENUE": "binance-spot",
    "REST_URL": "http://a",
    "WS_URL": "ws://a",
    "WS_API_URL": "ws://b",
    "API_KEY": "key",
    "API_SECRET": "hidden",
    "WORK_MS": "50",
    "WATCH_MS": "3000",
    "LIFE_MS": "5000",
}


def test_the_place_is_read_from_the_environment_and_hides_its_secret() -> None:
    place = read_place({PREFIX + name: value for name, value in TOLD.items()})
    addresses = {"rest_url": "http://a", "ws_url": "ws://a", "ws_api_url": "ws://b"}
    assert place == Place("binance-spot", **addresses, api_key="key", api_secret="hidden", work_s=0.05, watch_s=3.0, life_s=5.0)
    assert "hidden" not in repr(place)
    assert "key" not in repr(place)


@pytest.mark.parametrize("name", TOLD)
def test_nothing_may_be_missing(name: str) -> None:
    with pytest.raises(KeyError, match=PREFIX + name):
        read_place({PREFIX + each: value for each, value in TOLD.items() if each != name})


def test_what_a_witness_says_is_what_the_judge_reads(capsys: pytest.CaptureFixture[str]) -> None:
    witness = Witness()
    witness.ready()
    witness.fill(symbol="B", trade_id="1", order_id="2", price="1.5", quantity="2")
    witness.order(symbol="B", order_id="2", client_order_id="c", status="new", filled="0")
    witness.wallet(asset="B", amount="3")
    witness.position(symbol="B", side="both", amount="-1")
    witness.trouble(ValueError("much " * 100))
    sightings = Sightings()
    for line in capsys.readouterr().out.encode().splitlines():
        sightings.take(line)
    assert (sightings.is_ready, sightings.noise, len(sightings.fills)) == (True, 0, 1)
    assert (len(sightings.orders), sightings.names) == (1, {("B", "2"): "c"})
    assert sightings.legs == {("B", "both"): -1, ("B", "wallet"): 3}
    assert [len(words) for words in sightings.troubles] == [200]
