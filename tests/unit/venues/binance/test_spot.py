"""The session of Spot: one socket's life from the address to the last frame, by effects alone."""

from __future__ import annotations

from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.venues.binance.kit import API_KEY, API_SECRET, RECEIVED, refusal, the_only
from tests.unit.venues.binance.spot_kit import (
    ED25519,
    VENUE_TIME,
    asked,
    event_frame,
    refused,
    reply,
    spot_place,
    wallet_frame,
    with_secret,
)
from userstream.domain.events import BalanceSet, Unrecognized
from userstream.kernel.errors import AuthenticationError, SettingsError
from userstream.kernel.ids import Millis
from userstream.venues.binance.errors import PAUSE_AFTER_BAN_MS, PAUSE_AFTER_LIMIT_MS
from userstream.venues.binance.socket_life import NEVER
from userstream.venues.binance.spot import ANSWER_LIMIT_MS, SpotSession
from userstream.wire.session import Call, Connect, Effect, Emit, GiveUp, Opened, Ping, Refrain, Reset, Send, Troubled

HOUR_MS: Final = 3_600_000
TIME: Final = {"serverTime": VENUE_TIME}


class Run:
    """A session with a clock; the socket answers when told to."""

    def __init__(self, now: int = 0, connection: int = 1, **fields: object) -> None:
        self.now = Millis(now)
        self.session = SpotSession(spot_place(**fields), connection, self.now)

    def receive(self, frame: bytes, after_ms: int = 0) -> list[Effect]:
        self.now = Millis(self.now + after_ms)
        return self.session.receive(frame, self.now, RECEIVED)

    def tick(self) -> list[Effect]:
        """Lets time pass to the next deadline."""
        self.now = max(self.now, self.session.deadline())
        return self.session.tick(self.now)

    def connected(self) -> Send:
        """Up to the question for the time."""
        the_only(Connect, self.session.open(self.now))
        return the_only(Send, self.session.connected(self.now))

    def subscribing(self) -> Send:
        """Up to the subscription's request."""
        return the_only(Send, self.receive(reply(self.connected(), TIME)))

    def listening(self, number: int = 0) -> Run:
        assert self.receive(reply(self.subscribing(), {"subscriptionId": number})) == [Opened()]
        return self


def test_the_socket_is_opened_at_once_and_its_address_holds_no_secret() -> None:
    run = Run()
    [wish] = run.session.open(run.now)
    assert isinstance(wish, Connect)
    assert wish.url.reveal() == wish.label == "wss://ws-api.example/ws-api/v3"


def test_microseconds_are_asked_for_in_the_address() -> None:
    [wish] = Run(microseconds=True).session.open(Millis(0))
    assert isinstance(wish, Connect)
    assert wish.url.reveal() == "wss://ws-api.example/ws-api/v3?timeUnit=MICROSECOND"


def test_time_then_subscription_then_delivery() -> None:
    run = Run(now=5_000)
    assert asked(run.connected())["method"] == "time"
    time = run.session
    request = Run(now=5_000).subscribing()
    assert asked(request)["method"] == "userDataStream.subscribe.signature"
    assert time.deadline() == 5_000 + ANSWER_LIMIT_MS
    assert Run().listening().session.deadline() == 20_000  # the first ping


@given(gone=st.integers(0, 9_000), venue_time=st.integers(10**12, 2 * 10**12), unit=st.sampled_from([1, 1_000]))
def test_requests_are_stamped_with_the_venues_time_of_that_moment(gone: int, venue_time: int, unit: int) -> None:
    run = Run()
    answer = reply(run.connected(), {"serverTime": venue_time * unit})
    first = the_only(Send, run.receive(answer))
    run.receive(refused(first, -1000))
    again = [effect for effect in run.tick() if isinstance(effect, Send)]
    second = the_only(Send, run.receive(reply(again[0], {"serverTime": venue_time * unit + gone * unit})))
    for request, expected in ((first, venue_time), (second, venue_time + gone)):
        assert asked(request)["params"]["timestamp"] == expected  # type: ignore[index]


def test_each_request_has_an_id_of_its_own_among_all_accounts_and_sockets() -> None:
    ids = set()
    for seed, connection in ((1, 1), (1, 2), (2, 1), (11, 1), (1, 11)):
        run = Run(connection=connection, jitter_seed=seed)
        ids |= {asked(run.connected())["id"]}
        ids |= {asked(Run(connection=connection, jitter_seed=seed).subscribing())["id"]}
    assert len(ids) == 10
    assert all(isinstance(number, str) and len(number) <= 36 for number in ids)


def test_log_on_first_where_the_place_says_so() -> None:
    run = Run(session_logon=True, credentials=with_secret(ED25519))
    logon = run.subscribing()
    assert asked(logon)["method"] == "session.logon"
    subscribe = the_only(Send, run.receive(reply(logon, {"apiKey": "publicKey123", "userDataStream": False})))
    assert asked(subscribe)["method"] == "userDataStream.subscribe" and "params" not in asked(subscribe)
    assert run.receive(reply(subscribe, {"subscriptionId": 0})) == [Opened()]


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"credentials": with_secret(None)}, "api_secret is missing"),
        ({"session_logon": True}, "Ed25519"),
        ({"close_listen_key_on_stop": True}, "removed on 2026-02-20"),
        ({"events": ("executionReport",)}, "every event"),
    ],
)
def test_what_cannot_be_is_refused_at_the_door(fields: dict[str, Any], words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        Run(**fields)


# --- whose frames are ours ---


def test_events_of_our_subscription_are_told_and_others_are_not() -> None:
    run = Run().listening(number=7)
    told = the_only(Emit, run.receive(wallet_frame(7)))
    assert isinstance(told.events[0], BalanceSet)
    assert run.receive(wallet_frame(8)) == []
    assert run.receive(event_frame("eventStreamTerminated", 8)) == []


def test_nothing_is_told_before_the_subscription_is_acknowledged() -> None:
    run = Run()
    request = run.subscribing()
    assert run.receive(wallet_frame(0)) == []
    assert run.receive(reply(request, {"subscriptionId": 0})) == [Opened()]
    assert run.receive(wallet_frame(0)) != []


def test_answers_to_others_requests_mean_nothing() -> None:
    run = Run()
    request = run.connected()
    other = Run(jitter_seed=99).connected()
    assert run.receive(reply(other, TIME)) == []
    assert run.receive(refused(other, -2015, status=401)) == []
    the_only(Send, run.receive(reply(request, TIME)))


def test_what_cannot_be_read_is_told_at_any_time() -> None:
    run = Run()
    run.connected()
    for phase in (run, Run().listening()):
        told = the_only(Emit, phase.receive(b"\xff"))
        assert isinstance(told.events[0], Unrecognized)


# --- refusals ---


@pytest.mark.parametrize(("code", "status"), [(-2015, 401), (-2014, 401), (-1022, 400), (-2017, 401), (-1002, 401)])
def test_a_refused_key_is_final_and_no_secret_is_in_the_words(code: int, status: int) -> None:
    run = Run()
    told = the_only(GiveUp, run.receive(refused(run.subscribing(), code, f"no {API_KEY} {API_SECRET}", status)))
    assert isinstance(told.error, AuthenticationError)
    assert API_KEY not in str(told.error) and API_SECRET not in str(told.error)
    assert run.session.deadline() == NEVER


@pytest.mark.parametrize("listening", [True, False])
def test_a_revoked_session_is_told_without_an_id(listening: bool) -> None:
    run = Run().listening() if listening else Run()
    if not listening:
        run.connected()
    told = the_only(GiveUp, run.receive(refused(None, -2015, "Invalid API-key, IP, or permissions for action.", 401)))
    assert isinstance(told.error, AuthenticationError)


@pytest.mark.parametrize("code", [-2035, -2036, -2042])
def test_another_picture_of_the_subscriptions_needs_another_socket(code: int) -> None:
    run = Run()
    told = the_only(Reset, run.receive(refused(run.subscribing(), code)))
    assert not told.alive


def test_a_refused_time_stamp_leads_to_the_time_again_then_to_waiting() -> None:
    run = Run()
    request = run.subscribing()
    for _ in range(3):
        again = the_only(Send, run.receive(refused(request, -1021)))
        assert asked(again)["method"] == "time"
        request = the_only(Send, run.receive(reply(again, TIME)))
    assert isinstance(the_only(Troubled, run.receive(refused(request, -1021))).reason, str)
    assert run.now < run.session.deadline() < run.now + ANSWER_LIMIT_MS
    assert asked(next(effect for effect in run.tick() if isinstance(effect, Send)))["method"] == "time"


@pytest.mark.parametrize("status", [429, 418])
def test_a_limit_is_waited_for_until_the_venue_says(status: int) -> None:
    run = Run(silence_limit_ms=HOUR_MS)
    data = {"serverTime": VENUE_TIME, "retryAfter": VENUE_TIME + 17_000}
    pause, trouble = run.receive(refused(run.subscribing(), -1003, "Too much", status, data))
    assert pause == Refrain(17_000) and isinstance(trouble, Troubled), "nobody behind this address calls until then"
    while not (sent := [effect for effect in run.tick() if isinstance(effect, Send)]):
        run.session.pinged(run.now)
    assert 17_000 <= run.now < 20_000
    assert asked(sent[0])["method"] == "time"


@pytest.mark.parametrize(("status", "pause_ms"), [(429, PAUSE_AFTER_LIMIT_MS), (418, PAUSE_AFTER_BAN_MS)])
def test_a_limit_without_an_end_pauses_as_one_by_rest(status: int, pause_ms: int) -> None:
    run = Run()
    assert run.receive(refused(run.subscribing(), -1003, "Too much", status))[0] == Refrain(pause_ms)
    assert Run().listening().receive(refused(None, -1003, "Too much", status)) == [Refrain(pause_ms)]
    assert not any(isinstance(effect, Refrain) for effect in Run().receive(refused(Run().subscribing(), -1000)))


def test_waits_grow_while_the_venue_refuses() -> None:
    run, waits = Run(silence_limit_ms=24 * HOUR_MS, own_ping_ms=23 * HOUR_MS), list[int]()
    request = run.connected()
    for _ in range(8):
        began = run.now
        the_only(Troubled, run.receive(refused(request, -1000)))
        request = the_only(Send, run.tick())
        waits.append(run.now - began)
    assert waits[-1] > 10 * waits[0]


@pytest.mark.parametrize("listening", [True, False])
def test_an_answer_of_another_shape_is_no_subscription(listening: bool) -> None:
    run = Run()
    told = the_only(Reset, run.receive(reply(run.subscribing(), {}))) if not listening else None
    assert told is None or "not the venue's own" in told.reason
    assert Run().listening().receive(refused(None, -1000)) == []


def test_no_answer_is_an_answer_after_a_while() -> None:
    run = Run()
    run.subscribing()
    told = the_only(Reset, run.tick())
    assert (run.now, told.alive) == (ANSWER_LIMIT_MS, False)
    assert told.reason == "userDataStream.subscribe.signature unanswered"


# --- the end of a socket ---


def test_a_shutdown_is_handed_over_alive_once() -> None:
    run = Run().listening()
    assert the_only(Reset, run.receive(event_frame("serverShutdown", None))).alive
    assert run.receive(event_frame("serverShutdown", None)) == []
    assert run.receive(wallet_frame()) != [], "it delivers until its successor does"


def test_an_ended_subscription_is_dead_and_the_socket_is_not_trusted() -> None:
    run = Run().listening()
    told = the_only(Reset, run.receive(event_frame("eventStreamTerminated")))
    assert (told.alive, told.reason) == (False, "the venue ended the subscription")
    assert run.session.deadline() == NEVER


def test_silence_leads_to_a_ping_then_to_a_reset_and_any_frame_is_a_sign_of_life() -> None:
    run = Run().listening()
    assert run.tick() == [Ping()]
    run.receive(wallet_frame())
    assert run.tick() == [Ping()] and run.now == 40_000
    assert run.tick() == [Ping()]
    assert the_only(Reset, run.tick()).reason == "silent socket"
    assert run.now == 20_000 + 45_000


def test_rotation_comes_before_the_venue_cuts_and_differs_by_account() -> None:
    ends = set()
    for seed in range(5):
        run = Run(jitter_seed=seed).listening()
        while not (resets := [effect for effect in run.tick() if isinstance(effect, Reset)]):
            run.session.pinged(run.now)
        assert resets[0].alive
        ends.add(run.now)
    assert len(ends) == 5 and all(23 * HOUR_MS <= end <= 24 * HOUR_MS - 25 * 60_000 for end in ends)


def test_a_closed_session_wishes_nothing_and_calls_nobody() -> None:
    run = Run().listening()
    assert run.session.close(run.now) == []
    assert run.session.tick(Millis(24 * HOUR_MS)) == []
    assert run.receive(event_frame("serverShutdown", None)) == []
    assert not any(isinstance(effect, Call) for effect in run.session.open(run.now))


@given(
    st.lists(
        st.binary(max_size=40) | st.sampled_from([wallet_frame(), event_frame("eventStreamTerminated"), refused(None, -1)]), max_size=12
    )
)
def test_whatever_arrives_it_never_raises_and_ends_once(frames: list[bytes]) -> None:
    run = Run().listening()
    wished = [effect for frame in frames for effect in run.receive(frame)]
    assert sum(isinstance(effect, Reset) for effect in wished) <= 1


def test_a_session_says_who_it_is_and_has_no_key_of_its_own() -> None:
    run = Run()
    assert repr(run.session) == "<SpotSession of 'alice', connection 1, new>"
    assert (run.session.listen_key, run.session.common_key) == (None, None)
    run.listening().receive(event_frame("brandNew"))
    assert run.session.drift == {"event brandNew": 1}
    assert repr(run.session).endswith("open>")


def test_what_it_never_wished_for_means_nothing() -> None:
    run = Run()
    assert run.session.connected(run.now) == []
    assert run.session.respond("listen_key", refusal(-2015, "no", 401), run.now) == []
    run.listening()
    assert run.session.connected(run.now) == []
    assert run.receive(wallet_frame())
