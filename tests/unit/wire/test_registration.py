"""An account of the registry: its place and its records."""

from __future__ import annotations

import msgspec

from tests.support.vaults import NOW, make_account
from userstream.wire.registration import AccountOptions, SealedKey, SealedListenKey


def test_the_place_names_what_the_records_are_bound_to() -> None:
    options = AccountOptions(rest_url="https://a", ws_url="wss://b", symbols=("BTCUSDT",))
    place = make_account(version=3, options=options).place
    assert (place.user, place.account, place.venue, place.version) == ("desk", "alice", "binance-usdm", 3)
    assert place.destination == "rest_url=https://a ws_url=wss://b"
    assert make_account(options=AccountOptions(symbols=("BTCUSDT",))).place.destination == ""


def test_records_go_in_and_out_in_one_order() -> None:
    key = SealedKey(api_key="a", passphrase="c")
    account = msgspec.structs.replace(make_account(), key=key)
    assert key.fields == {"api_key": "a", "passphrase": "c"}
    assert account.records == ("a", "c")
    assert account.with_records(("x", "y")).key == SealedKey(api_key="x", passphrase="y")
    full = msgspec.structs.replace(account, listen_key=SealedListenKey(record="l", expires_at=NOW))
    assert full.records == ("a", "c", "l")
    assert full.with_records(("x", "y", "z")).records == ("x", "y", "z")
    assert full.with_records(full.records) == full
