"""Who may call, what it costs, and what happens when it is too much."""

import base64
from urllib.parse import quote

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tests.unit.sim.kit import START, sign
from tests.unit.sim.spot_kit import SpotDesk, open_spot, owner
from userstream.sim.keys import KeyType
from userstream.sim.limits import LimitSettings

PATH = "/api/v3/account"


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
        ({"timestamp": START * 1000}, 200, None),
        ({"timestamp": START * 1000 + 1_000_000}, 400, -1021),
        ({"timestamp": "now"}, 400, -1102),
        ({"timestamp": START - 30_000, "window": "&recvWindow=30000.5"}, 200, None),
        ({"timestamp": START, "window": "&recvWindow=60001"}, 400, -1131),
        ({"key": "short"}, 401, -2014),
        ({"key": "A" * 64}, 401, -2015),
    ],
)
def test_the_signature_matrix(change: dict[str, object], status: int, code: int | None) -> None:
    desk = open_spot()
    text = f"timestamp={change.get('timestamp', START)}{change.get('window', '')}"
    signature = change.get("signature", sign(str(change.get("secret", desk.listing.api_secret)), text))
    key = change.get("key")
    found = desk.send("GET", PATH, f"{text}{change.get('tamper', '')}&signature={signature}", key=None if key is None else str(key))
    assert found.status == status
    assert code is None or found.code == code


def test_what_is_signed_is_the_encoded_text() -> None:
    desk = open_spot()
    encoded = f"symbol=%EF%BC%91&timestamp={START}"
    plain = f"symbol=１&timestamp={START}"
    right = desk.send("GET", "/api/v3/openOrders", f"{encoded}&signature={sign(desk.listing.api_secret, encoded)}")
    wrong = desk.send("GET", "/api/v3/openOrders", f"{encoded}&signature={sign(desk.listing.api_secret, plain)}")
    assert (right.code, wrong.code) == (-1121, -1022)


@pytest.mark.parametrize("kind", [KeyType.ED25519, KeyType.RSA])
def test_asymmetric_keys_sign_as_well(kind: KeyType) -> None:
    desk = open_spot(owner(key_type=kind))
    text = f"timestamp={START}"
    private = serialization.load_pem_private_key(desk.listing.api_secret.encode(), password=None)
    if isinstance(private, rsa.RSAPrivateKey):
        raw = private.sign(text.encode(), padding.PKCS1v15(), hashes.SHA256())
    else:
        assert isinstance(private, Ed25519PrivateKey)
        raw = private.sign(text.encode())
    assert desk.send("GET", PATH, f"{text}&signature={quote(base64.b64encode(raw), safe='')}").status == 200


def test_a_key_that_may_not_trade_may_read() -> None:
    desk = open_spot(owner(can_trade=False))
    assert desk.get(PATH).status == 200
    assert (desk.limit().status, desk.limit().code) == (401, -2015)


def used(desk: SpotDesk) -> int:
    return desk.hall.room.limits.address("127.0.0.1").used(desk.clock.now())


@pytest.mark.parametrize(
    ("path", "parameters", "weight"),
    [
        ("account", {}, 20),
        ("openOrders", {}, 80),
        ("openOrders", {"symbol": "BTCUSDT"}, 6),
        ("order", {"symbol": "BTCUSDT", "orderId": 1}, 4),
        ("allOrders", {"symbol": "BTCUSDT"}, 20),
        ("myTrades", {"symbol": "BTCUSDT"}, 20),
        ("myTrades", {"symbol": "BTCUSDT", "orderId": 1}, 5),
        ("openOrderList", {}, 6),
        ("orderList", {"orderListId": 1}, 4),
        ("allOrderList", {}, 20),
        ("rateLimit/order", {}, 40),
        ("exchangeInfo", {}, 20),
        ("account/commission", {"symbol": "BTCUSDT"}, 20),
    ],
)
def test_weights(path: str, parameters: dict[str, object], weight: int) -> None:
    desk = open_spot()
    found = desk.get(f"/api/v3/{path}", **parameters)
    assert used(desk) == weight
    assert found.headers["X-MBX-USED-WEIGHT-1M"] == str(weight)


def test_orders_cost_weight_only_when_they_fail() -> None:
    desk = open_spot()
    order_id = desk.limit()["orderId"]
    desk.oco()
    desk.call("DELETE", "/api/v3/order", symbol="BTCUSDT", orderId=order_id)
    assert used(desk) == 0
    desk.call("DELETE", "/api/v3/order", symbol="BTCUSDT", orderId=order_id)
    desk.limit(quantity="1000")
    assert used(desk) == 2


def test_too_much_weight_is_429_then_a_ban() -> None:
    desk = open_spot(limits=LimitSettings(weight_per_minute=100, orders_per_minute=0, strikes_before_ban=2))
    assert [desk.get(PATH).status for _ in range(8)] == [200] * 5 + [429, 429, 418]
    slowed = desk.get(PATH)
    assert (slowed.status, slowed.code) == (418, -1003)
    assert int(slowed.headers["Retry-After"]) > 60


def test_orders_are_counted_in_ten_seconds_and_a_day() -> None:
    desk = open_spot(limits=LimitSettings(orders_per_10s=3, orders_per_minute=0, orders_per_day=5))
    assert [desk.limit(quantity="0.001").status for _ in range(4)] == [200, 200, 200, 429]
    desk.pass_time(10_000)
    placed = [desk.limit(quantity="0.001") for _ in range(3)]
    assert [each.status for each in placed] == [200, 200, 429]
    assert (placed[1].headers["X-MBX-ORDER-COUNT-10S"], placed[1].headers["X-MBX-ORDER-COUNT-1D"]) == ("2", "5")
    assert placed[2].code == -1015
    assert "1 DAY" in str(placed[2]["msg"])


def test_a_list_counts_its_orders() -> None:
    desk = open_spot()
    assert desk.oco().headers["X-MBX-ORDER-COUNT-10S"] == "2"
    assert [row["count"] for row in desk.get("/api/v3/rateLimit/order").rows] == [2, 2]
