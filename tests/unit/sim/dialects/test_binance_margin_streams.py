"""Listening to margin accounts: listen tokens on the WebSocket API, the risk stream by a listen key (Binance Spot, 2.4, 2.5, 4.4)."""

from collections.abc import Callable
from decimal import Decimal

import pytest

from tests.unit.sim.kit import START
from tests.unit.sim.margin_kit import CROSS, PAIR, MarginDesk, TokenCaller, open_margin
from tests.unit.sim.shapes import golden, shape_of
from tests.unit.sim.spot_kit import part
from userstream.sim.actions import parse_action
from userstream.sim.performing import perform

DAY_MS = 86_400_000


def act(desk: MarginDesk, name: str, **fields: object) -> object:
    result = perform(parse_action(name, fields), desk.house, desk.clock.now())
    desk.publish()
    return result


# --- listen tokens -------------------------------------------------------------------------------------------------------


def test_a_token_needs_the_key_only_and_is_told_in_milliseconds() -> None:
    desk = open_margin()
    found = desk.send("POST", "/sapi/v1/userListenToken")
    assert found.status == 200
    assert len(str(found["token"])) >= 70
    assert found["expirationTime"] == START + DAY_MS
    assert desk.send("POST", "/sapi/v1/userListenToken", "validity=60000")["expirationTime"] == START + 60_000


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("validity=0", -1130),
        (f"validity={DAY_MS + 1}", -1130),
        ("isIsolated=true", -1102),
        ("isIsolated=true&symbol=NOPE", -1121),
        ("isIsolated=maybe", -1130),
    ],
)
def test_tokens_that_cannot_be(query: str, code: int) -> None:
    assert open_margin().send("POST", "/sapi/v1/userListenToken", query).code == code


def test_a_subscription_by_token_hears_the_cross_account_and_tells_its_end_in_microseconds() -> None:
    desk = open_margin()
    client = TokenCaller(desk)
    assert part(client.listen(desk.token()), "result") == {"subscriptionId": 0, "expirationTime": (START + DAY_MS) * 1000}
    desk.limit()
    assert client.heard_names() == ["executionReport", "outboundAccountPosition"]


def test_an_unknown_or_expired_token_is_1209() -> None:
    desk = open_margin()
    client, token = TokenCaller(desk), desk.token(validity=1000)
    assert part(client.listen("x" * 72), "error")["code"] == -1209
    desk.pass_time(1000)
    assert part(client.listen(token), "error")["code"] == -1209
    assert part(client.plain("userDataStream.subscribe.listenToken"), "error")["code"] == -1102


def test_one_pair_is_one_token_and_one_subscription() -> None:
    desk = open_margin()
    desk.fund_pair()
    client = TokenCaller(desk)
    numbers = [client.number(desk.token()), client.number(desk.token(isIsolated="TRUE", symbol="BTCUSDT"))]
    assert numbers == [0, 1]
    desk.limit(isIsolated="TRUE")
    frames = desk.heard(client.lane)
    assert {frame["subscriptionId"] for frame in frames} == {1}
    desk.limit()
    assert {frame["subscriptionId"] for frame in desk.heard(client.lane)} == {0}


def test_a_new_token_extends_the_subscription_without_a_gap() -> None:
    desk = open_margin()
    client = TokenCaller(desk)
    assert client.number(desk.token(validity=10_000)) == 0
    desk.pass_time(9000)
    assert client.number(desk.token(validity=10_000)) == 0
    desk.pass_time(5000)
    desk.limit()
    assert client.heard_names() == ["executionReport", "outboundAccountPosition"]
    desk.pass_time(6000)
    assert client.heard_names() == ["eventStreamTerminated"]


def test_at_its_end_a_subscription_says_so_and_the_socket_stays_open() -> None:
    desk = open_margin()
    client = TokenCaller(desk)
    client.number(desk.token(validity=1000))
    desk.pass_time(1000)
    assert client.heard_names() == ["eventStreamTerminated"]
    desk.limit()
    assert client.heard_names() == []
    assert client.number(desk.token()) == 1
    desk.limit()
    assert client.heard_names() == ["executionReport", "outboundAccountPosition"]


def test_two_sockets_of_one_account_end_each_at_its_own_token() -> None:
    desk = open_margin()
    early, late = TokenCaller(desk), TokenCaller(desk)
    early.number(desk.token(validity=1000))
    late.number(desk.token(validity=9000))
    desk.pass_time(2000)
    assert early.heard_names() == ["eventStreamTerminated"]
    assert late.heard_names() == []
    desk.limit()
    assert late.heard_names() == ["executionReport", "outboundAccountPosition"]


def test_a_subscription_by_signature_is_of_the_spot_account() -> None:
    desk = open_margin()
    client = TokenCaller(desk)
    client.subscribe()
    desk.limit()
    assert client.heard_names() == []
    desk.call("POST", "/sapi/v1/asset/transfer", type="MARGIN_MAIN", asset="USDT", amount="10")
    assert client.heard_names() == ["balanceUpdate", "outboundAccountPosition"]


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
@pytest.mark.parametrize("path", ["/sapi/v1/userDataStream", "/sapi/v1/userDataStream/isolated"])
def test_the_old_listen_keys_of_margin_are_gone(method: str, path: str) -> None:
    assert open_margin().send(method, path).status == 410


# --- the risk stream -----------------------------------------------------------------------------------------------------


def test_the_risk_key_is_one_for_the_account_and_named_when_it_is_extended() -> None:
    desk = open_margin()
    key = desk.open_key()
    assert desk.open_key() == key
    assert desk.send("PUT", "/sapi/v1/margin/listen-key").code == -1102
    assert desk.send("PUT", "/sapi/v1/margin/listen-key", "listenKey=another").code == -1125
    assert desk.send("PUT", "/sapi/v1/margin/listen-key", f"listenKey={key}").body == {}
    assert desk.send("DELETE", "/sapi/v1/margin/listen-key").body == {}
    assert desk.send("PUT", "/sapi/v1/margin/listen-key", f"listenKey={key}").code == -1125


def test_closing_a_risk_key_weighs_much_on_the_account_and_nothing_on_the_address() -> None:
    desk = open_margin()
    found = desk.send("DELETE", "/sapi/v1/margin/listen-key")
    assert (found.headers["X-SAPI-USED-UID-WEIGHT-1M"], found.headers["X-SAPI-USED-IP-WEIGHT-1M"]) == ("3000", "0")


@pytest.mark.parametrize("path", ["/margin-stream/ws/{}", "/ws/{}"])
def test_the_risk_socket_carries_risk_events_only(path: str) -> None:
    desk = open_margin()
    desk.listen(path.format(desk.open_key()))
    desk.limit()
    desk.borrow("USDT", "100")
    assert desk.heard_types() == ["USER_LIABILITY_CHANGE"]


def test_the_combined_form_names_the_key() -> None:
    desk = open_margin()
    key = desk.open_key()
    desk.listen("/margin-stream/stream", f"streams={key}")
    desk.borrow("USDT", "100")
    assert [frame["stream"] for frame in desk.heard()] == [key]


def test_the_trade_subscription_carries_no_risk_events() -> None:
    desk = open_margin()
    client = TokenCaller(desk)
    client.number(desk.token())
    desk.borrow("USDT", "100")
    act(desk, "margin_call", account=CROSS)
    assert client.heard_names() == ["outboundAccountPosition"]


def test_isolated_accounts_have_no_risk_events() -> None:
    desk = open_margin()
    desk.fund_pair()
    lane = desk.listen_to_risk()
    desk.borrow("USDT", "100", isIsolated="TRUE", symbol="BTCUSDT")
    assert desk.heard(lane) == []


def test_a_price_move_makes_a_margin_call() -> None:
    desk = open_margin()
    lane = desk.listen_to_risk()
    desk.borrow("USDT", "80000")
    desk.market(quantity="1.1")
    desk.heard(lane)
    act(desk, "move_price", symbol="BTCUSDT", price="63000")
    [event] = desk.heard(lane)
    assert (event["e"], event["s"]) == ("MARGIN_LEVEL_STATUS_CHANGE", "MARGIN_CALL")
    assert Decimal("1.1") < Decimal(str(event["l"])) <= Decimal("1.3")


# --- the hand of the world -----------------------------------------------------------------------------------------------


def test_tokens_expire_on_request() -> None:
    desk = open_margin()
    client = TokenCaller(desk)
    client.number(desk.token())
    assert act(desk, "expire_token", account=CROSS) == {"tokens": 1}
    assert client.heard_names() == ["eventStreamTerminated"]


def test_tokens_live_shorter_on_request() -> None:
    desk = open_margin()
    client = TokenCaller(desk)
    assert act(desk, "token_life", account=CROSS, life_s=3) == {"life_ms": 3_000}
    number = client.number(desk.token())
    desk.pass_time(2_000)
    assert client.number(desk.token()) == number, "the second token takes the place of the first"
    desk.pass_time(2_000)
    assert client.heard_names() == []
    desk.pass_time(1_100)
    assert client.heard_names() == ["eventStreamTerminated"]
    assert act(desk, "token_life", account=CROSS) == {"life_ms": None}
    client.number(desk.token())
    desk.pass_time(10_000)
    assert client.heard_names() == []


def test_a_subscription_ends_on_request_for_one_account_or_all() -> None:
    desk = open_margin()
    desk.fund_pair()
    client = TokenCaller(desk)
    client.number(desk.token())
    client.number(desk.token(isIsolated="TRUE", symbol="BTCUSDT"))
    assert act(desk, "terminate_subscription", account=PAIR) == {"subscriptions": 1}
    assert act(desk, "terminate_subscription") == {"subscriptions": 1}
    assert client.heard_names() == ["eventStreamTerminated", "eventStreamTerminated"]


def test_the_risk_key_expires_on_request() -> None:
    desk = open_margin()
    lane = desk.listen_to_risk()
    act(desk, "expire_key", account=CROSS)
    assert desk.heard_types(lane) == ["listenKeyExpired"]
    desk.borrow("USDT", "100")
    assert desk.heard(lane) == []


def test_the_shutdown_notice_reaches_both_kinds_of_socket() -> None:
    desk = open_margin()
    client, risk = TokenCaller(desk), desk.listen_to_risk()
    client.number(desk.token())
    assert act(desk, "shutdown_notice") == {"sockets": 2}
    assert client.heard_names() == ["serverShutdown"]
    assert desk.heard_types(risk) == ["serverShutdown"]


def test_deposits_and_frame_faults_work_for_isolated_accounts() -> None:
    desk = open_margin()
    desk.fund_pair()
    client = TokenCaller(desk)
    client.number(desk.token(isIsolated="TRUE", symbol="BTCUSDT"))
    act(desk, "omit", account=PAIR, event="balanceUpdate")
    act(desk, "transfer", account=PAIR, asset="BTC", amount="0.1")
    act(desk, "transfer", account=PAIR, asset="BTC", amount="0.1")
    assert client.heard_names() == ["outboundAccountPosition", "balanceUpdate", "outboundAccountPosition"]


# --- frames written by hand ----------------------------------------------------------------------------------------------


def call(desk: MarginDesk) -> None:
    act(desk, "margin_call", account=CROSS)


def borrow(desk: MarginDesk) -> None:
    desk.borrow("USDT", "100")


def repay(desk: MarginDesk) -> None:
    desk.borrow("USDT", "100")
    desk.repay("USDT", "50")


def expire(desk: MarginDesk) -> None:
    desk.pass_time(60 * 60_000)


def place(desk: MarginDesk) -> None:
    desk.limit()


def deposit(desk: MarginDesk) -> None:
    act(desk, "transfer", account=CROSS, asset="BTC", amount="0.25")


def terminate(desk: MarginDesk) -> None:
    act(desk, "terminate_subscription")


RISK: list[tuple[str, Callable[[MarginDesk], None]]] = [("called", call), ("borrowed", borrow), ("repaid", repay), ("expired", expire)]
TRADE: list[tuple[str, Callable[[MarginDesk], None]]] = [
    ("accepted", place),
    ("locked", place),
    ("deposited", deposit),
    ("terminated", terminate),
]


@pytest.mark.parametrize(("name", "cause"), RISK)
def test_risk_events_have_the_names_and_types_of_the_tables(name: str, cause: Callable[[MarginDesk], None]) -> None:
    desk = open_margin()
    lane = desk.listen_to_risk()
    cause(desk)
    assert shape_of(golden("binance_margin", "risk")[name]) in [shape_of(frame) for frame in desk.heard(lane)]


@pytest.mark.parametrize(("name", "cause"), TRADE)
def test_trade_events_have_the_names_and_types_of_the_tables(name: str, cause: Callable[[MarginDesk], None]) -> None:
    desk = open_margin()
    client = TokenCaller(desk)
    client.number(desk.token())
    cause(desk)
    assert shape_of(golden("binance_margin", "trade")[name]) in [shape_of(frame) for frame in desk.heard(client.lane)]


def test_every_frame_written_by_hand_is_compared() -> None:
    assert set(golden("binance_margin", "risk")) == {name for name, _ in RISK}
    assert set(golden("binance_margin", "trade")) == {name for name, _ in TRADE}
