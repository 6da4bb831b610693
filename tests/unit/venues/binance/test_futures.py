"""The session: one socket's life from the first call to the last, by effects alone."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.venues.binance.kit import (
    API_KEY,
    FILL,
    LISTEN_KEY,
    RECEIVED,
    answer,
    encoded,
    order_frame,
    place,
    refusal,
    the_only,
)
from userstream.domain.events import Filled, OrderChanged, StreamChanged, Unrecognized
from userstream.kernel.errors import AuthenticationError, SettingsError
from userstream.kernel.ids import Millis
from userstream.kernel.secret import Secret
from userstream.venues.binance.futures import FuturesSession
from userstream.venues.binance.socket_life import NEVER
from userstream.wire.request import HttpResponse
from userstream.wire.session import Call, Connect, Effect, Emit, GiveUp, Opened, Ping, Reset, Send, Troubled
from userstream.wire.venue import Credentials

MINUTE = 60_000
HOUR = 60 * MINUTE
KEY_ANSWER = answer({"listenKey": LISTEN_KEY})
EXPIRED = encoded({"e": "listenKeyExpired", "E": 1790003600000, "listenKey": LISTEN_KEY})
SHUTDOWN = b'{"e":"serverShutdown","E":1790000000000}'
AGREED = b'{"result":null,"id":1}'


class Run:
    """A session with a clock; notes everything it wishes."""

    def __init__(self, now: int = 0, connection: int = 1, **fields: object) -> None:
        self.now = Millis(now)
        self.session = FuturesSession(place(**fields), connection, self.now)
        self.wishes: list[tuple[Millis, Effect]] = []

    def note(self, effects: list[Effect]) -> list[Effect]:
        self.wishes += [(self.now, effect) for effect in effects]
        return effects

    def open(self) -> list[Effect]:
        return self.note(self.session.open(self.now))

    def respond(self, tag: str, response: HttpResponse) -> list[Effect]:
        return self.note(self.session.respond(tag, response, self.now))

    def connected(self) -> list[Effect]:
        return self.note(self.session.connected(self.now))

    def receive(self, frame: bytes) -> list[Effect]:
        return self.note(self.session.receive(frame, self.now, RECEIVED))

    def listening(self) -> Run:
        """Up to the open socket."""
        self.open()
        self.respond("listen_key", KEY_ANSWER)
        self.connected()
        return self

    def until(self, end: int, hears: Callable[[], list[Effect]] | None = None) -> list[tuple[Millis, Effect]]:
        """Lets time pass from deadline to deadline; `hears` is what the other side does after each. Returns what was wished meanwhile."""
        before = len(self.wishes)
        while (due := self.session.deadline()) <= end:
            assert due > self.now or self.session.tick(self.now) == [], "a deadline that does not move"
            self.now = max(due, self.now)
            for effect in self.note(self.session.tick(self.now)):
                if isinstance(effect, Ping):
                    self.note(self.session.pinged(self.now))
                if isinstance(effect, Call) and effect.tag == "keep_alive" and hears is not None:
                    self.note(hears())
        self.now = Millis(end)
        return self.wishes[before:]

    def good_keep_alive(self) -> list[Effect]:
        return self.session.respond("keep_alive", KEY_ANSWER, self.now)


def times_of(kind: type[Effect], wished: list[tuple[Millis, Effect]]) -> list[int]:
    return [at for at, effect in wished if isinstance(effect, kind)]


def test_a_key_is_fetched_then_the_socket_is_asked_for_with_all_events() -> None:
    run = Run()
    call = the_only(Call, run.open())
    assert (call.tag, call.request.method, call.request.target.reveal()) == ("listen_key", "POST", "/fapi/v1/listenKey")
    wish = the_only(Connect, run.respond("listen_key", KEY_ANSWER))
    assert wish.url.reveal().startswith(
        f"wss://fstream.example/private/ws?listenKey={LISTEN_KEY}&events=ORDER_TRADE_UPDATE/ACCOUNT_UPDATE/"
    )
    assert run.session.listen_key == Secret(LISTEN_KEY)
    assert run.connected() == [Opened()]


@pytest.mark.parametrize("form", [0, 1, 3, 4])
def test_forms_without_acknowledgement_deliver_from_the_handshake_on(form: int) -> None:
    run = Run(connection_form=form)
    run.open()
    run.respond("listen_key", KEY_ANSWER)
    assert run.connected() == [Opened()]


def test_the_control_form_delivers_from_the_venues_agreement_on() -> None:
    run = Run(connection_form=2)
    run.open()
    assert the_only(Connect, run.respond("listen_key", KEY_ANSWER)).url.reveal() == "wss://fstream.example/private/stream"
    assert LISTEN_KEY in the_only(Send, run.connected()).text.reveal()
    assert run.receive(b'{"result":null,"id":9}') == []
    assert run.receive(AGREED) == [Opened()]
    assert run.receive(AGREED) == []
    assert the_only(Emit, run.receive(b'{"stream":"x","data":%b}' % order_frame())).events[0] is not None


def test_an_event_before_the_agreement_proves_delivery() -> None:
    run = Run(connection_form=2).listening()
    effects = run.receive(order_frame())
    assert [type(effect) for effect in effects] == [Opened, Emit]
    assert run.receive(AGREED) == []


def test_rubbish_before_the_agreement_proves_nothing() -> None:
    run = Run(connection_form=2).listening()
    assert [type(effect) for effect in run.receive(b"?")] == [Emit]
    assert run.receive(AGREED) == [Opened()]


def test_a_refused_subscription_asks_for_another_socket() -> None:
    run = Run(connection_form=2).listening()
    effects = run.receive(b'{"error":{"code":2,"msg":"Invalid request"},"id":1}')
    assert effects[-1] == Reset("subscription refused", alive=False)


def test_a_refusal_later_is_only_told() -> None:
    run = Run().listening()
    effects = run.receive(b'{"error":{"code":2,"msg":"Invalid request"},"id":1}')
    assert isinstance(the_only(Emit, effects).events[0], Unrecognized)
    assert len(effects) == 1


def test_an_unanswered_subscription_asks_for_another_socket() -> None:
    run = Run(connection_form=2).listening()
    wished = run.until(MINUTE)
    assert wished[-1] == (10_000, Reset("subscription unanswered", alive=False))
    assert run.session.deadline() == NEVER


def test_events_are_emitted_in_order() -> None:
    run = Run().listening()
    emitted = the_only(Emit, run.receive(order_frame(**FILL)))
    assert [type(event) for event in emitted.events] == [Filled, OrderChanged]
    assert all(event.received_time == RECEIVED for event in emitted.events)
    assert run.receive(b'{"e":"ACCOUNT_UPDATE","E":5,"T":4,"a":{"m":"ADJUSTMENT"}}') == []


def test_unknown_things_are_counted() -> None:
    run = Run().listening()
    run.receive(b"?")
    run.receive(order_frame(zz=1))
    assert run.session.drift == {"bytes not JSON": 1, "field ORDER_TRADE_UPDATE.o.zz": 1}


def test_an_expired_key_resets_once_and_shows_no_key() -> None:
    run = Run().listening()
    assert run.receive(EXPIRED) == [Reset("listen key expired", alive=False)]
    assert run.receive(EXPIRED) == []
    assert run.session.deadline() == NEVER
    assert run.session.tick(Millis(HOUR)) == []


def test_what_is_new_in_the_expiry_is_told_and_the_streams_own_news_are_not() -> None:
    run = Run().listening()
    effects = run.receive(encoded({"e": "listenKeyExpired", "E": 1, "listenKey": LISTEN_KEY, "zz": 1}))
    assert [type(effect) for effect in effects] == [Emit, Reset]
    emitted = the_only(Emit, effects).events
    assert not any(isinstance(event, StreamChanged) for event in emitted)
    assert LISTEN_KEY not in repr(emitted)


def test_a_shutdown_notice_asks_for_a_successor_while_the_socket_lives() -> None:
    run = Run().listening()
    assert run.receive(SHUTDOWN) == [Reset("the venue announces that it closes this socket", alive=True)]
    assert run.receive(b'{"stream":"x","data":%b}' % SHUTDOWN) == []
    assert [type(effect) for effect in run.receive(order_frame())] == [Emit]


def test_a_socket_that_dies_while_its_successor_is_awaited_says_so() -> None:
    run = Run().listening()
    run.receive(SHUTDOWN)
    assert run.receive(EXPIRED) == [Reset("listen key expired", alive=False)]
    assert run.receive(SHUTDOWN) == []
    assert isinstance(run.receive(order_frame())[0], Emit)


def test_own_pings_while_nothing_is_heard_then_the_silence_is_an_end() -> None:
    run = Run(own_ping_ms=20_000, silence_limit_ms=45_000).listening()
    run.now = Millis(5_000)
    run.receive(order_frame())
    silent = []
    while run.session.deadline() < NEVER:
        run.now = run.session.deadline()
        silent += run.note(run.session.tick(run.now))
    assert silent == [Ping(), Ping(), Reset("silent socket", alive=False)]
    assert times_of(Ping, run.wishes) == [25_000, 45_000]
    assert run.now == 50_000


def test_pings_of_the_venue_are_signs_of_life() -> None:
    run = Run(own_ping_ms=20_000, silence_limit_ms=45_000).listening()
    for now in range(10_000, 600_000, 10_000):
        run.now = Millis(now)
        assert run.session.pinged(run.now) == []
        assert run.session.tick(run.now) == []


def test_an_answered_hour_keeps_the_key_and_the_socket() -> None:
    run = Run(listen_key_keep_alive_ms=25 * MINUTE).listening()
    wished = run.until(2 * HOUR, run.good_keep_alive)
    assert times_of(Call, wished) == [25 * MINUTE, 50 * MINUTE, 75 * MINUTE, 100 * MINUTE]
    assert all(effect.request.method == "PUT" for _, effect in wished if isinstance(effect, Call))
    assert times_of(Reset, wished) == []


def test_an_empty_answer_to_a_keep_alive_is_a_good_one() -> None:
    run = Run().listening()
    wished = run.until(2 * HOUR, lambda: run.session.respond("keep_alive", answer({}), run.now))
    assert len(times_of(Call, wished)) == 4
    assert times_of(Reset, wished) == []


@pytest.mark.parametrize(
    "trouble",
    [
        answer(b"no route", 0),
        answer(b"<html>", 502),
        refusal(-1001, status=500),
        refusal(-9999),
        refusal(-1003, status=429, retry_after="5"),
    ],
)
def test_a_failed_keep_alive_is_repeated_until_the_key_has_run_out(trouble: HttpResponse) -> None:
    run = Run(listen_key_keep_alive_ms=50 * MINUTE).listening()
    wished = run.until(2 * HOUR, lambda: run.session.respond("keep_alive", trouble, run.now))
    calls = times_of(Call, wished)
    assert [later - earlier for earlier, later in pairwise(calls)][:3] == [30_000, 60_000, 60_000]
    assert [effect for _, effect in wished if isinstance(effect, Reset)] == [Reset("listen key not extended for 60 minutes", alive=False)]
    assert run.wishes[-1][0] == HOUR


def test_the_venues_advice_delays_the_next_keep_alive() -> None:
    run = Run(listen_key_keep_alive_ms=25 * MINUTE).listening()
    wished = run.until(30 * MINUTE, lambda: run.session.respond("keep_alive", refusal(-1003, status=429, retry_after="120"), run.now))
    assert times_of(Call, wished) == [25 * MINUTE, 27 * MINUTE, 29 * MINUTE]


def test_a_repeated_keep_alive_that_succeeds_counts_from_there() -> None:
    run = Run(listen_key_keep_alive_ms=25 * MINUTE).listening()
    answers = [answer(b"", 0), KEY_ANSWER, KEY_ANSWER]
    wished = run.until(HOUR, lambda: run.session.respond("keep_alive", answers.pop(0), run.now))
    assert times_of(Call, wished) == [25 * MINUTE, 25 * MINUTE + 30_000, 50 * MINUTE + 30_000]


def test_a_key_that_is_gone_resets_a_socket_that_cannot_deliver_any_more() -> None:
    run = Run().listening()
    assert run.respond("keep_alive", refusal(-1125)) == [Reset("listen key gone", alive=False)]
    assert run.respond("keep_alive", refusal(-1125)) == []


def test_a_key_of_another_process_means_that_ours_is_dead() -> None:
    run = Run().listening()
    other = answer({"listenKey": "b" * 64})
    assert run.respond("keep_alive", other) == [Reset("listen key replaced by another process", alive=False)]
    assert run.respond("keep_alive", other) == []
    assert run.session.listen_key == Secret(LISTEN_KEY)
    assert run.session.deadline() == NEVER


@pytest.mark.parametrize("tag", ["listen_key", "keep_alive"])
def test_a_refused_key_is_final_and_says_what_to_check(tag: str) -> None:
    run = Run()
    run.open()
    if tag == "keep_alive":
        run.respond("listen_key", KEY_ANSWER)
        run.connected()
    effect = the_only(GiveUp, run.respond(tag, refusal(-2015, f"Invalid API-key {API_KEY} {LISTEN_KEY}", 401)))
    assert isinstance(effect.error, AuthenticationError)
    assert "check that the key exists" in str(effect.error)
    assert API_KEY not in str(effect.error) and LISTEN_KEY not in str(effect.error)
    assert run.session.deadline() == NEVER
    assert run.receive(EXPIRED) == []


@pytest.mark.parametrize(
    "trouble",
    [
        answer(b"no route", 0),
        answer({}),
        answer(b"<html>", 503),
        answer({"239999": "maintenance"}, 400),
        refusal(-1001),
        refusal(-1016),
        refusal(-9999),
        refusal(-1125),
    ],
)
def test_a_failed_first_call_is_repeated_with_growing_waits(trouble: HttpResponse) -> None:
    run = Run(jitter_seed=7)
    run.open()
    waits = []
    for _ in range(9):
        [told] = run.respond("listen_key", trouble)
        assert isinstance(told, Troubled)
        assert told.reason.startswith("POST /fapi/v1/listenKey" if trouble.status else "cannot reach ")
        waits.append(run.session.deadline() - run.now)
        assert run.session.tick(Millis(run.session.deadline() - 1)) == []
        run.now = run.session.deadline()
        assert the_only(Call, run.session.tick(run.now)).tag == "listen_key"
    for wait, full in zip(waits, [1, 2, 4, 8, 16, 32, 60, 60, 60], strict=True):
        assert full * 500 <= wait <= full * 1000
    assert the_only(Connect, run.respond("listen_key", KEY_ANSWER)) is not None


def test_the_waits_for_a_key_are_those_of_the_settings() -> None:
    run = Run(first_delay_ms=200, max_delay_ms=500)
    run.open()
    for full in (200, 400, 500, 500):
        run.respond("listen_key", answer(b"", 503))
        assert full / 2 <= run.session.deadline() - run.now <= full
        run.now = run.session.deadline()
        run.session.tick(run.now)


@pytest.mark.parametrize(("response", "least"), [(refusal(-1003, status=429, retry_after="30"), 30_000), (answer(b"", 418), 120_000)])
def test_the_venues_advice_is_waited_for_in_full(response: HttpResponse, least: int) -> None:
    run = Run(now=5)
    run.open()
    run.respond("listen_key", response)
    assert least < run.session.deadline() - run.now <= least + 1_000


def test_waits_and_lives_are_the_same_for_the_same_seed_and_differ_between_accounts() -> None:
    def story(seed: int, connection: int) -> tuple[int, int]:
        run = Run(jitter_seed=seed, connection=connection)
        run.open()
        run.respond("listen_key", answer(b"", 0))
        wait = run.session.deadline()
        run.session.tick(wait)
        run.now = wait
        run.respond("listen_key", KEY_ANSWER)
        run.connected()
        return wait, rotation(run)

    assert story(1, 1) == story(1, 1)
    assert len({story(seed, connection) for seed in range(4) for connection in range(3)}) > 10


def rotation(run: Run) -> int:
    wished = run.until(25 * HOUR, run.good_keep_alive)
    [at] = times_of(Reset, wished)
    assert [effect for _, effect in wished if isinstance(effect, Reset)] == [Reset("24 h limit", alive=True)]
    return at - run.wishes[0][0]


@settings(max_examples=15)
@given(seed=st.integers(0, 2**32), connection=st.integers(1, 1000))
def test_a_socket_is_replaced_once_between_23_and_23_and_a_half_hours(seed: int, connection: int) -> None:
    run = Run(jitter_seed=seed, connection=connection).listening()
    assert 23 * HOUR <= rotation(run) <= 23 * HOUR + 30 * MINUTE


def test_a_short_life_has_a_short_jitter() -> None:
    run = Run(rotate_after_ms=46_000).listening()
    assert 46_000 <= rotation(run) <= 47_000


def test_stopping_leaves_a_key_that_others_may_share_alone() -> None:
    run = Run().listening()
    assert run.session.close(run.now) == []
    assert run.session.deadline() == NEVER
    assert run.receive(EXPIRED) == []


def test_stopping_gives_up_a_key_that_is_owned_alone() -> None:
    run = Run(close_listen_key_on_stop=True).listening()
    call = the_only(Call, run.session.close(run.now))
    assert (call.tag, call.request.method) == ("listen_key_close", "DELETE")
    assert run.respond("listen_key_close", answer({})) == []


def test_stopping_before_there_is_a_key() -> None:
    run = Run(close_listen_key_on_stop=True)
    run.open()
    assert run.session.close(run.now) == []
    assert run.respond("listen_key", KEY_ANSWER) == []
    assert run.connected() == []


def test_late_answers_and_late_sockets_change_nothing() -> None:
    run = Run().listening()
    assert run.respond("listen_key", KEY_ANSWER) == []
    assert run.respond("other", KEY_ANSWER) == []
    assert run.connected() == []
    fresh = Run()
    assert fresh.connected() == []
    assert fresh.respond("keep_alive", refusal(-1125)) == []
    assert fresh.session.deadline() == NEVER
    assert fresh.session.tick(Millis(HOUR)) == []
    assert fresh.session.listen_key is None


def test_no_secret_is_in_what_people_see() -> None:
    run = Run().listening()
    run.until(2 * HOUR, run.good_keep_alive)
    run.receive(EXPIRED)
    seen = f"{run.session!r} {run.wishes!r} {run.session.drift!r}"
    assert LISTEN_KEY not in seen and API_KEY not in seen
    assert repr(run.session) == "<FuturesSession of 'alice', connection 1, ended>"


def test_misuse_is_said_at_the_door() -> None:
    with pytest.raises(SettingsError, match="api_key"):
        Run(credentials=Credentials(api_key=Secret("a\r\nb")))
    with pytest.raises(SettingsError, match="TRADE_LIGHT"):
        Run(events=("TRADE_LIGHT",))


@given(
    steps=st.lists(
        st.tuples(
            st.integers(0, 40_000),
            st.sampled_from([EXPIRED, SHUTDOWN, AGREED, b"?", b"tick", b"pinged", b"open", b"kept", b"gone", b"down", order_frame()]),
        ),
        max_size=40,
    ),
    form=st.integers(0, 2),
)
def test_whatever_happens_a_session_resets_at_most_once_alive_then_once_dead(steps: list[tuple[int, bytes]], form: int) -> None:
    run = Run(connection_form=form, listen_key_keep_alive_ms=30_000)
    run.open()
    run.respond("listen_key", KEY_ANSWER)
    others: dict[bytes, Callable[[], list[Effect]]] = {
        b"tick": lambda: run.note(run.session.tick(run.now)),
        b"pinged": lambda: run.note(run.session.pinged(run.now)),
        b"open": run.connected,
        b"kept": lambda: run.respond("keep_alive", KEY_ANSWER),
        b"gone": lambda: run.respond("keep_alive", refusal(-1125)),
        b"down": lambda: run.respond("keep_alive", answer(b"", 0)),
    }
    for pause, step in steps:
        run.now = Millis(run.now + pause)
        others.get(step, lambda step=step: run.receive(step))()
    resets = [effect.alive for _, effect in run.wishes if isinstance(effect, Reset)]
    assert resets in ([], [True], [False], [True, False])
    assert len(times_of(Opened, run.wishes)) <= 1
    assert msgspec.json.encode(dict(run.session.drift))


def test_the_key_is_what_all_sockets_of_the_account_have() -> None:
    run = Run()
    assert (run.session.listen_key, run.session.common_key) == (None, None)
    run.listening()
    assert run.session.common_key == run.session.listen_key == Secret(LISTEN_KEY)
