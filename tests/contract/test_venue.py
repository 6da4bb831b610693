"""Laws of every venue in the registry: feed, session, REST dialect. A new venue is held to them by being in the registry."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Final

import msgspec
import pytest

from userstream.domain.events import PRIVATE, Event, Filled, Unrecognized, public_form
from userstream.kernel.errors import SettingsError, UserStreamError
from userstream.kernel.ids import AccountId, Millis, OrderId, Symbol
from userstream.kernel.secret import Secret
from userstream.venues import REGISTRY
from userstream.wire.question import (
    AskBalances,
    AskClock,
    AskFills,
    AskMovements,
    AskOpenOrders,
    AskOrder,
    AskOrderFills,
    AskOrderList,
    AskOrderLists,
    AskOrders,
    AskPositions,
    AskSettings,
    AskSymbols,
    Question,
    RestDialect,
    Traits,
)
from userstream.wire.request import HttpResponse
from userstream.wire.session import Call, Connect, Effect, GiveUp, Opened, Ping, Reset, Send, Session, Troubled
from userstream.wire.venue import AccountPlace, Credentials, VenueSpec

GOLDEN: Final = Path(__file__).resolve().parent.parent / "golden"
ALICE: Final = AccountId("alice")
RECEIVED: Final = Millis(1_790_000_009_999)
API_KEY: Final = "contractApiKey0123456789"
API_SECRET: Final = "contractApiSecret0123456789"
PASSPHRASE: Final = "contractPassphrase"
CANARIES: Final = (API_KEY, API_SECRET, PASSPHRASE, "contractListenKey0123456789")
SYMBOL: Final = Symbol("BTCUSDT")
DAY_MS: Final = 24 * 3600 * 1000
FACTS: Final = ("balance_set", "margin_called")
NEVER_MS: Final = 1 << 60

QUESTIONS: Final[tuple[Question, ...]] = (
    AskClock(),
    AskBalances(),
    AskPositions(),
    AskSettings(),
    AskSettings(symbol_settings=True),
    AskOpenOrders(conditional=False),
    AskOpenOrders(conditional=True),
    AskOrder(SYMBOL, OrderId("12"), False),
    AskOrder(SYMBOL, OrderId("12"), True),
    AskOrders(RECEIVED, RECEIVED),
    AskOrders(RECEIVED, RECEIVED, SYMBOL),
    AskFills(SYMBOL, Millis(RECEIVED - 30 * DAY_MS), RECEIVED),
    AskOrderFills(SYMBOL, OrderId("12"), Millis(RECEIVED - 30 * DAY_MS), RECEIVED),
    AskMovements(RECEIVED, RECEIVED),
    AskSymbols(),
    AskOrderLists(),
    AskOrderList("2001"),
)

venues = pytest.mark.parametrize("spec", REGISTRY.values(), ids=REGISTRY.keys())


class Case(msgspec.Struct, frozen=True):
    name: str
    frame: msgspec.Raw
    events: list[dict[str, object]]


class GoldenFile(msgspec.Struct, frozen=True):
    section: str
    cases: list[Case]


def golden_files(spec: VenueSpec) -> Iterator[tuple[Path, GoldenFile]]:
    for path in sorted((GOLDEN / spec.name.replace("-", "_")).glob("*.json")):
        yield path, msgspec.json.decode(path.read_bytes(), type=GoldenFile)


def golden_cases() -> list[tuple[VenueSpec, Case]]:
    return [(spec, case) for spec in REGISTRY.values() for _, file in golden_files(spec) for case in file.cases]


def place(spec: VenueSpec, **fields: object) -> AccountPlace:
    credentials = Credentials(api_key=Secret(API_KEY), api_secret=Secret(API_SECRET), passphrase=Secret(PASSPHRASE))
    return msgspec.structs.replace(AccountPlace(account=ALICE, venue=spec.name, credentials=credentials, endpoints=spec.real), **fields)


def call_answer(call: Call) -> HttpResponse:
    """A good answer to whatever a session first calls for: a key, or a token with its address."""
    token = {"token": CANARIES[-1], "expirationTime": RECEIVED + DAY_MS}
    return HttpResponse(status=200, body=json.dumps({"listenKey": CANARIES[-1], **token}).encode())


def frame_answer(request: Send) -> bytes:
    """A good answer to whatever a session first asks on its socket: the time, a subscription."""
    asked = json.loads(request.text.reveal())
    return json.dumps({"id": asked.get("id"), "status": 200, "result": {"serverTime": RECEIVED, "subscriptionId": 0}}).encode()


def begin(session: Session, now: Millis) -> list[Effect]:
    """Up to the socket that delivers; all that was wished on the way."""
    wished = session.open(now)
    for _ in range(4):
        if any(isinstance(effect, Connect) for effect in wished):
            break
        wished += [effect for call in wished if isinstance(call, Call) for effect in session.respond(call.tag, call_answer(call), now)]
    wished += (news := session.connected(now))
    while sent := [effect for effect in news if isinstance(effect, Send)]:
        wished += (news := [more for request in sent for more in session.receive(frame_answer(request), now, RECEIVED)])
    return wished


# --- the feed ---


@pytest.mark.parametrize(("spec", "case"), golden_cases(), ids=[f"{spec.name}: {case.name}" for spec, case in golden_cases()])
def test_each_golden_payload_gives_its_recorded_events(spec: VenueSpec, case: Case) -> None:
    events = spec.make_decoder(ALICE).decode(bytes(case.frame), RECEIVED)
    common = {"account": ALICE, "venue": spec.name, "received_time": RECEIVED}
    assert msgspec.json.decode(msgspec.json.encode(events)) == [{**event, **common} for event in case.events]


@venues
def test_golden_payloads_name_their_sources(spec: VenueSpec) -> None:
    files = list(golden_files(spec))
    sources = (GOLDEN / spec.name.replace("-", "_") / "SOURCES.md").read_text(encoding="utf-8")
    assert files
    assert [path.name for path, _ in files if f"`{path.name}`" not in sources] == []
    assert all(file.section for _, file in files)


@venues
def test_the_public_form_has_every_word_of_the_vocabulary(spec: VenueSpec) -> None:
    for _, file in golden_files(spec):
        for case in file.cases:
            for event in spec.make_decoder(ALICE).decode(bytes(case.frame), RECEIVED):
                form = public_form(event)
                assert form["kind"] and form["venue"] == spec.name and form["account"] == ALICE
                assert set(event.__struct_fields__) - PRIVATE <= set(form)


@venues
def test_an_unknown_message_is_seen_and_counted_each_time(spec: VenueSpec) -> None:
    decoder = spec.make_decoder(ALICE)
    for times in (1, 2):
        [event] = decoder.decode(b'{"e":"neverHeardOf","event":"neverHeardOf","topic":"neverHeardOf"}', RECEIVED)
        assert isinstance(event, Unrecognized)
        assert list(decoder.drift.values()) == [times]


@venues
def test_a_decoder_keeps_nothing_of_a_frame(spec: VenueSpec) -> None:
    """The same frame means the same again: duplicates are the fold's affair."""
    decoder = spec.make_decoder(ALICE)
    for _, file in golden_files(spec):
        for case in file.cases:
            first, second = (known(decoder.decode(bytes(case.frame), RECEIVED)) for _ in range(2))
            assert first == second


def known(events: tuple[Event, ...]) -> list[Event]:
    return [event for event in events if not isinstance(event, Unrecognized)]


@venues
def test_a_session_reads_what_the_decoder_reads(spec: VenueSpec) -> None:
    session = spec.make_session(place(spec), 1, Millis(0))
    begin(session, Millis(0))
    decoder = spec.make_decoder(ALICE)
    frame = next(
        bytes(case.frame) for _, file in golden_files(spec) for case in file.cases if case.events and case.events[0]["kind"] in FACTS
    )
    [emitted] = session.receive(frame, Millis(5), RECEIVED)
    assert getattr(emitted, "events", None) == decoder.decode(frame, RECEIVED)


# --- the session ---


@venues
@pytest.mark.parametrize("form", range(4))
def test_the_key_comes_before_the_socket_and_the_socket_before_any_message(spec: VenueSpec, form: int) -> None:
    session = spec.make_session(place(spec, connection_form=form), 1, Millis(0))
    kinds = [type(effect) for effect in begin(session, Millis(0))]
    assert kinds.count(Connect) == 1
    assert not {Send, Opened} & set(kinds[: kinds.index(Connect)])
    assert not {Call} & set(kinds[kinds.index(Connect) :])


@venues
def test_silence_leads_to_a_ping_then_to_a_reset(spec: VenueSpec) -> None:
    session = spec.make_session(place(spec), 1, Millis(0))
    begin(session, Millis(0))
    wished: list[tuple[int, Effect]] = []
    while (due := session.deadline()) < DAY_MS:
        wished += [(due, effect) for effect in session.tick(due)]
    assert isinstance(wished[0][1], Ping | Send)
    assert isinstance(wished[-1][1], Reset) and not wished[-1][1].alive
    assert wished[-1][0] <= place(spec).silence_limit_ms


@venues
def test_a_socket_that_speaks_is_replaced_before_the_venue_cuts_it(spec: VenueSpec) -> None:
    session = spec.make_session(place(spec), 1, Millis(0))
    begin(session, Millis(0))
    resets: list[tuple[int, Reset]] = []
    while (due := session.deadline()) < DAY_MS:
        for effect in session.tick(due):
            if isinstance(effect, Reset):
                resets.append((due, effect))
            if isinstance(effect, Call):
                resets += [(due, more) for more in session.respond(effect.tag, call_answer(effect), due) if isinstance(more, Reset)]
        session.pinged(due)
    assert [reset.alive for _, reset in resets] == [True]
    assert 22 * 3600 * 1000 < resets[0][0] < DAY_MS


@venues
@pytest.mark.parametrize("form", range(3))
def test_no_secret_is_in_what_people_see(spec: VenueSpec, form: int) -> None:
    spoken = place(spec, connection_form=form)
    session = spec.make_session(spoken, 1, Millis(0))
    wished = begin(session, Millis(0))
    while (due := session.deadline()) < DAY_MS:
        wished += session.tick(due)
    echo = HttpResponse(status=401, body=json.dumps({"code": -2015, "msg": " ".join(CANARIES)}).encode())
    wished += [effect for call in wished if isinstance(call, Call) for effect in session.respond(call.tag, echo, due)]
    seen = f"{wished!r} {session!r} {dict(session.drift)!r} {spoken!r} {session.listen_key!r}"
    seen += "".join(str(effect.error) for effect in wished if isinstance(effect, GiveUp))
    assert [canary for canary in CANARIES if canary in seen] == []


@venues
def test_deadlines_move_on_while_the_venue_cannot_be_reached(spec: VenueSpec) -> None:
    """A tick at its deadline leaves a later one, or the driver would spin; and the waits grow."""
    session = spec.make_session(place(spec), 1, Millis(0))
    wished, now, times = session.open(Millis(0)), Millis(0), []
    if any(isinstance(effect, Connect) for effect in wished):
        assert session.deadline() > NEVER_MS, "who dials keeps the time until the socket is open"
        return
    for _ in range(12):
        for call in [effect for effect in wished if isinstance(effect, Call)]:
            [told] = session.respond(call.tag, HttpResponse(status=0, body=b"no route"), now)
            assert isinstance(told, Troubled)
            assert told.reason == f"cannot reach {spec.real.rest_url}: no route"
        assert session.deadline() > now
        now = session.deadline()
        times.append(now)
        wished = session.tick(now)
        assert [effect for effect in wished if isinstance(effect, Call)]
    waits = [later - earlier for earlier, later in pairwise(times)]
    assert waits[-1] > 10 * waits[0]


@venues
def test_a_stopped_session_wishes_nothing_more(spec: VenueSpec) -> None:
    session = spec.make_session(place(spec), 1, Millis(0))
    begin(session, Millis(0))
    assert session.close(Millis(1)) == []
    assert session.deadline() > NEVER_MS
    assert session.tick(Millis(DAY_MS)) == []


# --- the REST dialect ---


def dialect(spec: VenueSpec) -> RestDialect:
    return spec.make_dialect(place(spec))


def can_be_asked(traits: Traits, question: Question) -> bool:
    match question:
        case AskPositions():
            return traits.positions
        case AskSettings():
            return traits.settings
        case AskMovements():
            return traits.movements
        case AskOrderLists() | AskOrderList():
            return traits.order_lists
        case AskSymbols():
            return traits.by_symbol and not traits.movements
        case AskOrders(symbol=symbol):
            return traits.by_symbol is (symbol is not None)
        case AskOpenOrders(conditional=True) | AskOrder(conditional=True):
            return traits.conditional_orders
        case _:
            return True


ASKED: Final = [(spec, question) for spec in REGISTRY.values() for question in QUESTIONS if can_be_asked(dialect(spec).traits(), question)]
questions = pytest.mark.parametrize(("spec", "question"), ASKED, ids=[f"{spec.name}: {question}" for spec, question in ASKED])


@venues
def test_nothing_can_be_asked_without_a_secret(spec: VenueSpec) -> None:
    with pytest.raises(SettingsError, match="api_secret"):
        spec.make_dialect(place(spec, credentials=Credentials(api_key=Secret(API_KEY))))


@questions
def test_each_question_is_one_harmless_call_within_the_budget(spec: VenueSpec, question: Question) -> None:
    request = dialect(spec).request(question, RECEIVED)
    assert request.target.reveal().startswith("/") and request.target.reveal().isascii()
    assert request.may_repeat
    assert 0 < request.weight <= spec.weight_limit_per_minute // 10
    assert "?" not in request.label
    assert [canary for canary in CANARIES if canary in repr(request)] == []
    assert dialect(spec).request(question, RECEIVED) == request, "the same question at the same time is the same call"


@questions
def test_any_answer_is_read_or_says_how_to_react(spec: VenueSpec, question: Question) -> None:
    for status in (0, 200, 302, 400, 401, 403, 404, 408, 418, 429, 500, 502, 503):
        for body in (b"", b"<html>", b"\xff", b"null", b"{}", b'{"239999":"x"}', b"[" * 100_000, b'[{"symbol":1}]'):
            try:
                answer = dialect(spec).answer(question, HttpResponse(status=status, body=body), RECEIVED, RECEIVED)
            except UserStreamError as error:
                assert str(error)
            else:
                assert 200 <= status < 300 and answer.events == ()


@venues
def test_history_can_be_asked_back_far_enough_for_a_long_holiday(spec: VenueSpec) -> None:
    assert dialect(spec).history_depth_ms() >= 30 * DAY_MS


@venues
def test_a_recovered_fill_has_the_shape_of_the_feed(spec: VenueSpec) -> None:
    """What the classic surface hands over for a fill that REST found means the same fill to the decoder, but for who told it."""
    if spec.raw_message_of is None:
        pytest.skip("this venue has no classic surface")
    fills = [event for _, file in golden_files(spec) for case in file.cases for event in read(spec, case) if isinstance(event, Filled)]
    assert fills
    for fill in fills:
        raw = spec.raw_message_of(fill)
        assert raw.pop("_source") == "recovery"
        [again] = [event for event in spec.make_decoder(ALICE).decode(json.dumps(raw).encode(), RECEIVED) if isinstance(event, Filled)]
        assert (again.symbol, again.trade_id, again.order_id, again.side) == (fill.symbol, fill.trade_id, fill.order_id, fill.side)
        assert (again.price, again.quantity, again.fee) == (fill.price, fill.quantity, fill.fee)
        assert again.transaction_time == fill.transaction_time


def read(spec: VenueSpec, case: Case) -> tuple[Event, ...]:
    return spec.make_decoder(ALICE).decode(bytes(case.frame), RECEIVED)
