"""The WebSocket API: calls, sessions, subscriptions (Binance Spot, 2.3, 3.2, 6.2)."""

from typing import cast

import msgspec
import pytest

from tests.unit.sim.kit import START
from tests.unit.sim.spot_kit import LIMIT, OCO, SOCKET, Caller, Reply, caller, ed25519_caller, open_desks, owner, part, rows
from userstream.sim.actions import Answer
from userstream.sim.dialects.binance_spot import PRODUCT
from userstream.sim.dialects.binance_spot_methods import METHODS
from userstream.sim.keys import KeyType
from userstream.sim.limits import LimitSettings
from userstream.sim.venue import Subscribed


def code_of(reply: Reply) -> object:
    return part(reply, "error")["code"]


def test_every_method_has_its_call() -> None:
    assert {METHODS[name] for name in METHODS} <= set(PRODUCT.endpoints)


def test_placing_asking_amending_and_cancelling_give_the_objects_of_rest() -> None:
    api = caller()
    placed = api.signed("order.place", **LIMIT, newClientOrderId="c-1")
    assert (placed["id"], placed["status"]) == ("7", 200)
    assert [
        (row["rateLimitType"], row["interval"], row["intervalNum"], row["limit"], row["count"]) for row in rows(placed, "rateLimits")
    ] == [
        ("REQUEST_WEIGHT", "MINUTE", 1, 6000, 2),
        ("ORDERS", "SECOND", 10, 100, 1),
        ("ORDERS", "DAY", 1, 200_000, 1),
    ]
    assert api.signed("order.status", symbol="BTCUSDT", origClientOrderId="c-1")["result"] == (
        api.desk.get("/api/v3/order", symbol="BTCUSDT", origClientOrderId="c-1").body
    )
    smaller = api.signed("order.amend.keepPriority", symbol="BTCUSDT", origClientOrderId="c-1", newQty="0.005")
    assert part(part(smaller, "result"), "amendedOrder")["qty"] == "0.00500000"
    canceled = api.signed("openOrders.cancelAll", symbol="BTCUSDT")
    assert rows(canceled, "result")[0]["status"] == "CANCELED"


@pytest.mark.parametrize(
    ("method", "params"),
    [
        ("ping", {}),
        ("time", {}),
        ("exchangeInfo", {"symbols": ["BTCUSDT"]}),
        ("ticker.price", {"symbol": "BTCUSDT"}),
        ("depth", {"symbol": "BTCUSDT"}),
        ("avgPrice", {"symbol": "BTCUSDT"}),
    ],
)
def test_public_methods_need_nothing(method: str, params: dict[str, object]) -> None:
    assert caller().plain(method, **params)["status"] == 200


@pytest.mark.parametrize(
    ("method", "params"),
    [
        ("account.status", {"omitZeroBalances": True}),
        ("account.commission", {"symbol": "BTCUSDT"}),
        ("account.rateLimits.orders", {}),
        ("openOrders.status", {}),
        ("openOrderLists.status", {}),
        ("allOrders", {"symbol": "BTCUSDT", "limit": 5}),
        ("allOrderLists", {}),
        ("myTrades", {"symbol": "BTCUSDT"}),
        ("myAllocations", {"symbol": "BTCUSDT"}),
        ("myPreventedMatches", {"symbol": "BTCUSDT", "orderId": 5}),
        ("order.test", LIMIT),
        ("orderList.place.oco", OCO),
    ],
)
def test_signed_methods_are_signed_over_the_sorted_parameters(method: str, params: dict[str, object]) -> None:
    api = caller()
    assert api.signed(method, **params)["status"] == 200
    assert code_of(api.plain(method, **params)) == -1102
    stamped = {"apiKey": api.desk.listing.api_key, "timestamp": START, **params}
    assert code_of(api.plain(method, **stamped, signature="00")) == -1022


def test_limits_are_shown_unless_not_wished() -> None:
    assert "rateLimits" not in caller(query="returnRateLimits=false").plain("ping")
    assert "rateLimits" not in caller().plain("ping", returnRateLimits=False)
    assert "rateLimits" in caller(query="returnRateLimits=false").plain("ping", returnRateLimits=True)


def test_mistakes_are_answered() -> None:
    api = caller()
    assert code_of(api.raw("{")[0]) == -1135
    assert code_of(api.raw('{"id":1}')[0]) == -1135
    assert code_of(api.plain("order.plaice")) == -1020
    assert code_of(api.plain("userDataStream.start")) == -1020
    refused = api.signed("order.place", **(LIMIT | {"quantity": "10"}))
    assert (refused["status"], part(refused, "error")["code"]) == (400, -2010)
    half = api.signed("order.cancelReplace", **LIMIT, cancelReplaceMode="ALLOW_FAILURE", cancelOrderId=1)
    assert (half["status"], code_of(half)) == (409, -2021)
    assert part(part(half, "error"), "data")["newOrderResult"] == "SUCCESS"


def test_opening_a_socket_and_asking_cost_weight() -> None:
    api = caller()
    meter = api.desk.hall.room.limits.address("127.0.0.1")
    assert meter.used(START) == 2
    api.subscribe()
    assert meter.used(START) == 4


def test_too_much_weight_names_the_time_and_a_ban_ends_the_socket() -> None:
    api = caller(limits=LimitSettings(weight_per_minute=10, orders_per_minute=0, strikes_before_ban=1))
    for _ in range(8):
        api.plain("ping")
    slowed = api.plain("ping")
    assert (slowed["status"], code_of(slowed)) == (429, -1003)
    data = part(part(slowed, "error"), "data")
    assert cast(int, data["retryAfter"]) > cast(int, data["serverTime"])
    assert not api.lane.session.wants_close
    assert api.plain("ping")["status"] == 418
    assert api.lane.session.wants_close


def test_a_prepared_answer_takes_the_place_of_the_own_one() -> None:
    api = caller()
    api.desk.house.faults.prepare(Answer(path=f"{SOCKET}/order.place", status=503, body="busy", apply=True))
    reply = api.signed("order.place", **LIMIT)
    assert (reply["status"], part(reply, "error")["msg"]) == (503, "busy")
    assert len(api.desk.books.open_orders("paper-1")) == 1
    api.desk.house.faults.prepare(Answer(path=f"{SOCKET}/ping", abort=True))
    assert api.send("ping") == []
    assert api.lane.session.wants_close


def test_times_in_microseconds() -> None:
    api = caller(query="timeUnit=microsecond")
    assert part(api.plain("time"), "result")["serverTime"] == START * 1000
    api.subscribe()
    result = part(api.signed("order.place", **LIMIT), "result")
    assert (result["transactTime"], result["workingTime"]) == (START * 1000, START * 1000)
    report, balances = api.heard()
    assert {report[name] for name in "ETOW"} == {START * 1000}
    assert balances["u"] == START * 1000


# --- sessions ----------------------------------------------------------------------------------------------------------


def test_a_session_signs_for_the_rest() -> None:
    api = ed25519_caller()
    status = part(api.signed("session.logon"), "result")
    assert (status["apiKey"], status["authorizedSince"], status["userDataStream"]) == (api.desk.listing.api_key, START, False)
    assert api.plain("order.place", **LIMIT, timestamp=START)["status"] == 200
    assert code_of(api.plain("order.place", **LIMIT)) == -1102
    assert api.plain("userDataStream.subscribe")["result"] == {"subscriptionId": 0}
    assert part(api.plain("session.status"), "result")["userDataStream"] is True
    api.desk.limit()
    assert api.heard_names() == ["executionReport", "outboundAccountPosition"]


def test_only_ed25519_keys_log_on() -> None:
    assert code_of(caller().signed("session.logon")) == -4056
    assert code_of(ed25519_caller().plain("session.logon", apiKey="x" * 64)) == -2015


def test_logging_out_ends_what_the_session_subscribed_and_nothing_else() -> None:
    first, second = open_desks(owner(key_type=KeyType.ED25519), owner("paper-2"))
    api = Caller(first)
    api.signed("session.logon")
    api.plain("userDataStream.subscribe")
    api.subscribe(second)
    reply, ended = api.send("session.logout")
    assert part(reply, "result")["apiKey"] is None
    assert ended == {"subscriptionId": 0, "event": {"e": "eventStreamTerminated", "E": START}}
    assert api.plain("session.subscriptions")["result"] == [{"subscriptionId": 1}]
    assert code_of(api.plain("userDataStream.subscribe")) == -1002


def test_a_session_whose_key_is_gone_is_told_so_with_the_next_request() -> None:
    api = ed25519_caller()
    api.signed("session.logon")
    api.desk.hall.room.keys.revoke("paper-1")
    told = api.plain("ping")
    assert (told["id"], told["status"], code_of(told)) == (None, 401, -2015)
    assert part(api.plain("session.status"), "result")["apiKey"] is None


# --- subscriptions -----------------------------------------------------------------------------------------------------


def test_several_accounts_share_a_socket_under_their_numbers() -> None:
    first, second = open_desks(owner(), owner("paper-2", key_type=KeyType.RSA))
    api = Caller(first)
    text = f"apiKey={second.listing.api_key}&timestamp={START}"
    assert code_of(api.plain("userDataStream.subscribe.signature", apiKey=second.listing.api_key, timestamp=START, signature=text)) == -1022
    first_number = api.subscribe(first)
    third = open_desks(owner("paper-1"), owner("paper-2"))
    other = Caller(third[0])
    assert (first_number, other.subscribe(third[0]), other.subscribe(third[1])) == (0, 0, 1)
    third[1].limit()
    heard = third[0].heard(other.lane)
    assert {event["subscriptionId"] for event in heard} == {1}


def test_a_second_subscription_of_an_account_is_refused() -> None:
    api = caller()
    api.subscribe()
    assert code_of(api.signed("userDataStream.subscribe.signature")) == -2035
    assert code_of(api.plain("userDataStream.unsubscribe", subscriptionId=5)) == -2036


def test_unsubscribing_ends_the_stream_and_says_so() -> None:
    api = caller()
    api.subscribe()
    reply, ended = api.send("userDataStream.unsubscribe", subscriptionId=0)
    assert reply["result"] == {}
    assert ended == {"subscriptionId": 0, "event": {"e": "eventStreamTerminated", "E": START}}
    api.desk.limit()
    assert api.heard() == []
    assert api.subscribe() == 1
    assert len(api.send("userDataStream.unsubscribe")) == 2
    assert len(api.send("userDataStream.unsubscribe")) == 1


def test_the_venue_may_end_a_subscription_and_announce_its_end() -> None:
    api = caller()
    api.subscribe()
    session = api.lane.session
    assert isinstance(session, Subscribed)
    [ended] = session.terminate("paper-1", START)
    assert msgspec.json.decode(ended)["event"]["e"] == "eventStreamTerminated"
    assert session.terminate("paper-1", START) == []
    assert session.announce(b'{"e":"serverShutdown","E":1}') == b'{"event":{"e":"serverShutdown","E":1}}'
