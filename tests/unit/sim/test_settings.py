"""What the paper exchange is told, and what it tells."""

import json

import pytest

from userstream.sim.settings import AccountListing, AccountSpec, Listing, SimulatorSettings, VenueListing


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"venues": ()}, "venue"),
        ({"venues": ("a", "a")}, "once"),
        ({"port": 70_000}, "65535"),
        ({"accounts": -1}, "accounts"),
        ({"accounts": 10_001}, "10000"),
        ({"rate": -1.0}, "rate"),
        ({"rate": float("nan")}, "rate"),
        ({"rate": 1e9}, r"rate 1e\+09 must be between 0 and 10000"),
        ({"ping_interval_s": 0}, "ping_interval_s"),
        ({"listen_key_minutes": 0}, "listen_key_minutes"),
    ],
)
def test_settings_that_cannot_be(changes: dict[str, object], word: str) -> None:
    with pytest.raises(ValueError, match=word):
        SimulatorSettings(**changes)  # type: ignore[arg-type]


def test_what_is_not_said_is_as_each_venue_does() -> None:
    settings = SimulatorSettings()
    assert settings.limits is None
    assert settings.ping_interval_s is None
    assert settings.pong_deadline_s is None


@pytest.mark.parametrize("name", ["", "*", "a/b"])
def test_names_that_would_break_the_control_paths(name: str) -> None:
    with pytest.raises(ValueError, match="name"):
        AccountSpec(account=name)


def test_the_listing_is_one_line_of_the_fixed_form_and_its_repr_hides_secrets() -> None:
    account = AccountListing(account="a", venue="v", api_key="k" * 64, api_secret="s" * 64, passphrase="p" * 20)
    venue = VenueListing(rest_url="http://h", ws_url="ws://h", ws_api_url="ws://h/api")
    listing = Listing(venues={"v": venue}, accounts=[account], control_url="http://h/control")
    text = listing.to_json()
    assert "\n" not in text
    assert json.loads(text) == {
        "venues": {"v": {"rest_url": "http://h", "ws_url": "ws://h", "ws_api_url": "ws://h/api"}},
        "accounts": [{"account": "a", "venue": "v", "api_key": "k" * 64, "api_secret": "s" * 64, "passphrase": "p" * 20}],
        "control_url": "http://h/control",
    }
    assert "s" * 64 not in repr(listing)
    assert "p" * 20 not in repr(listing)
    assert "secret" not in repr(AccountSpec(account="a", api_secret="the secret text"))
