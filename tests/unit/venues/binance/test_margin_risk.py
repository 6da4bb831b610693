"""The risk feed of a cross margin account: its messages, its session, and the little that its REST language tells."""

from __future__ import annotations

import pytest

from tests.unit.venues.binance.kit import LISTEN_KEY, RECEIVED, answer, encoded, place, refusal
from userstream.domain.account import Account
from userstream.domain.events import LiabilityChanged, MarginCalled
from userstream.domain.fold import apply
from userstream.kernel.errors import AuthenticationError, SettingsError
from userstream.kernel.ids import AccountId, Millis, OrderId, Symbol
from userstream.kernel.secret import Secret
from userstream.venues import find_venue
from userstream.wire.question import Answer, AskBalances, AskClock, AskOpenOrders, AskOrder, Question
from userstream.wire.session import Call, Connect
from userstream.wire.venue import AccountPlace, Credentials

RISK = find_venue("binance-margin-risk")
PATH = "/sapi/v1/margin/listen-key"
NOW = Millis(1_790_000_000_000)


def risk_place(**fields: object) -> AccountPlace:
    return place(venue=RISK.name, endpoints=RISK.real, **fields)


def level(status: str, time: int) -> bytes:
    return encoded({"e": "MARGIN_LEVEL_STATUS_CHANGE", "E": time, "l": "1.2", "s": status})


def test_every_step_towards_liquidation_and_back_is_news_once() -> None:
    account, decoder = Account(AccountId("alice"), RISK.name), RISK.make_decoder(AccountId("alice"))
    frames = [level(status, NOW + number) for number, status in enumerate(("MARGIN_CALL", "REDUCE_ONLY", "MARGIN_CALL", "NORMAL"))]
    told = [event for frame in [*frames, *frames] for event in decoder.decode(frame, RECEIVED) if apply(account, event) is not None]
    assert [event.status for event in told if isinstance(event, MarginCalled)] == ["margin_call", "reduce_only", "margin_call", "normal"]


def test_debts_of_different_assets_do_not_hide_each_other() -> None:
    account, decoder = Account(AccountId("alice"), RISK.name), RISK.make_decoder(AccountId("alice"))
    frames = [encoded({"e": "userLiabilityChange", "E": NOW, "a": asset, "t": "BORROW", "p": "1", "i": "0"}) for asset in ("BTC", "ETH")]
    told = [apply(account, event) for frame in frames for event in decoder.decode(frame, RECEIVED)]
    assert [event.asset for event in told if isinstance(event, LiabilityChanged)] == ["BTC", "ETH"]


@pytest.mark.parametrize(
    ("form", "url"),
    [
        (0, f"wss://margin-stream.binance.com/ws/{LISTEN_KEY}"),
        (1, f"wss://margin-stream.binance.com/stream?streams={LISTEN_KEY}"),
        (2, f"wss://margin-stream.binance.com/ws/{LISTEN_KEY}"),
    ],
)
def test_the_socket_has_the_key_in_its_address(form: int, url: str) -> None:
    session = RISK.make_session(risk_place(connection_form=form), 1, Millis(0))
    [call] = session.open(Millis(0))
    assert isinstance(call, Call) and call.request.label == f"POST {PATH}"
    [dial] = session.respond(call.tag, answer({"listenKey": LISTEN_KEY}), Millis(0))
    assert isinstance(dial, Connect) and dial.url.reveal() == url


def test_the_call_that_extends_the_key_names_it_and_shows_it_to_nobody() -> None:
    session = RISK.make_session(risk_place(), 1, Millis(0))
    [call] = session.open(Millis(0))
    assert isinstance(call, Call)
    session.respond(call.tag, answer({"listenKey": LISTEN_KEY}), Millis(0))
    session.connected(Millis(0))
    calls: list[Call] = []
    while not calls:
        now = session.deadline()
        session.pinged(now)
        calls = [effect for effect in session.tick(now) if isinstance(effect, Call)]
    assert calls[0].request.target.reveal() == f"{PATH}?listenKey={LISTEN_KEY}"
    assert calls[0].request.label == f"PUT {PATH}"
    assert LISTEN_KEY not in repr(calls)


def test_nothing_of_the_books_is_told_but_a_key_without_the_right_is_noticed() -> None:
    dialect = RISK.make_dialect(risk_place())
    wallets = {"tradeEnabled": True, "userAssets": [{"asset": "BTC", "free": "1", "locked": "0"}]}
    questions: list[tuple[Question, object]] = [(AskBalances(), wallets), (AskOpenOrders(conditional=False), [])]
    for question, body in questions:
        assert dialect.weight(question) == dialect.request(question, NOW).weight == 10
        assert dialect.answer(question, answer(body), NOW, NOW) == Answer()
        with pytest.raises(AuthenticationError):
            dialect.answer(question, refusal(-2015, "no", 401), NOW, NOW)
    assert dialect.answer(AskClock(), answer({"serverTime": NOW}), NOW, NOW).venue_time == NOW
    assert dialect.request(AskOrder(Symbol("BTCUSDT"), OrderId("1"), False), NOW).label == "GET /sapi/v1/margin/order"
    assert (dialect.history_depth_ms() > 0, dialect.unfilled_depth_ms() > 0, dialect.traits().positions) == (True, True, False)


def test_without_a_secret_nothing_can_be_asked() -> None:
    with pytest.raises(SettingsError, match="api_secret"):
        RISK.make_dialect(risk_place(credentials=Credentials(api_key=Secret("key"))))
