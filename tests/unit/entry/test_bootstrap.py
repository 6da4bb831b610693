"""Putting the parts together: whose address counts, what a key may be, and that every setting reaches its place in milliseconds."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.clock import ManualClock
from tests.support.transport import PipeTransport, RecordingHttp
from userstream.adapters.memory import MemoryJournal
from userstream.entry.bootstrap import (
    AccountSettings,
    Application,
    check_account,
    credentials_of,
    place_of,
    policy_of,
    start_application,
)
from userstream.kernel.errors import SettingsError, StoreError
from userstream.kernel.settings import RecoverySettings, StreamSettings
from userstream.ports import Record
from userstream.venues import find_venue

SPEC = find_venue("binance-usdm")
KEY = credentials_of("key", "secret")


def settings(**fields: object) -> AccountSettings:
    return AccountSettings(**{"name": "alice", "venue": "binance-usdm", "credentials": KEY, **fields})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("key", "secret"), [("", "s"), (" ", "s"), ("k ", "s"), ("k\n", "s"), ("schl\u00fcssel", "s"), ("k\x00", "s"), ("k", ""), ("k", " s")]
)
def test_keys_that_cannot_be(key: str, secret: str) -> None:
    with pytest.raises(SettingsError, match=r"api_(key|secret)"):
        credentials_of(key, secret)


def test_keys_that_can_be() -> None:
    pem = "-----BEGIN PRIVATE KEY-----\nabc\n-----END PRIVATE KEY-----\n"
    credentials = credentials_of("key", pem, "canary")
    assert credentials.api_secret is not None
    assert credentials.api_secret.reveal() == pem
    assert "canary" not in repr(credentials)
    assert "PRIVATE" not in repr(settings(credentials=credentials))
    assert credentials_of("key", None).api_secret is None


def test_settings_reach_their_place_in_milliseconds() -> None:
    stream = StreamSettings(keep_alive_s=1.5, own_ping_s=2.5, silence_s=3.5, rotate_s=4.5, first_delay_s=0.25, max_delay_s=8)
    account = settings(stream=stream, recovery=RecoverySettings(lag_s=0.75, audit_s=9))
    place = place_of(account, SPEC)
    assert (place.listen_key_keep_alive_ms, place.own_ping_ms, place.silence_limit_ms, place.rotate_after_ms) == (
        1_500,
        2_500,
        3_500,
        4_500,
    )
    assert (place.first_delay_ms, place.max_delay_ms) == (250, 8_000)
    policy = policy_of(account, place.jitter_seed)
    assert (policy.feed.backoff.first_delay_ms, policy.feed.backoff.max_delay_ms) == (250, 8_000)


@pytest.mark.parametrize(("rotate_s", "lag_s", "drain_ms"), [(82_800, 5, 5_000), (82_800, 0.75, 2_000), (6, 5, 4_000), (3, 5, 2_000)])
def test_a_replaced_socket_goes_on_for_the_lag_but_not_as_long_as_it_may_live(rotate_s: float, lag_s: float, drain_ms: int) -> None:
    made = settings(stream=StreamSettings(rotate_s=rotate_s), recovery=RecoverySettings(lag_s=lag_s))
    assert policy_of(made, 0).feed.drain_ms == drain_ms


def test_accounts_do_not_move_in_step() -> None:
    seeds = {place_of(settings(name=f"account-{number}"), SPEC).jitter_seed for number in range(100)}
    assert len(seeds) == 100


async def test_an_application_without_accounts_starts_and_stops_twice(tmp_path: Path) -> None:
    application = await start_application(tmp_path / "a.db")
    assert application.store is not None
    assert application.pump is not None
    with pytest.raises(StoreError, match=r"a\.db"):
        await start_application(tmp_path / "a.db")
    await application.stop()
    await application.stop()
    again = await start_application(tmp_path / "a.db")
    await again.stop()


SPOT = find_venue("binance-spot")


def test_an_account_may_have_sockets_of_its_own_and_times_in_microseconds() -> None:
    shared, own = place_of(settings(venue="binance-spot"), SPOT), place_of(settings(venue="binance-spot", shared_socket=False), SPOT)
    assert SPOT.sharing is not None
    assert (SPOT.sharing.may_share(shared), SPOT.sharing.may_share(own)) == (True, False)
    assert own.rotate_after_ms == 2 * shared.rotate_after_ms, "who shares stays for half of a socket's life"
    assert (shared.microseconds, place_of(settings(venue="binance-spot", microseconds=True), SPOT).microseconds) == (False, True)


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"microseconds": True}, "microseconds = true has no meaning at binance-usdm"),
        ({"shared_socket": "no"}, "shared_socket = 'no' must be True or False"),
        ({"microseconds": 1, "venue": "binance-spot"}, "microseconds = 1 must be True or False"),
    ],
)
def test_what_the_venue_does_not_offer_is_named(fields: dict[str, object], told: str) -> None:
    with pytest.raises(SettingsError, match=told):
        check_account(settings(**fields), {})


@pytest.mark.parametrize(("rotate_s", "life_s", "shares"), [(3, 3, False), (5.9, 5.9, False), (6, 3, True), (60, 30, True)])
def test_whose_sockets_live_for_a_moment_only_shares_none(rotate_s: float, life_s: float, shares: bool) -> None:
    made = place_of(settings(venue="binance-spot", stream=StreamSettings(rotate_s=rotate_s)), SPOT)
    assert SPOT.sharing is not None
    assert (SPOT.sharing.may_share(made), made.rotate_after_ms) == (shares, life_s * 1000)


@pytest.mark.parametrize("venue", ["binance-spot", "binance-margin"])
def test_what_the_venue_offers_is_taken(venue: str) -> None:
    check_account(settings(venue=venue, microseconds=True, shared_socket=False, stream=StreamSettings(rotate_s=3)), {})


@pytest.mark.parametrize(
    ("fields", "told"), [({"name": ""}, "empty"), ({"venue": "binance-usd"}, "did you mean"), ({"rest_url": "x"}, "rest_url")]
)
async def test_an_account_that_cannot_be_is_not_there_afterwards(fields: dict[str, object], told: str) -> None:
    application = await start_application(None)
    try:
        with pytest.raises(SettingsError, match=told):
            await application.add(settings(**fields))
        assert application.accounts == {}
    finally:
        await application.stop()


@pytest.mark.parametrize("name", ["desk/alice", "/", ".", ".."])
def test_a_name_that_no_route_would_reach_is_refused(name: str) -> None:
    with pytest.raises(SettingsError, match="cannot be part of an address"):
        check_account(settings(name=name), {})
    check_account(settings(name=f"alice.{name.replace('/', '-')} of the desk"), {})


async def test_a_start_that_fails_leaves_nobody_who_tries_on() -> None:
    class FullJournal(MemoryJournal):
        is_full = True

        def append(self, record: Record) -> None:
            if self.is_full:
                raise StoreError("20000 records wait to be written")
            super().append(record)

    clock, journal = ManualClock(), FullJournal()
    application = Application(clock, PipeTransport(), RecordingHttp(), journal)
    with pytest.raises(StoreError, match="20000 records"):
        await application.add(settings())
    assert application.accounts == {}
    journal.is_full = False
    await clock.advance(60_000)
    assert await journal.count(after=0) == 0, "what the next start writes would come after it"
    assert (clock.next_due, clock.failures) == (None, [])
    await application.stop()


async def test_applications_of_one_process_share_the_gate_of_an_address() -> None:
    first, second = await start_application(None), await start_application(None, weight_limit=500)
    try:
        for application in (first, second):
            await application.add(settings(rest_url="http://127.0.0.1:9", ws_url="ws://127.0.0.1:9"))
        [gate], [other] = first.gates, second.gates
        assert gate is other
        assert gate.budget.limit == 500
    finally:
        await first.stop()
        await second.stop()
