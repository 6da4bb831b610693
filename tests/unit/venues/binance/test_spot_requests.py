"""Requests on the socket: addresses, signatures, refusals, and words for what is no more."""

from __future__ import annotations

import base64
import hashlib
import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.venues.binance.kit import API_KEY, API_SECRET, encoded
from tests.unit.venues.binance.spot_kit import ED25519, PLACES, PRIVATE, VENUE_TIME, spot_place
from userstream.kernel.errors import AuthenticationError, RetryLater, SettingsError
from userstream.kernel.secret import Secret
from userstream.venues.binance.signing import make_signer
from userstream.venues.binance.spot_decoding import SpotDecoder
from userstream.venues.binance.spot_messages import Reply
from userstream.venues.binance.spot_requests import check_not_retired, connect, is_refused, refusal_of_reply, signed, used_weight_of
from userstream.wire.venue import Endpoints


def read(**frame: object) -> Reply:
    decoder = SpotDecoder(spot_place().account, spot_place().venue)
    assert decoder.decode(encoded(frame), VENUE_TIME) == ()
    assert isinstance(decoder.notice, Reply)
    return decoder.notice


def test_the_signature_is_over_all_parameters_by_name_as_plain_text() -> None:
    parameters = signed(Secret(API_KEY), make_signer(Secret(API_SECRET)), VENUE_TIME)
    text = f"apiKey={API_KEY}&recvWindow=5000&timestamp={VENUE_TIME}"
    assert parameters.pop("signature") == hmac.new(API_SECRET.encode(), text.encode(), hashlib.sha256).hexdigest()
    assert parameters == {"apiKey": API_KEY, "recvWindow": 5000, "timestamp": VENUE_TIME}


def test_a_private_key_signs_the_same_text() -> None:
    signature = signed(Secret(API_KEY), make_signer(Secret(ED25519)), VENUE_TIME)["signature"]
    text = f"apiKey={API_KEY}&recvWindow=5000&timestamp={VENUE_TIME}"
    PRIVATE.public_key().verify(base64.b64decode(str(signature)), text.encode())


@pytest.mark.parametrize(
    ("given", "used"),
    [
        ("wss://x.example/ws-api/v3", "wss://x.example/ws-api/v3"),
        ("wss://x.example:9443", "wss://x.example:9443/ws-api/v3"),
        ("", "wss://other.example/ws-api/v3"),
    ],
)
def test_an_address_without_its_path_gets_it(given: str, used: str) -> None:
    places = Endpoints(rest_url="https://r.example", ws_url="wss://other.example", ws_api_url=given)
    assert connect(spot_place(endpoints=places)).label == used


@pytest.mark.parametrize(
    "places",
    [
        Endpoints(rest_url=PLACES.rest_url, ws_url="wss://stream.binance.com:9443", ws_api_url=PLACES.ws_api_url),
        Endpoints(rest_url=PLACES.rest_url, ws_url="wss://stream.binance.com:9443/ws", ws_api_url=PLACES.ws_api_url),
        Endpoints(rest_url=PLACES.rest_url, ws_url="", ws_api_url="wss://x.example/stream?listenKey=abc"),
        Endpoints(rest_url="https://api.example/api/v3/userDataStream", ws_url="", ws_api_url=PLACES.ws_api_url),
    ],
)
def test_retired_listen_keys_are_said_to_be_retired(places: Endpoints) -> None:
    with pytest.raises(
        SettingsError, match=r"removed on 2026-02-20; the stream is now subscribed with a signed request on the WebSocket API"
    ):
        check_not_retired(spot_place(endpoints=places))


def test_addresses_of_today_are_none_of_these() -> None:
    for rest, socket in (
        ("https://api.binance.com", "wss://ws-api.binance.com:443/ws-api/v3"),
        ("https://testnet.binance.vision", "wss://ws-api.testnet.binance.vision/ws-api/v3"),
        ("http://127.0.0.1:8080", "ws://127.0.0.1:8080/ws-api/v3"),
    ):
        check_not_retired(spot_place(endpoints=Endpoints(rest_url=rest, ws_url="", ws_api_url=socket)))


def test_a_limit_says_how_long_it_lasts() -> None:
    data = {"serverTime": VENUE_TIME, "retryAfter": VENUE_TIME + 12_345}
    told = refusal_of_reply(read(id="1", status=429, error={"code": -1003, "msg": "much", "data": data}), "time", ())
    assert isinstance(told, RetryLater) and told.after_ms == 13_000


@pytest.mark.parametrize("data", [None, {}, {"retryAfter": 0}, {"serverTime": VENUE_TIME, "retryAfter": VENUE_TIME - 5}])
def test_a_limit_without_an_end_is_waited_for_all_the_same(data: object) -> None:
    told = refusal_of_reply(read(id="1", status=429, error={"code": -1003, "msg": "much", "data": data}), "time", ())
    assert isinstance(told, RetryLater) and told.after_ms


def test_unauthorized_without_a_code_is_a_refused_key() -> None:
    assert isinstance(refusal_of_reply(read(id=None, status=401, error={}), "session", ()), AuthenticationError)


@pytest.mark.parametrize(
    ("frame", "says_no"),
    [
        ({"id": "1", "status": 200, "result": {}}, False),
        ({"id": "1", "status": 400, "error": {"code": -1, "msg": ""}}, True),
        ({"id": "1", "status": 503}, True),
    ],
)
def test_what_is_a_refusal(frame: dict[str, object], says_no: bool) -> None:
    assert is_refused(read(**frame)) is says_no


WEIGHT = {"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1, "limit": 6000}
ORDERS = {"rateLimitType": "ORDERS", "interval": "SECOND", "intervalNum": 10, "limit": 50, "count": 12}


@given(st.integers(0, 6_000), st.booleans(), st.permutations([0, 1, 2]))
def test_an_answer_says_how_much_of_the_addresss_minute_is_used(count: int, good: bool, order: list[int]) -> None:
    rows: list[dict[str, object]] = [{**WEIGHT, "count": count}, ORDERS, {**WEIGHT, "interval": "DAY", "count": 99_999}]
    outcome: dict[str, object] = {"result": {}} if good else {"error": {"code": -1021, "msg": "late"}}
    assert used_weight_of(read(id="1", status=200 if good else 400, rateLimits=[rows[place] for place in order], **outcome)) == count


@pytest.mark.parametrize(
    "limits", [[], None, "none", [1], {}, [{"a": 1}], [ORDERS], [{**WEIGHT, "count": "many"}], [{**WEIGHT, "count": -5}], [WEIGHT]]
)
def test_odd_limits_say_nothing_and_hide_no_answer(limits: object) -> None:
    reply = read(id="1", status=200, result={"subscriptionId": 7}, rateLimits=limits)
    assert used_weight_of(reply) == 0
    assert reply.result is not None and reply.result.subscription_id == 7
    assert used_weight_of(read(id="1", status=200, result={})) == 0
