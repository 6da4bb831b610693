"""Margin's session: a token before the socket, its renewal on the open one, and what happens where that fails."""

from __future__ import annotations

import json

import pytest

from tests.unit.venues.binance.kit import answer, place, refusal, the_only
from userstream.kernel.errors import AuthenticationError, SettingsError
from userstream.kernel.ids import Millis, Symbol, VenueName
from userstream.kernel.secret import Secret
from userstream.venues.binance.margin import TOKEN, MarginSession
from userstream.wire.request import HttpResponse
from userstream.wire.session import Call, Connect, Effect, Emit, GiveUp, Opened, Ping, Refrain, Reset, Send, Troubled
from userstream.wire.venue import Credentials, Endpoints

VENUE_NOW = 1_790_000_000_000
HOUR = 3_600_000
FIRST, SECOND = "firstListenToken0123456789", "secondListenToken0123456789"
ENDPOINTS = Endpoints(rest_url="https://api.example", ws_url="", ws_api_url="wss://ws-api.example/ws-api/v3")
WALLET = {"e": "outboundAccountPosition", "E": VENUE_NOW, "u": VENUE_NOW, "B": [{"a": "BTC", "f": "1.5", "l": "0"}]}


def token_answer(token: str = FIRST, life_ms: int = 24 * HOUR) -> HttpResponse:
    return answer({"token": token, "expirationTime": VENUE_NOW + life_ms})


class Run:
    """A session with a clock; `life_ms`: of the first token. The venue's clock runs beside it."""

    def __init__(self, life_ms: int = 24 * HOUR, **fields: object) -> None:
        self.session = MarginSession(place(venue=VenueName("binance-margin"), endpoints=ENDPOINTS, **fields), 1, Millis(0))
        self.now, self.life_ms = Millis(0), life_ms

    def reply(self, asked: Send, status: int = 200, **said: object) -> list[Effect]:
        frame = {"id": json.loads(asked.text.reveal())["id"], "status": status, **said}
        return self.session.receive(json.dumps(frame).encode(), self.now, Millis(VENUE_NOW + self.now))

    def connect(self) -> Send:
        """Up to the request that subscribes."""
        assert the_only(Call, self.session.open(self.now)).tag == TOKEN
        the_only(Connect, self.session.respond(TOKEN, token_answer(life_ms=self.life_ms), self.now))
        asked = the_only(Send, self.session.connected(self.now))
        assert json.loads(asked.text.reveal())["method"] == "time"
        return the_only(Send, self.reply(asked, result={"serverTime": VENUE_NOW + self.now}))

    def listening(self, unit: int = 1) -> Run:
        asked = self.connect()
        assert [type(effect) for effect in self.reply(asked, result=self.subscribed(self.life_ms, unit))] == [Opened]
        return self

    def subscribed(self, life_ms: int, unit: int = 1) -> dict[str, object]:
        return {"subscriptionId": 1, "expirationTime": (VENUE_NOW + life_ms) * unit}

    def until(self, kind: type[Effect]) -> Effect:
        """The next wish of a kind; the other side answers pings."""
        while True:
            self.now = self.session.deadline()
            effects = self.session.tick(self.now)
            if any(isinstance(effect, Ping) for effect in effects):
                self.session.pinged(self.now)
            for effect in effects:
                if isinstance(effect, kind):
                    return effect


def test_the_token_comes_before_the_socket_and_subscribes_without_a_signature() -> None:
    asked = Run().connect()
    frame = json.loads(asked.text.reveal())
    assert (frame["method"], frame["params"]) == ("userDataStream.subscribe.listenToken", {"listenToken": FIRST})


def test_an_isolated_pair_has_a_token_of_its_own() -> None:
    run = Run(isolated_symbol=Symbol("BTCUSDT"))
    [call] = run.session.open(run.now)
    assert isinstance(call, Call)
    assert call.request.target.reveal() == "/sapi/v1/userListenToken?isIsolated=true&symbol=BTCUSDT&validity=86400000"


@pytest.mark.parametrize("unit", [1, 1_000])
def test_the_token_is_renewed_on_the_open_socket_in_whichever_unit_its_end_is_told(unit: int) -> None:
    run = Run(life_ms=4 * HOUR).listening(unit)
    call = run.until(Call)
    assert run.now == 3 * HOUR and isinstance(call, Call) and call.tag == TOKEN
    [asked] = run.session.respond(TOKEN, token_answer(SECOND, 7 * HOUR), run.now)
    assert isinstance(asked, Send) and json.loads(asked.text.reveal())["params"] == {"listenToken": SECOND}
    assert run.session.listen_key == Secret(SECOND)
    assert the_only(Emit, run.session.receive(json.dumps({"subscriptionId": 1, "event": WALLET}).encode(), run.now, Millis(1))).events
    assert run.reply(asked, result=run.subscribed(7 * HOUR, unit)) == []
    run.until(Call)
    assert run.now == 6 * HOUR


def test_a_renewal_that_stays_unanswered_is_asked_again() -> None:
    run = Run(life_ms=4 * HOUR).listening()
    run.until(Call)
    run.session.respond(TOKEN, token_answer(SECOND, 7 * HOUR), run.now)
    run.until(Call)
    assert run.now == 3 * HOUR + 30_000


@pytest.mark.parametrize(("life_ms", "wait_ms"), [(HOUR, 30_000), (60_000, 3_000), (10_000, 500), (100, 100)])
def test_a_short_token_is_asked_for_sooner_again(life_ms: int, wait_ms: int) -> None:
    run = Run(life_ms=life_ms, own_ping_ms=24 * HOUR, silence_limit_ms=25 * HOUR).listening()
    run.until(Call)
    began = run.now
    assert run.session.respond(TOKEN, HttpResponse(status=502, body=b"bad gateway"), run.now) == []
    if began + wait_ms < life_ms * 19 // 20:
        run.until(Call)
        assert run.now - began == wait_ms


@pytest.mark.parametrize("by_socket", [True, False])
def test_a_limit_is_kept_before_a_renewal_is_asked_again(by_socket: bool) -> None:
    run = Run(life_ms=4 * HOUR).listening()
    run.until(Call)
    if by_socket:
        [asked] = run.session.respond(TOKEN, token_answer(SECOND, 7 * HOUR), run.now)
        assert isinstance(asked, Send)
        now = VENUE_NOW + run.now
        limit = {"code": -1003, "msg": "slow down", "data": {"serverTime": now, "retryAfter": now + 90_000}}
        assert run.reply(asked, 429, error=limit) == [Refrain(90_000)], "nobody behind this address calls until then"
    else:
        assert run.session.respond(TOKEN, refusal(-1003, "slow down", 429, retry_after="90"), run.now) == []
    run.until(Call)
    assert run.now == 3 * HOUR + 90_000


def test_a_refused_renewal_is_asked_again_later() -> None:
    run = Run(life_ms=4 * HOUR).listening()
    run.until(Call)
    [asked] = run.session.respond(TOKEN, token_answer(SECOND, 7 * HOUR), run.now)
    assert isinstance(asked, Send)
    assert run.reply(asked, 400, error={"code": -1209, "msg": "Invalid listen token"}) == []
    run.until(Call)
    assert run.now == 3 * HOUR + 30_000


def test_a_socket_whose_token_cannot_be_renewed_is_replaced_while_it_delivers() -> None:
    run = Run(life_ms=4 * HOUR).listening()
    while not isinstance(effect := run.until(Call | Reset), Reset):  # type: ignore[arg-type]
        assert run.session.respond(TOKEN, HttpResponse(status=502, body=b"bad gateway"), run.now) == []
    assert effect == Reset("listen token not renewed", alive=True)
    assert run.now == 4 * HOUR * 19 // 20


def test_the_end_of_the_subscription_replaces_the_socket() -> None:
    run = Run().listening()
    ended = json.dumps({"subscriptionId": 1, "event": {"e": "eventStreamTerminated", "E": VENUE_NOW}}).encode()
    assert [effect for effect in run.session.receive(ended, run.now, Millis(1)) if isinstance(effect, Reset)] == [
        Reset("the venue ended the subscription", alive=False)
    ]


def test_a_token_that_the_venue_does_not_know_is_not_offered_twice() -> None:
    run = Run()
    asked = run.connect()
    assert run.reply(asked, 400, error={"code": -1209, "msg": "Invalid listen token"}) == [Reset("listen token refused", alive=False)]


def test_a_key_without_the_right_gives_up_whenever_that_is_told() -> None:
    run = Run()
    run.session.open(run.now)
    told = the_only(GiveUp, run.session.respond(TOKEN, refusal(-2015, "no", 401), run.now))
    assert isinstance(told.error, AuthenticationError)
    later = Run(life_ms=4 * HOUR).listening()
    later.until(Call)
    the_only(GiveUp, later.session.respond(TOKEN, refusal(-2015, "no", 401), later.now))


def test_while_no_token_comes_it_is_asked_for_with_growing_waits() -> None:
    run = Run(first_delay_ms=1_000, max_delay_ms=60_000)
    waits, wished = [], run.session.open(run.now)
    for _ in range(8):
        the_only(Call, wished)
        told = the_only(Troubled, run.session.respond(TOKEN, HttpResponse(status=0, body=b"no route"), run.now))
        assert told.reason == "cannot reach https://api.example: no route"
        assert run.session.tick(run.now) == []
        waits.append(run.session.deadline() - run.now)
        run.now = run.session.deadline()
        wished = run.session.tick(run.now)
    assert waits[-1] > 10 * waits[0]


def test_neither_token_is_in_what_people_see() -> None:
    run = Run(life_ms=4 * HOUR)
    asked = run.connect()
    seen = f"{asked!r} {run.session!r} {run.session.listen_key!r}"
    seen += repr(run.reply(asked, 400, error={"code": -1100, "msg": f"bad {FIRST}"}))
    assert FIRST not in seen


def test_what_margin_has_not_is_said_at_the_door() -> None:
    with pytest.raises(SettingsError, match="session_logon"):
        Run(session_logon=True)
    with pytest.raises(SettingsError, match="api_secret is missing"):
        Run(credentials=Credentials(api_key=Secret("key")))


def test_a_closed_session_is_over() -> None:
    run = Run().listening()
    assert run.session.close(run.now) == []
    assert run.session.respond(TOKEN, token_answer(), run.now) == []
    assert run.session.deadline() > 1 << 60


def test_a_refused_token_says_why_and_an_unreachable_venue_where() -> None:
    for response, words in (
        (refusal(-1003, "busy", 429), "busy"),
        (HttpResponse(status=0, body=b"no route"), "cannot reach https://api.example"),
    ):
        run = Run()
        run.session.open(run.now)
        assert words in the_only(Troubled, run.session.respond(TOKEN, response, run.now)).reason


def test_a_renewal_that_names_no_subscription_keeps_the_one_it_has() -> None:
    run = Run().listening()
    run.until(Call)
    asked = the_only(Send, run.session.respond(TOKEN, token_answer(SECOND, 48 * HOUR), run.now))
    assert run.reply(asked, result={"expirationTime": VENUE_NOW + 48 * HOUR}) == []
    frame = json.dumps({"subscriptionId": 1, "event": WALLET}).encode()
    assert [type(effect) for effect in run.session.receive(frame, run.now, Millis(VENUE_NOW))] == [Emit]


def test_a_key_that_lost_its_right_is_final_at_the_renewal_too() -> None:
    run = Run().listening()
    run.until(Call)
    asked = the_only(Send, run.session.respond(TOKEN, token_answer(SECOND), run.now))
    assert isinstance(the_only(GiveUp, run.reply(asked, 401, error={"code": -2015, "msg": "no"})).error, AuthenticationError)


def test_a_socket_that_falls_silent_is_replaced_and_wishes_nothing_about_its_token() -> None:
    run = Run().listening()
    effects: list[Effect] = []
    while not any(isinstance(effect, Reset) for effect in effects):
        run.now = run.session.deadline()
        effects = run.session.tick(run.now)
    assert effects == [Reset("silent socket", False)]
    assert run.session.tick(Millis(VENUE_NOW)) == []
