"""The question for a key's rights, and what may be believed of its answer."""

from __future__ import annotations

import itertools
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from userstream.kernel.errors import AuthenticationError, DecodeError, RetryLater, SettingsError
from userstream.kernel.ids import Millis
from userstream.kernel.secret import Secret
from userstream.venues.binance.rights import PATH, BinanceRights
from userstream.wire.request import HttpResponse
from userstream.wire.rights import KeyRights, judge_rights
from userstream.wire.venue import Credentials

NOW = Millis(1_790_000_000_000)
CREDENTIALS = Credentials(api_key=Secret("KEY-OF-ALICE"), api_secret=Secret("SECRET-OF-ALICE"))
LEAVING = ("enableWithdrawals", "enableInternalTransfer", "permitsUniversalTransfer")
TRADING = ("enableSpotAndMarginTrading", "enableMargin", "enableFutures", "enableVanillaOptions", "enablePortfolioMarginTrading")
FLAGS = ("enableReading", "ipRestrict", *LEAVING, *TRADING)
PLAIN: dict[str, object] = {"createTime": 1_700_000_000_000, **dict.fromkeys(FLAGS, False), "enableReading": True, "ipRestrict": True}


def answered(body: object, status: int = 200) -> KeyRights:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return BinanceRights().answer(CREDENTIALS, HttpResponse(status=status, body=data), NOW)


def test_the_question_is_signed_for_the_venues_time() -> None:
    request = BinanceRights().request(CREDENTIALS, NOW)
    target = request.target.reveal()
    assert target.startswith(f"{PATH}?recvWindow=5000&timestamp={NOW}&signature=")
    assert (request.method, request.weight, request.label) == ("GET", 1, f"GET {PATH}")
    assert request.headers == (("X-MBX-APIKEY", Secret("KEY-OF-ALICE")),)
    with pytest.raises(SettingsError, match="api_secret is missing"):
        BinanceRights().request(Credentials(api_key=Secret("k")), NOW)


def test_every_combination_of_flags_is_understood() -> None:
    for values in itertools.product((False, True), repeat=len(FLAGS)):
        flags = dict(zip(FLAGS, values, strict=True))
        rights = answered({**PLAIN, **flags})
        assert rights == KeyRights(
            read=flags["enableReading"],
            trade=any(flags[name] for name in TRADING),
            withdraw=flags["enableWithdrawals"],
            transfer=flags["enableInternalTransfer"] or flags["permitsUniversalTransfer"],
            ip_restricted=flags["ipRestrict"],
        )
        leaves = any(flags[name] for name in LEAVING)
        assert bool(judge_rights(rights).refusals) is (leaves or not flags["enableReading"])


@pytest.mark.parametrize("name", ["enableReading", "ipRestrict", *LEAVING])
@pytest.mark.parametrize("value", [None, 1, "true", ...])
def test_what_must_be_known_and_is_not_told_is_no_answer(name: str, value: object) -> None:
    body = {key: flag for key, flag in PLAIN.items() if key != name} if value is ... else {**PLAIN, name: value}
    with pytest.raises(DecodeError, match=name):
        answered(body)


def test_a_right_that_is_new_is_told() -> None:
    rights = answered({**PLAIN, "permitsMoonTravel": True, "permitsNothing": False, "enable\x1b[31mX": True})
    assert rights.unknown == ("enable\ufffd[31mX", "permitsMoonTravel")
    assert judge_rights(rights).warnings


@pytest.mark.parametrize("body", [b"", b"[]", b"<html>", b"{", b'{"enableReading": [1]}', b"[" * 10_000])
def test_what_is_no_answer_is_refused(body: bytes) -> None:
    with pytest.raises(DecodeError):
        answered(body)


@given(st.binary(max_size=60))
def test_no_bytes_pass_for_rights(body: bytes) -> None:
    with pytest.raises((DecodeError, RetryLater)):
        answered(body)


def test_refusals_of_the_venue_say_how_to_react_without_a_secret() -> None:
    with pytest.raises(AuthenticationError) as caught:
        answered({"code": -2015, "msg": "no KEY-OF-ALICE or SECRET-OF-ALICE"}, 401)
    assert "ALICE" not in str(caught.value)
    with pytest.raises(RetryLater):
        answered(b"no answer", 0)
