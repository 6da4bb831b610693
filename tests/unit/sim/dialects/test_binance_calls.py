"""Who may call, what it costs, and what happens when it is too much."""

import pytest

from tests.unit.sim.kit import START, Desk, open_desk, open_house, rich, sign
from userstream.sim.limits import LimitSettings

PATH = "/fapi/v3/balance"


def signed(desk: Desk, text: str, *, secret: str = "") -> str:
    return sign(secret or desk.listing.api_secret, text)


@pytest.mark.parametrize("place", ["query", "body", "both", "body with the signature in the query", "query with the signature in the body"])
def test_parameters_may_stand_in_the_query_in_the_body_or_in_both(place: str) -> None:
    desk = open_desk()
    stamp, order = f"timestamp={START}", "symbol=BTCUSDT&side=BUY&type=LIMIT&timeInForce=GTC&quantity=0.01&price=80000"
    query, body = {"query": (f"{order}&{stamp}", ""), "body": ("", f"{order}&{stamp}"), "both": (order, stamp)}.get(place, (order, stamp))
    signature = f"signature={signed(desk, query + body)}"
    if place in ("query", "body with the signature in the query"):
        query = f"{query}&{signature}"
    else:
        body = f"{body}&{signature}"
    assert desk.send("POST", "/fapi/v1/order", query, body).status == 200


@pytest.mark.parametrize(
    ("change", "status", "code"),
    [
        ({"secret": "wrong"}, 400, -1022),
        ({"signature": ""}, 400, -1102),
        ({"signature": "zz"}, 400, -1022),
        ({"tamper": "&symbol=ETHUSDT"}, 400, -1022),
        ({"timestamp": START - 5001}, 400, -1021),
        ({"timestamp": START - 5000}, 200, None),
        ({"timestamp": START + 999}, 200, None),
        ({"timestamp": START + 1000}, 400, -1021),
        ({"timestamp": "now"}, 400, -1102),
        ({"timestamp": ""}, 400, -1102),
        ({"timestamp": START - 30_000, "window": "&recvWindow=60000"}, 200, None),
        ({"timestamp": START, "window": "&recvWindow=60001"}, 400, -1131),
        ({"key": ""}, 401, -2014),
        ({"key": "short"}, 401, -2014),
        ({"key": "A" * 64}, 401, -2015),
    ],
)
def test_the_signature_matrix(change: dict[str, object], status: int, code: int | None) -> None:
    desk = open_desk()
    text = f"timestamp={change.get('timestamp', START)}{change.get('window', '')}"
    signature = change.get("signature", signed(desk, text, secret=str(change.get("secret", ""))))
    key = change.get("key")
    found = desk.send("GET", PATH, f"{text}{change.get('tamper', '')}&signature={signature}", key=None if key is None else str(key))
    assert found.status == status
    assert code is None or found.code == code


def test_a_skewed_gateway_refuses_the_right_time_and_takes_its_own() -> None:
    desk = open_desk(skew_ms=90_000)
    assert desk.send("GET", "/fapi/v1/time")["serverTime"] == START + 90_000
    text = f"timestamp={START}"
    assert desk.send("GET", PATH, f"{text}&signature={signed(desk, text)}").code == -1021
    assert desk.get(PATH).status == 200


def test_an_upper_case_hmac_signature_is_as_good() -> None:
    desk = open_desk()
    text = f"timestamp={START}"
    assert desk.send("GET", PATH, f"{text}&signature={signed(desk, text).upper()}").status == 200


def test_a_key_that_may_only_read_cannot_trade() -> None:
    desk = open_desk(accounts=(rich(can_trade=False),))
    assert desk.get(PATH).status == 200
    refused = desk.limit()
    assert (refused.status, refused.code) == (401, -2015)


def test_a_revoked_key_is_known_no_more() -> None:
    desk = open_desk()
    desk.hall.room.keys.revoke(desk.account)
    assert desk.get(PATH).code == -2015
    desk.hall.room.keys.restore(desk.account)
    assert desk.get(PATH).status == 200


@pytest.mark.parametrize(
    ("path", "parameters", "weight"),
    [
        ("/fapi/v3/balance", {}, 5),
        ("/fapi/v1/openOrders", {}, 40),
        ("/fapi/v1/openOrders", {"symbol": "BTCUSDT"}, 1),
        ("/fapi/v1/openAlgoOrders", {}, 40),
        ("/fapi/v1/income", {}, 30),
        ("/fapi/v1/positionSide/dual", {}, 30),
        ("/fapi/v1/forceOrders", {}, 50),
        ("/fapi/v1/forceOrders", {"symbol": "BTCUSDT"}, 20),
        ("/fapi/v1/commissionRate", {"symbol": "BTCUSDT"}, 20),
        ("/fapi/v1/userTrades", {"symbol": "BTCUSDT"}, 5),
    ],
)
def test_calls_cost_their_weight(path: str, parameters: dict[str, str], weight: int) -> None:
    found = open_desk().get(path, **parameters)
    assert found.status == 200
    assert found.headers["X-MBX-USED-WEIGHT-1M"] == str(weight)


def test_placing_costs_no_weight_and_counts_in_the_order_limits() -> None:
    desk = open_desk()
    found = [desk.limit(price=str(80000 - number)) for number in range(2)][-1]
    assert found.headers["X-MBX-USED-WEIGHT-1M"] == "0"
    assert (found.headers["X-MBX-ORDER-COUNT-10S"], found.headers["X-MBX-ORDER-COUNT-1M"]) == ("2", "2")
    assert "X-MBX-ORDER-COUNT-10S" not in desk.get(PATH).headers


def test_weight_is_429_then_418_for_all_accounts_behind_the_address() -> None:
    house, clock, _ = open_house(limits=LimitSettings(weight_per_minute=10, strikes_before_ban=2))
    one, two = (Desk(house, clock, account) for account in house.accounts)
    assert [one.get(PATH).status for _ in range(2)] == [200, 200]
    slow = two.get(PATH)
    assert (slow.status, slow.code) == (429, -1003)
    assert 0 < int(slow.headers["Retry-After"]) <= 60
    assert [two.get(PATH).status for _ in range(2)] == [429, 418]
    banned = one.send("GET", "/fapi/v1/ping")
    assert (banned.status, banned.code, banned.headers["Retry-After"]) == (418, -1003, "120")
    clock.turn(120_000)
    assert one.get(PATH).status == 200


def test_too_many_orders_are_refused_until_the_next_window() -> None:
    desk = open_desk(limits=LimitSettings(orders_per_10s=2, orders_per_minute=3))
    assert [desk.limit(price=str(80000 - number)).status for number in range(3)] == [200, 200, 429]
    desk.pass_time(10_000)
    assert [desk.limit(price=str(79000 - number)).status for number in range(2)] == [200, 429]
    refused = desk.limit()
    assert refused.code == -1015
    assert int(refused.headers["Retry-After"]) > 0
    assert len(desk.get("/fapi/v1/openOrders").rows) == 3
