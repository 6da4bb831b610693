"""Where an account's venue is: whose address counts, and which are refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from userstream.entry.addresses import check_addresses, endpoints_of, variable_of
from userstream.entry.bootstrap import AccountSettings, credentials_of
from userstream.kernel.errors import SettingsError
from userstream.venues import find_venue

SPEC = find_venue("binance-usdm")
REST, SOCKET = "http://127.0.0.1:1", "ws://127.0.0.1:2"


def settings(rest_url: str | None = None, ws_url: str | None = None, ws_api_url: str | None = None) -> AccountSettings:
    key = credentials_of("key", "secret")
    return AccountSettings(name="alice", venue="binance-usdm", credentials=key, rest_url=rest_url, ws_url=ws_url, ws_api_url=ws_api_url)


def test_addresses_are_the_settings_then_the_environments_then_the_venues() -> None:
    environment = {"USERSTREAM_BINANCE_USDM_REST_URL": "http://127.0.0.1:1/", "USERSTREAM_BINANCE_SPOT_WS_URL": "ws://127.0.0.1:2"}
    real = endpoints_of(settings(), SPEC, {})
    assert real == SPEC.real
    named = endpoints_of(settings(), SPEC, environment)
    assert (named.rest_url, named.ws_url) == ("http://127.0.0.1:1", SPEC.real.ws_url)
    given = endpoints_of(settings(rest_url="http://127.0.0.1:3/"), SPEC, environment)
    assert given.rest_url == "http://127.0.0.1:3"


@given(*(st.booleans() for _ in range(4)))
def test_both_halves_or_none_wherever_they_come_from(own_rest: bool, own_socket: bool, found_rest: bool, found_socket: bool) -> None:
    account = settings(rest_url=REST if own_rest else None, ws_url=SOCKET if own_socket else None)
    found = {variable_of(SPEC, "rest_url"): REST if found_rest else "", variable_of(SPEC, "ws_url"): SOCKET if found_socket else ""}
    if (own_rest or found_rest) == (own_socket or found_socket):
        check_addresses(account, SPEC, found)
        return
    with pytest.raises(SettingsError, match="alone would leave"):
        check_addresses(account, SPEC, found)


@pytest.mark.parametrize(
    ("addresses", "reason"),
    [
        ({"rest_url": "fapi.example"}, "rest_url: an address must be https://"),
        ({"rest_url": "ws://127.0.0.1:1"}, "rest_url: an address must be https://"),
        ({"ws_url": "https://fstream.example"}, "ws_url: an address must be wss://"),
        ({"ws_api_url": "ftp://x"}, "ws_api_url: an address must be wss://"),
        ({"rest_url": "https://fapi.example?canary=1"}, "must not hold a query"),
        ({"rest_url": "https://canary@fapi.example"}, "must not hold a user name"),
        ({"rest_url": "http://fapi.example"}, "to this machine only"),
        ({"ws_url": "wss://fstream.example:99999"}, "port"),
    ],
)
def test_addresses_that_no_socket_could_use(addresses: dict[str, str], reason: str) -> None:
    both = {"rest_url": "https://fapi.example", "ws_url": "wss://fstream.example"} | addresses
    with pytest.raises(SettingsError, match=reason) as caught:
        check_addresses(settings(**both), SPEC, {})
    assert "canary" not in str(caught.value)


def test_a_path_is_used_and_never_told() -> None:
    account = settings(rest_url="https://gateway.example/canary", ws_url="wss://gateway.example/canary")
    check_addresses(account, SPEC, {})
    assert endpoints_of(account, SPEC, {}).rest_url.endswith("/canary")
    with pytest.raises(SettingsError) as caught:
        check_addresses(settings(rest_url="https://gateway.example/canary"), SPEC, {})
    assert "canary" not in str(caught.value)


def test_a_venue_with_one_socket_for_all_takes_either_address_for_it() -> None:
    spot = find_venue("binance-spot")
    assert endpoints_of(settings(), spot, {}) == spot.real
    environment = {"USERSTREAM_BINANCE_SPOT_WS_URL": "ws://127.0.0.1:2"}
    assert endpoints_of(settings(), spot, environment).ws_api_url == "ws://127.0.0.1:2"
    assert endpoints_of(settings(ws_api_url="ws://127.0.0.1:4"), spot, environment).ws_api_url == "ws://127.0.0.1:4"


def test_one_half_of_the_account_and_the_other_of_the_environment_must_be_of_one_venue() -> None:
    found = {variable_of(SPEC, "ws_url"): SOCKET}
    with pytest.raises(SettingsError, match="one half would speak with the real venue"):
        check_addresses(settings(rest_url=SPEC.real.rest_url), SPEC, found)
    check_addresses(settings(rest_url=REST), SPEC, found)
    check_addresses(settings(rest_url=SPEC.real.rest_url, ws_url=SOCKET), SPEC, {})


@pytest.mark.parametrize("empty", ["", " "])
def test_an_empty_address_is_not_taken_for_the_real_venue(empty: str) -> None:
    with pytest.raises(SettingsError, match="is empty: leave it out for the venue itself, or name an address"):
        check_addresses(settings(rest_url=empty, ws_url=empty), SPEC, {})
