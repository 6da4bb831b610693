"""The WebSocket API (Binance USD-M, 3.4, 6.1, 6.5)."""

import base64
from typing import cast

import msgspec
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.sim.kit import START, Desk, open_desk, rich, sign
from userstream.sim.actions import Answer
from userstream.sim.keys import KeyType
from userstream.sim.lanes import Lane
from userstream.sim.limits import LimitSettings
from userstream.sim.venue import Frame

PATH = "/ws-fapi/v1"
ORDER = {"symbol": "BTCUSDT", "side": "BUY", "type": "LIMIT", "timeInForce": "GTC", "quantity": "0.050", "price": "80000.0"}
Reply = dict[str, object]


def part(reply: Reply, name: str) -> Reply:
    return cast(Reply, reply[name])


class Caller:
    """A client of the WebSocket API."""

    def __init__(self, desk: Desk, query: str = "") -> None:
        self.desk = desk
        self.lane: Lane = desk.listen(PATH, query)

    def raw(self, text: str) -> Reply:
        [reply] = self.lane.session.receive(text, self.desk.clock.now())
        self.desk.hall.hub.refile(self.lane)
        self.desk.house.publish(self.desk.hall, self.desk.clock.now())
        return cast(Reply, msgspec.json.decode(reply))

    def plain(self, method: str, **params: object) -> Reply:
        return self.raw(msgspec.json.encode({"id": "7", "method": method, "params": params}).decode())

    def signed(self, method: str, **params: object) -> Reply:
        """Signed over all parameters in the order of their names, numbers as JSON numbers."""
        full = {"apiKey": self.desk.listing.api_key, "timestamp": self.desk.clock.now(), **params}
        text = "&".join(f"{name}={str(value).lower() if isinstance(value, bool) else value}" for name, value in sorted(full.items()))
        return self.plain(method, **full, signature=self._sign(text))

    def _sign(self, text: str) -> str:
        secret = self.desk.listing.api_secret
        if not secret.startswith("-----"):
            return sign(secret, text)
        private = serialization.load_pem_private_key(secret.encode(), password=None)
        assert isinstance(private, Ed25519PrivateKey)
        return base64.b64encode(private.sign(text.encode())).decode()


def caller(**changes: object) -> Caller:
    return Caller(open_desk(**changes))


def ed25519_caller() -> Caller:
    return Caller(open_desk(accounts=(rich(key_type=KeyType.ED25519),)))


def test_placing_cancelling_and_asking_give_the_objects_of_rest() -> None:
    api = caller()
    placed = api.signed("order.place", **ORDER, newClientOrderId="c-1")
    assert (placed["id"], placed["status"], part(placed, "result")["clientOrderId"]) == ("7", 200, "c-1")
    limits = cast(list[Reply], placed["rateLimits"])
    assert [(row["rateLimitType"], row["interval"], row["intervalNum"], row["count"]) for row in limits] == [
        ("REQUEST_WEIGHT", "MINUTE", 1, 0),
        ("ORDERS", "SECOND", 10, 1),
        ("ORDERS", "MINUTE", 1, 1),
    ]
    order_id = part(placed, "result")["orderId"]
    changed = api.signed("order.modify", symbol="BTCUSDT", orderId=order_id, side="BUY", quantity="0.05", price="79000")
    assert part(changed, "result")["price"] == "79000"
    shown = part(api.signed("order.status", symbol="BTCUSDT", orderId=order_id), "result")
    assert shown == api.desk.get("/fapi/v1/order", symbol="BTCUSDT", orderId=order_id).body
    assert part(api.signed("order.cancel", symbol="BTCUSDT", orderId=order_id), "result")["status"] == "CANCELED"


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("v2/account.balance", "/fapi/v3/balance"),
        ("v2/account.status", "/fapi/v3/account"),
        ("v2/account.position", "/fapi/v3/positionRisk"),
        ("account.balance", "/fapi/v2/balance"),
        ("account.status", "/fapi/v2/account"),
        ("account.position", "/fapi/v2/positionRisk"),
    ],
)
def test_the_account_is_the_same_by_either_way(method: str, path: str) -> None:
    api = caller()
    api.desk.market()
    assert api.signed(method)["result"] == api.desk.get(path).body


def test_conditional_orders() -> None:
    api = caller()
    wanted = {
        "algoType": "CONDITIONAL",
        "symbol": "BTCUSDT",
        "side": "SELL",
        "type": "STOP_MARKET",
        "quantity": "0.01",
        "triggerPrice": "79000",
    }
    algo_id = part(api.signed("algoOrder.place", **wanted, reduceOnly=False), "result")["algoId"]
    assert part(api.signed("algoOrder.cancel", algoId=algo_id), "result")["code"] == "200"


def test_the_listen_key_is_the_one_of_rest_and_no_event_comes_here() -> None:
    api = caller()
    key = api.desk.open_key()
    name = {"apiKey": api.desk.listing.api_key}
    assert api.plain("userDataStream.start", **name)["result"] == {"listenKey": key}
    assert api.plain("userDataStream.ping", **name)["result"] == {"listenKey": key}
    assert api.plain("userDataStream.stop", **name)["result"] == {}
    assert part(api.plain("userDataStream.ping", **name), "error")["code"] == -1125
    assert api.lane.session.wrap(Frame(account=api.desk.account, event="E", body=b"{}")) == []


def test_public_methods_need_nothing() -> None:
    api = caller()
    assert api.plain("time")["result"] == {"serverTime": START}
    assert part(api.plain("ticker.price", symbol="BTCUSDT"), "result")["symbol"] == "BTCUSDT"


@pytest.mark.parametrize(
    ("params", "status", "code"),
    [
        ({"signature": "00"}, 400, -1022),
        ({"signature": ""}, 400, -1102),
        ({"timestamp": START - 60_000}, 400, -1021),
        ({"timestamp": None}, 400, -1102),
        ({"apiKey": "short"}, 401, -2014),
        ({"apiKey": "A" * 64}, 401, -2015),
        ({"apiKey": None}, 400, -1102),
    ],
)
def test_bad_credentials(params: Reply, status: int, code: int) -> None:
    api = caller()
    full = {"apiKey": api.desk.listing.api_key, "timestamp": START, "signature": "00", **params}
    reply = api.plain("v2/account.balance", **{name: value for name, value in full.items() if value is not None})
    assert (reply["status"], part(reply, "error")["code"]) == (status, code)


def test_errors_have_the_code_of_rest_and_no_result() -> None:
    reply = caller().signed("order.place", **(ORDER | {"quantity": "900"}))
    assert (reply["status"], part(reply, "error")["code"], "result" in reply) == (400, -2019, False)


@pytest.mark.parametrize("text", ["", "{", "[]", "1", '{"id":1}', '{"method":3}', '{"method":"time","params":[1]}'])
def test_malformed_requests(text: str) -> None:
    reply = caller().raw(text)
    assert (reply["id"], reply["status"]) == (None, 400)


def test_unknown_methods() -> None:
    assert part(caller().plain("order.sing"), "error")["code"] == -1020
    assert part(caller().plain("session.sing"), "error")["code"] == -1020


@given(
    st.text(max_size=40), st.dictionaries(st.text(max_size=5), st.none() | st.integers() | st.text(max_size=5) | st.booleans(), max_size=3)
)
def test_any_request_gets_one_answer(method: str, params: Reply) -> None:
    reply = caller().plain(method, **params) if "method" not in params and "self" not in params else {"status": 0}
    assert "status" in reply


def test_an_ed25519_session_needs_no_signature_until_it_ends() -> None:
    api = ed25519_caller()
    logged_on = part(api.signed("session.logon"), "result")
    assert (logged_on["apiKey"], logged_on["authorizedSince"], logged_on["connectedSince"]) == (api.desk.listing.api_key, START, START)
    assert api.plain("order.place", **ORDER, timestamp=START)["status"] == 200
    assert api.plain("userDataStream.start")["status"] == 200
    assert part(api.plain("v2/account.balance"), "error")["code"] == -1102
    assert part(api.plain("session.status"), "result")["apiKey"] == api.desk.listing.api_key
    assert part(api.plain("session.logout"), "result")["apiKey"] is None
    assert part(api.plain("v2/account.balance", timestamp=START), "error")["code"] == -1102


def test_a_session_whose_key_was_revoked_is_told() -> None:
    api = ed25519_caller()
    api.signed("session.logon")
    api.desk.hall.room.keys.revoke(api.desk.account)
    reply = api.plain("v2/account.balance", timestamp=START)
    assert (reply["status"], part(reply, "error")["code"]) == (401, -2015)


def test_only_an_ed25519_key_can_log_on() -> None:
    assert part(caller().signed("session.logon"), "error")["code"] == -4056


def test_limits_can_be_left_out_for_the_socket_or_for_one_request() -> None:
    assert "rateLimits" not in caller().plain("time", returnRateLimits=False)
    assert "rateLimits" not in Caller(open_desk(), "returnRateLimits=false").plain("time")
    assert "rateLimits" in Caller(open_desk(), "returnRateLimits=false").plain("time", returnRateLimits=True)


def test_too_much_weight_says_when_to_come_back_and_a_ban_ends_the_socket() -> None:
    api = caller(limits=LimitSettings(weight_per_minute=5, strikes_before_ban=1))
    assert api.signed("v2/account.balance")["status"] == 200
    slow = api.signed("v2/account.balance")
    assert slow["status"] == 429
    data = cast(dict[str, int], part(slow, "error")["data"])
    assert START < data["retryAfter"] <= START + 60_000
    assert not api.lane.session.wants_close
    assert api.signed("v2/account.balance")["status"] == 418
    assert api.lane.session.wants_close


@pytest.mark.parametrize(("apply", "orders"), [(False, 0), (True, 1)])
def test_a_prepared_answer_comes_with_or_without_the_deed(apply: bool, orders: int) -> None:
    api = caller()
    body = '{"code":-1007,"msg":"Timeout waiting for response from backend server."}'
    api.desk.house.faults.prepare(Answer(path=f"{PATH}/order.place", status=408, body=body, apply=apply))
    reply = api.signed("order.place", **ORDER)
    assert (reply["id"], reply["status"], part(reply, "error")["code"]) == ("7", 408, -1007)
    assert len(api.desk.get("/fapi/v1/openOrders").rows) == orders
    assert api.signed("order.place", **ORDER)["status"] == 200


def test_a_prepared_limit_says_when_to_come_back_in_its_error() -> None:
    api = caller()
    limit = '{"code":-1003,"msg":"Too many requests"}'
    api.desk.house.faults.prepare(Answer(status=429, body=limit, headers={"Retry-After": "3"}))
    error = part(api.plain("time"), "error")
    assert error == {"code": -1003, "msg": "Too many requests", "data": {"serverTime": START, "retryAfter": START + 3_000}}
    api.desk.house.faults.prepare(Answer(status=429, body=limit, headers={"Retry-After": "tomorrow"}))
    assert "data" not in part(api.plain("time"), "error")


def test_a_prepared_text_becomes_an_error_and_an_abort_says_nothing() -> None:
    api = caller()
    api.desk.house.faults.prepare(Answer(status=503, body="Service Unavailable."))
    assert part(api.plain("time"), "error") == {"code": -1000, "msg": "Service Unavailable."}
    api.desk.house.faults.prepare(Answer(abort=True))
    assert api.lane.session.receive('{"id":1,"method":"time"}', START) == []
    assert api.lane.session.wants_close
