"""A key is one account's at a venue, at a place, for a pair."""

from __future__ import annotations

import pytest

from userstream.entry.bootstrap import AccountSettings, credentials_of
from userstream.entry.key_owners import KeyOwners
from userstream.kernel.errors import SettingsError


def account(name: str, **fields: str) -> AccountSettings:
    return AccountSettings(**{"name": name, "venue": "binance-margin", "credentials": credentials_of("canary", "s"), **fields})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "other",
    [
        {"venue": "binance-spot"},
        {"isolated_symbol": "BTCUSDT"},
        {"rest_url": "http://127.0.0.1:9"},
        {"credentials": credentials_of("another", "s")},
    ],
)
def test_what_makes_another_account_of_the_same_key(other: dict[str, str]) -> None:
    keys = KeyOwners()
    keys.claim(account("alice"), {})
    keys.claim(account("bob", **other), {})
    with pytest.raises(SettingsError, match="accounts 'bob' and 'carol' have the same api_key; give each its own") as caught:
        keys.claim(account("carol", **other), {})
    assert "canary" not in str(caught.value)


def test_an_address_of_the_environment_is_one_as_well() -> None:
    keys, elsewhere = KeyOwners(), {"USERSTREAM_BINANCE_MARGIN_REST_URL": "http://127.0.0.1:9/"}
    keys.claim(account("alice"), elsewhere)
    keys.claim(account("bob"), {})
    with pytest.raises(SettingsError, match="'alice' and 'carol'"):
        keys.claim(account("carol", rest_url="http://127.0.0.1:9"), {})


def test_a_key_is_free_once_its_account_has_ended() -> None:
    keys = KeyOwners()
    keys.claim(account("alice"), {})
    keys.claim(account("alice"), {})
    keys.release("alice")
    keys.claim(account("bob"), {})
    keys.release("nobody")
    with pytest.raises(SettingsError, match="'bob' and 'alice'"):
        keys.claim(account("alice"), {})
