"""What the venue calls an account, by product."""

from __future__ import annotations

import json

import pytest

from userstream.kernel.errors import AuthenticationError, DecodeError, RequestRefused, SettingsError
from userstream.kernel.ids import Millis, VenueName
from userstream.kernel.secret import Secret
from userstream.venues import REGISTRY
from userstream.venues.binance.identity import IDENTITIES, LONGEST
from userstream.wire.request import HttpResponse
from userstream.wire.venue import Credentials

KEY = Credentials(api_key=Secret("KEY"), api_secret=Secret("SECRET"))
NOW = Millis(1_790_000_000_000)
USDM, SPOT = IDENTITIES[VenueName("binance-usdm")], IDENTITIES[VenueName("binance-spot")]


def answer(body: object, status: int = 200) -> HttpResponse:
    return HttpResponse(status=status, body=body if isinstance(body, bytes) else json.dumps(body).encode())


def test_every_product_can_be_asked() -> None:
    assert set(IDENTITIES) == set(REGISTRY)
    for name, weight, target in (
        ("binance-usdm", 5, "/fapi/v3/balance?"),
        ("binance-coinm", 1, "/dapi/v1/balance?"),
        ("binance-spot", 20, "/api/v3/account?omitZeroBalances=true&"),
        ("binance-margin", 20, "/api/v3/account?omitZeroBalances=true&"),
    ):
        request = IDENTITIES[VenueName(name)].request(KEY, NOW)
        assert (request.method, request.weight) == ("GET", weight)
        assert request.target.reveal().startswith(target) and f"timestamp={NOW}&signature=" in request.target.reveal()


def test_futures_tell_an_alias_and_spot_a_number() -> None:
    rows = [{"accountAlias": "SgsRfWuX", "asset": asset, "balance": "1.0"} for asset in ("USDT", "BNB")]
    assert USDM.answer(KEY, answer(rows), NOW) == "SgsRfWuX"
    assert SPOT.answer(KEY, answer({"uid": 354937868, "balances": []}), NOW) == "354937868"
    for silent, body in ((USDM, []), (USDM, [{"asset": "USDT"}]), (SPOT, {"balances": []})):
        assert silent.answer(KEY, answer(body), NOW) == ""


def test_what_is_shown_is_short_and_printable() -> None:
    assert USDM.answer(KEY, answer([{"accountAlias": "a\n" * LONGEST}]), NOW) == "a\ufffd" * (LONGEST // 2)


@pytest.mark.parametrize("body", [b"", b"{}", b"[1]", b'[{"accountAlias":7}]', b"[" * 5_000])
def test_another_answer_is_an_error(body: bytes) -> None:
    with pytest.raises(DecodeError, match="not the venue's own"):
        USDM.answer(KEY, answer(body), NOW)


def test_a_refusal_says_how_to_react() -> None:
    with pytest.raises(AuthenticationError):
        USDM.answer(KEY, answer({"code": -2015, "msg": "Invalid API-key, IP, or permissions for action."}, 401), NOW)
    with pytest.raises(SettingsError, match="api_secret is missing"):
        USDM.request(Credentials(api_key=Secret("KEY")), NOW)
    with pytest.raises(RequestRefused):
        SPOT.answer(KEY, answer({"code": -1121, "msg": "Invalid symbol."}, 400), NOW)
