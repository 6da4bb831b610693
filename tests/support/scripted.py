"""A small venue that speaks in our own words: frames are events in JSON, calls are questions in JSON. Session and dialect are real
implementations of the protocols in `userstream.wire`, so that a machine can be driven without any venue's spelling in the way.

A frame that begins with `NOTICE` is the venue's word about the socket itself: rotate, break, refuse.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Final

import msgspec

from tests.support.truth import ALICE, SCRIPTED, Frame, Truth
from userstream.domain.events import AccountConfigChanged, Event, OrderChanged, Unrecognized
from userstream.domain.words import FINAL, Source
from userstream.kernel.errors import (
    AuthenticationError,
    ClockSkewed,
    DecodeError,
    OrderNotFound,
    OutcomeUnknown,
    RequestRefused,
    RetryLater,
    UserStreamError,
)
from userstream.kernel.ids import AccountId, Millis
from userstream.kernel.secret import Secret
from userstream.wire.feed import NEVER
from userstream.wire.question import (
    Answer,
    AskBalances,
    AskClock,
    AskFills,
    AskMovements,
    AskOpenOrders,
    AskOrder,
    AskOrderFills,
    AskOrders,
    AskPositions,
    AskSettings,
    Question,
    Traits,
)
from userstream.wire.request import HttpRequest, HttpResponse
from userstream.wire.session import Call, Connect, Effect, Emit, GiveUp, Opened, Ping, Reset, Send
from userstream.wire.venue import AccountPlace, Credentials, Endpoints, VenueSpec

NOTICE: Final = b"notice "
ROTATE: Final = NOTICE + b"rotate"
BREAK: Final = NOTICE + b"break"
REFUSE: Final = NOTICE + b"refuse"
GARBAGE: Final = b"\xffno message"
KEY_TAG: Final = "key"
FAREWELL_TAG: Final = "farewell"

NOT_NOW: Final = HttpResponse(status=429, body=b"too many", headers={"retry-after": "7"})
SKEWED: Final = HttpResponse(status=408, body=b"your clock is wrong")
KEY_REFUSED: Final = HttpResponse(status=401, body=b"no such key")
NO_SUCH_ORDER: Final = HttpResponse(status=404, body=b"no such order")
REFUSED: Final = HttpResponse(status=400, body=b"not like this")
UNREADABLE: Final = HttpResponse(status=200, body=b"<html>")
NO_ANSWER: Final = HttpResponse(status=0, body=b"no answer came")
BROKEN: Final = HttpResponse(status=503, body=b"out of order")

ERRORS: Final[Mapping[int, type[UserStreamError]]] = {
    400: RequestRefused,
    401: AuthenticationError,
    404: OrderNotFound,
    408: ClockSkewed,
    429: RetryLater,
}

ENDPOINTS: Final = Endpoints(rest_url="https://rest.scripted.example", ws_url="wss://scripted.example")
PLACE: Final = AccountPlace(
    account=ALICE,
    venue=SCRIPTED,
    credentials=Credentials(api_key=Secret("key"), api_secret=Secret("secret")),
    endpoints=ENDPOINTS,
    jitter_seed=7,
)

_frame_decoder: Final = msgspec.json.Decoder(tuple[Event, ...])
_question_decoder: Final[msgspec.json.Decoder[Question]] = msgspec.json.Decoder(Question)
_answer_decoder: Final = msgspec.json.Decoder(Answer)


class ScriptedDecoder:
    """Reads frames of events; what is none becomes `Unrecognized`."""

    def __init__(self) -> None:
        self.drift = Counter[str]()

    def decode(self, frame: bytes, received_time: Millis) -> tuple[Event, ...]:
        try:
            events = _frame_decoder.decode(frame)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            self.drift["bytes no message"] += 1
            return (Unrecognized(account=ALICE, venue=SCRIPTED, received_time=received_time, name="bytes", reason=str(error)),)
        for event in events:
            msgspec.structs.force_setattr(event, "received_time", received_time)
        return events


class ScriptedSession:
    """Fetches a key, opens a socket, pings when nothing is heard, rotates when its time is over."""

    def __init__(self, place: AccountPlace, number: int, now: Millis) -> None:
        self._place, self._decoder = place, ScriptedDecoder()
        self._opened = False
        self._ping_at = self._rotate_at = self._silent_at = NEVER
        self.listen_key: Secret | None = None

    @property
    def common_key(self) -> Secret | None:
        return self.listen_key

    def open(self, now: Millis) -> list[Effect]:
        return [Call(KEY_TAG, HttpRequest(method="POST", target=Secret("/key"), label="POST /key"))]

    def respond(self, tag: str, response: HttpResponse, now: Millis) -> list[Effect]:
        if tag != KEY_TAG:
            return []
        match response.status:
            case 200:
                self.listen_key = Secret(response.body.decode())
                return [Connect(Secret(f"{ENDPOINTS.ws_url}/{self._place.connection_form}"), ENDPOINTS.ws_url)]
            case 401:
                return [GiveUp(AuthenticationError("the venue refuses the key"))]
            case _:
                return [Reset("no key", alive=False)]

    def connected(self, now: Millis) -> list[Effect]:
        self._opened, self._rotate_at = True, Millis(now + self._place.rotate_after_ms)
        self._hear(now)
        return [Send(Secret("hello")), Opened()]

    def receive(self, frame: bytes, now: Millis, received_time: Millis) -> list[Effect]:
        self._hear(now)
        match frame:
            case b"notice rotate":
                return [Reset("the venue asked for it", alive=True)]
            case b"notice break":
                return [Reset("the venue ends the stream", alive=False)]
            case b"notice refuse":
                return [GiveUp(AuthenticationError("the key was deleted"))]
            case _:
                return [Emit(self._decoder.decode(frame, received_time))]

    def pinged(self, now: Millis) -> list[Effect]:
        self._hear(now)
        return []

    def tick(self, now: Millis) -> list[Effect]:
        if self._silent_at <= now:
            self._silent_at = self._ping_at = NEVER
            return [Reset("nothing was heard", alive=False)]
        if self._rotate_at <= now:
            self._rotate_at = NEVER
            return [Reset("its time is over", alive=True)]
        if self._ping_at <= now:
            self._ping_at = Millis(now + self._place.own_ping_ms)
            return [Ping()]
        return []

    def deadline(self) -> Millis:
        return min(self._ping_at, self._rotate_at, self._silent_at)

    def close(self, now: Millis) -> list[Effect]:
        if not self._place.close_listen_key_on_stop or self.listen_key is None:
            return []
        return [Call(FAREWELL_TAG, HttpRequest(method="DELETE", target=Secret("/key"), label="DELETE /key"))]

    @property
    def drift(self) -> Mapping[str, int]:
        return self._decoder.drift

    def _hear(self, now: Millis) -> None:
        if self._opened:
            self._ping_at = Millis(now + self._place.own_ping_ms)
            self._silent_at = Millis(now + self._place.silence_limit_ms)


class Script(msgspec.Struct, frozen=True, kw_only=True):
    """How the venue's REST is made. page: fills of one answer at most. unfilled_depth_ms: how long an order that ended without a fill
    is known, from its making on."""

    history_depth_ms: int = 7 * 24 * 3_600_000
    unfilled_depth_ms: int = 3 * 24 * 3_600_000
    asks_movements: bool = True
    page: int = 500


class ScriptedDialect:
    """Questions as JSON calls, answers as JSON of `Answer`, errors by status."""

    def __init__(self, script: Script) -> None:
        self._script = script

    def weight(self, question: Question) -> int:
        return 5 if isinstance(question, AskFills | AskOpenOrders) else 1

    def request(self, question: Question, venue_now: Millis) -> HttpRequest:
        target = msgspec.json.encode(question).decode()
        return HttpRequest(method="GET", target=Secret(target), label=f"GET {type(question).__name__}", weight=self.weight(question))

    def answer(self, question: Question, response: HttpResponse, as_of: Millis, received_time: Millis) -> Answer:
        if response.status != 200:
            raise self._error(response)
        try:
            answer = _answer_decoder.decode(response.body)
        except msgspec.DecodeError as error:
            raise DecodeError(str(error)) from error
        events = tuple(
            msgspec.structs.replace(event, source=Source.SNAPSHOT, as_of=as_of, received_time=received_time) for event in answer.events
        )
        return msgspec.structs.replace(answer, events=events)

    def history_depth_ms(self) -> int:
        return self._script.history_depth_ms

    def unfilled_depth_ms(self) -> int:
        return self._script.unfilled_depth_ms

    def traits(self) -> Traits:
        return Traits(movements=self._script.asks_movements)

    @staticmethod
    def _error(response: HttpResponse) -> UserStreamError:
        text, reaction = response.body.decode(), ERRORS.get(response.status, OutcomeUnknown)
        advice = response.headers.get("retry-after")
        return RetryLater(text, int(advice) * 1_000) if reaction is RetryLater and advice else reaction(text)


def _never(response: HttpResponse, venue_now: Millis) -> int:
    """This venue never wants silence."""
    return 0


def spec_of(script: Script) -> VenueSpec:
    """The scripted venue as a row of the table of venues."""

    def make_decoder(account: AccountId) -> ScriptedDecoder:
        return ScriptedDecoder()

    return VenueSpec(
        pause_of=_never,
        name=SCRIPTED,
        title="A scripted venue",
        real=ENDPOINTS,
        test=None,
        weight_limit_per_minute=2_400,
        make_session=ScriptedSession,
        make_dialect=lambda place: ScriptedDialect(script),
        make_decoder=make_decoder,
    )


def frame_of(events: Frame) -> bytes:
    return msgspec.json.encode(events)


def question_of(request: HttpRequest) -> Question:
    return _question_decoder.decode(request.target.reveal())


def respond(truth: Truth, script: Script, question: Question, *, seen: Millis, venue_now: Millis) -> HttpResponse:
    """The venue's answer, from books as they were at `seen` (its own time)."""
    answer = _answer(truth, script, question, seen, venue_now)
    return NO_SUCH_ORDER if answer is None else HttpResponse(status=200, body=msgspec.json.encode(answer))


def _answer(truth: Truth, script: Script, question: Question, seen: Millis, venue_now: Millis) -> Answer | None:
    match question:
        case AskClock():
            return Answer(venue_time=venue_now)
        case AskBalances():
            return Answer(events=tuple(truth.wallets_at(seen)))
        case AskPositions():
            return Answer(events=tuple(truth.legs_at(seen)))
        case AskSettings():
            settings = AccountConfigChanged(account=ALICE, venue=SCRIPTED, hedge_mode=False, can_trade=True, transaction_time=seen)
            return Answer(events=(settings,))
        case AskOrder(symbol, order_id, conditional):
            order = truth.order_at(seen, symbol, order_id, conditional)
            return None if order is None or not _is_kept(script, order, seen) else Answer(events=(order,))
        case _:
            return _list(truth, script, question, seen)


def _list(truth: Truth, script: Script, question: Question, seen: Millis) -> Answer:
    match question:
        case AskOpenOrders(conditional):
            return Answer(events=tuple(order for order in truth.open_orders_at(seen) if order.conditional is conditional))
        case AskOrders():
            return _orders(truth, script, question, seen)
        case AskOrderFills(symbol, order_id, since, until):
            known = truth.fills_between(max(since, Millis(seen - script.history_depth_ms)), min(until, seen))
            return Answer(events=tuple(fill for fill in known if (fill.symbol, fill.order_id) == (symbol, order_id)))
        case AskFills():
            return _fills(truth, script, question, seen)
        case AskMovements(since, until):
            since, until = max(since, Millis(seen - script.history_depth_ms)), min(until, seen)
            traded = tuple((fill.symbol, fill.trade_id) for fill in truth.fills_between(since, until))
            return Answer(events=tuple(truth.movements_between(since, until)), traded=traded)
        case _:
            raise AssertionError(f"no list answers {question}")


def _is_kept(script: Script, order: OrderChanged, seen: Millis) -> bool:
    ended_unfilled = order.status in FINAL and not order.filled_quantity
    return not (ended_unfilled and order.created_time < seen - script.unfilled_depth_ms)


def _orders(truth: Truth, script: Script, question: AskOrders, seen: Millis) -> Answer:
    known = [order for order in truth.orders_at(seen) if order.conditional is question.conditional and _is_kept(script, order, seen)]
    known = [order for order in known if question.symbol in (None, order.symbol)]
    return Answer(events=tuple(order for order in known if question.since <= order.transaction_time <= question.until))


def _fills(truth: Truth, script: Script, question: AskFills, seen: Millis) -> Answer:
    since = max(question.since, Millis(seen - script.history_depth_ms))
    known = [fill for fill in truth.fills_between(since, min(question.until, seen)) if fill.symbol == question.symbol]
    rest = [fill for fill in known if not question.cursor or int(fill.trade_id) > int(question.cursor)]
    page = rest[: script.page]
    more = (msgspec.structs.replace(question, cursor=page[-1].trade_id),) if len(rest) > len(page) else ()
    return Answer(events=tuple(page), more=more)
