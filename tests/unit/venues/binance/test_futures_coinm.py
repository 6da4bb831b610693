"""The session of COIN-M: the same life, with the product's own paths and forms."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import msgspec
import pytest

from tests.unit.venues.binance.kit import ALICE, COINM, LISTEN_KEY, RECEIVED, place, the_only
from tests.unit.venues.binance.test_futures import KEY_ANSWER
from userstream.domain.account import Account
from userstream.domain.fold import apply
from userstream.kernel.errors import SettingsError
from userstream.kernel.ids import Millis
from userstream.venues.binance.decoding import Decoder
from userstream.venues.binance.futures import FuturesSession
from userstream.venues.binance.products import COIN_M
from userstream.wire.session import Call, Connect, Send
from userstream.wire.venue import Endpoints

GOLDEN: Final = Path(__file__).resolve().parents[3] / "golden" / "binance_coinm" / "order_trade_update.json"


def recorded(name: str, **order: object) -> bytes:
    """The frame of a recorded case, with fields of its order changed; None leaves one out."""
    cases: Any = json.loads(GOLDEN.read_text(encoding="utf-8"))["cases"]
    [frame] = [case["frame"] for case in cases if case["name"].startswith(name)]
    frame["o"] = {key: value for key, value in (frame["o"] | order).items() if value is not None}
    return json.dumps(frame).encode()


@pytest.mark.parametrize("left_out", [("ap", "sp"), ("ap", "sp", "wt", "ot", "V", "cp"), ("l", "L", "t", "rp", "m")])
def test_a_sparse_amendment_leaves_the_order_as_it_was_but_for_what_it_says(left_out: tuple[str, ...]) -> None:
    decoder, account = Decoder(ALICE, COINM, COIN_M.feed.language), Account(ALICE, COINM, lag_ms=5_000)
    before = recorded(
        "an amendment with all fields", x="TRADE", X="PARTIALLY_FILLED", z="4", l="4", ap="79991.5", sp="70000", t=77, L="79991.5"
    )
    for event in decoder.decode(before, RECEIVED):
        apply(account, event)
    [whole] = account.orders.values()
    sparse = recorded("an amendment with all fields", X="PARTIALLY_FILLED", z="4", p="79000.0", q="9", ap="79991.5", sp="70000")
    message: Any = json.loads(sparse)
    message["o"] = {key: value for key, value in message["o"].items() if key not in left_out}
    told = [apply(account, event) for event in decoder.decode(json.dumps(message).encode(), RECEIVED)]
    [amended] = account.orders.values()
    assert told == [amended] and not decoder.drift
    changes = {"price": Decimal("79000.0"), "quantity": Decimal(9), "execution_type": "amendment", "amendment_id": "5"}
    assert amended == msgspec.structs.replace(whole, **changes)


@pytest.mark.parametrize(
    ("form", "url", "label"),
    [
        (0, f"wss://dstream.example/ws/{LISTEN_KEY}", "wss://dstream.example/ws"),
        (1, f"wss://dstream.example/stream?streams={LISTEN_KEY}", "wss://dstream.example/stream"),
        (2, "wss://dstream.example/stream", "wss://dstream.example/stream"),
        (3, f"wss://dstream.example/ws/{LISTEN_KEY}", "wss://dstream.example/ws"),
    ],
)
def test_coin_margined_sockets_have_no_route_in_their_address(form: int, url: str, label: str) -> None:
    endpoints = Endpoints(rest_url="https://dapi.example", ws_url="wss://dstream.example")
    session = FuturesSession(place(venue=COINM, connection_form=form, endpoints=endpoints), 1, Millis(0), COIN_M.feed)
    assert the_only(Call, session.open(Millis(0))).request.target.reveal() == "/dapi/v1/listenKey"
    dial = the_only(Connect, session.respond("listen_key", KEY_ANSWER, Millis(0)))
    assert (dial.url.reveal(), dial.label) == (url, label)
    sent = [effect.text.reveal() for effect in session.connected(Millis(0)) if isinstance(effect, Send)]
    assert sent == ([f'{{"method":"SUBSCRIBE","params":["{LISTEN_KEY}"],"id":1}}'] if form == 2 else [])


def test_every_call_about_the_key_goes_to_the_products_own_path() -> None:
    session = FuturesSession(place(venue=COINM, close_listen_key_on_stop=True), 1, Millis(0), COIN_M.feed)
    session.open(Millis(0))
    session.respond("listen_key", KEY_ANSWER, Millis(0))
    session.connected(Millis(0))
    calls: list[Call] = []
    now = Millis(0)
    while not calls:
        now = session.deadline()
        session.pinged(now)
        calls = [effect for effect in session.tick(now) if isinstance(effect, Call)]
    calls += [effect for effect in session.close(now) if isinstance(effect, Call)]
    assert [call.request.label for call in calls] == ["PUT /dapi/v1/listenKey", "DELETE /dapi/v1/listenKey"]


def test_an_event_that_the_product_does_not_have_is_refused_at_the_door() -> None:
    with pytest.raises(SettingsError, match="TRADE_LITE"):
        FuturesSession(place(venue=COINM, events=("TRADE_LITE",)), 1, Millis(0), COIN_M.feed)
