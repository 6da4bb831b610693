"""The risk feed of a cross margin account: its messages, its session, and the little that its REST language tells."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.venues.binance.kit import LISTEN_KEY, RECEIVED, answer, encoded, place, refusal
from userstream.domain.account import Account
from userstream.domain.events import Event, LiabilityChanged, MarginCalled
from userstream.domain.fold import apply, checkpoint_of, forget
from userstream.kernel.errors import AuthenticationError, SettingsError
from userstream.kernel.ids import AccountId, Millis, OrderId, Symbol
from userstream.kernel.secret import Secret
from userstream.venues import find_venue
from userstream.wire.question import Answer, AskBalances, AskClock, AskOpenOrders, AskOrder, Question
from userstream.wire.recovery import absent_debts
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


LAG_MS = 5_000


class Watch:
    """An account of the risk feed, told by messages and readings; `status` and `owed` are the news."""

    def __init__(self) -> None:
        self.account = Account(AccountId("alice"), RISK.name, lag_ms=LAG_MS)
        self._decoder, self._dialect = RISK.make_decoder(AccountId("alice")), RISK.make_dialect(risk_place())

    def hear(self, frame: bytes) -> list[Event]:
        return [news for event in self._decoder.decode(frame, RECEIVED) if (news := apply(self.account, event, 1)) is not None]

    def read(self, at: int, level: str, **owed: str) -> list[Event]:
        """What a reading tells that is new: `at` so many ms after the beginning, the level and the debts by asset."""
        assets = [{"asset": asset, "free": "9", "locked": "0", "borrowed": debt, "interest": "0"} for asset, debt in owed.items()]
        body = {"tradeEnabled": True, "marginLevel": level, "userAssets": assets}
        read = self._dialect.answer(AskBalances(), answer(body), Millis(NOW + at), RECEIVED)
        paid = absent_debts(self.account, read, AskBalances(), Millis(NOW + at), RECEIVED)
        return [news for event in (*read.events, *paid) if (news := apply(self.account, event)) is not None]


def levels(news: list[Event]) -> list[tuple[str, str]]:
    return [(event.status, str(event.margin_level)) for event in news if isinstance(event, MarginCalled)]


def test_a_reading_tells_a_warning_that_no_message_told_once_and_its_end() -> None:
    watch = Watch()
    told = [levels(watch.read(at, level)) for at, level in ((0, "999"), (1, "1.4"), (2, "1.29"), (3, "1.285"), (4, "1.295"))]
    assert told == [[], [], [("margin_call", "1.29")], [], []]
    assert [levels(watch.read(at, level)) for at, level in ((5, "1.2"), (6, "1.4"), (7, "1.6"), (8, "1.7"))] == [
        [("margin_call", "1.2")],
        [],
        [("normal", "1.6")],
        [],
    ]


def test_a_reading_does_not_contradict_a_message_that_it_may_not_know_of() -> None:
    watch = Watch()
    assert len(watch.hear(level("MARGIN_CALL", NOW))) == 1
    assert watch.read(LAG_MS, "1.6") == []
    assert levels(watch.read(LAG_MS + 1, "1.1")) == [("margin_call", "1.1")]
    assert len(watch.hear(level("NORMAL", NOW + LAG_MS))) == 1, "a message of the time that the reading need not include"


def test_a_warning_at_another_level_than_ours_becomes_more_serious_under_its_own_name() -> None:
    watch = Watch()
    watch.hear(encoded({"e": "MARGIN_LEVEL_STATUS_CHANGE", "E": NOW, "l": "1.45", "s": "REDUCE_ONLY"}))
    assert levels(watch.read(LAG_MS + 1, "1.45")) == levels(watch.read(LAG_MS + 2, "1.48")) == []
    assert levels(watch.read(LAG_MS + 3, "1.40")) == [("reduce_only", "1.40")]


def test_a_reading_tells_what_is_owed_where_that_changed() -> None:
    watch = Watch()
    told = [watch.read(at, "2", **owed) for at, owed in ((0, {"BTC": "0"}), (1, {"BTC": "1"}), (2, {"BTC": "1"}), (3, {"BTC": "0"}))]
    owed = [[(event.asset, event.principal) for event in news if isinstance(event, LiabilityChanged)] for news in told]
    assert owed == [[], [("BTC", Decimal(1))], [], [("BTC", Decimal(0))]]


def owed_in(news: list[Event]) -> list[tuple[str, str]]:
    return [(event.asset, str(event.principal)) for event in news if isinstance(event, LiabilityChanged)]


def test_a_debt_that_the_account_does_not_list_any_more_is_paid() -> None:
    watch = Watch()
    told = [owed_in(watch.read(at, "2", **owed)) for at, owed in ((0, {"BTC": "1", "ETH": "2"}), (1, {"ETH": "2"}), (2, {}), (3, {}))]
    assert told == [[("BTC", "1"), ("ETH", "2")], [("BTC", "0")], [("ETH", "0")], []]


@given(st.lists(st.dictionaries(st.sampled_from(("BTC", "ETH", "BNB")), st.sampled_from(("0", "1", "2.5"))), max_size=6))
def test_whatever_the_account_lists_the_debts_told_are_those_that_it_has(readings: list[dict[str, str]]) -> None:
    watch, debts = Watch(), dict[str, Decimal]()
    for at, listed in enumerate(readings):
        for event in watch.read(at, "2", **listed):
            if isinstance(event, LiabilityChanged):
                assert debts.get(event.asset, Decimal(0)) != event.principal, "told twice"
                debts[event.asset] = event.principal
        assert {asset: debt for asset, debt in debts.items() if debt} == {a: Decimal(d) for a, d in listed.items() if Decimal(d)}


def test_what_was_told_last_is_known_after_long_and_after_a_restart() -> None:
    watch, again = Watch(), Watch()
    watch.read(0, "1.2", BTC="1")
    forget(watch.account, Millis(NOW + 3_600_000))
    for event in checkpoint_of(watch.account):
        apply(again.account, event)
    for each in (watch, again):
        assert each.read(3_700_000, "1.2", BTC="1") == []
        assert levels(each.read(3_700_001, "1.6", BTC="1")) == [("normal", "1.6")]


def test_a_reading_that_tells_no_level_tells_none() -> None:
    body = {"tradeEnabled": True, "userAssets": []}
    assert RISK.make_dialect(risk_place()).answer(AskBalances(), answer(body), NOW, RECEIVED) == Answer()


def test_nothing_else_of_the_books_is_told_but_a_key_without_the_right_is_noticed() -> None:
    dialect = RISK.make_dialect(risk_place())
    wallets: dict[str, object] = {"tradeEnabled": True, "userAssets": []}
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
