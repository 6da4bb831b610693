"""The house: accounts, time, trading, and who hears what."""

import pytest

from tests.unit.sim.kit import Desk, open_desk, open_house, rich
from userstream.sim.books import Refused
from userstream.sim.bounds import MOST_EVENTS_PER_S
from userstream.sim.house import MOST_ACTS_AT_ONCE, UnknownAccount, UnknownVenue
from userstream.sim.keys import KeyType


def test_accounts_are_numbered_and_their_keys_come_from_the_seed() -> None:
    one, same, other = (open_house(accounts=3, seed=seed)[0] for seed in (1, 1, 2))
    assert one.accounts == ("paper-1", "paper-2", "paper-3")
    assert one.listings == same.listings != other.listings
    assert len({each.api_key for each in one.listings}) == 3


def test_given_accounts_keep_their_keys() -> None:
    house, _, _ = open_house(accounts=(rich("alice", api_key="my-key", api_secret="my-secret", passphrase="word"),))
    [listing] = house.listings
    assert (listing.account, listing.api_key, listing.api_secret, listing.passphrase) == ("alice", "my-key", "my-secret", "word")


def test_a_private_key_account_is_listed_with_its_key() -> None:
    house, _, _ = open_house(accounts=(rich(key_type=KeyType.ED25519),))
    assert house.listings[0].api_secret.startswith("-----BEGIN PRIVATE KEY-----")


def test_mistakes_at_the_start_are_named() -> None:
    with pytest.raises(UnknownVenue, match="binance-usdm"):
        open_house(venues=("binance",))
    with pytest.raises(UnknownVenue, match="'okx'"):
        open_house(accounts=(rich(venue="okx"),))
    with pytest.raises(ValueError, match="twice"):
        open_house(accounts=(rich("a"), rich("a")))
    with pytest.raises(ValueError, match="twice"):
        open_house(accounts=(rich("a", api_key="k"), rich("b", api_key="k")))


def test_finding_accounts_symbols_and_paths() -> None:
    house, _, _ = open_house()
    hall = house.halls["binance-usdm"]
    assert house.hall_of("paper-1") is hall
    assert house.hall_with("BTCUSDT", "") is hall
    assert house.hall_at("/fapi/v1/time") is hall
    assert house.hall_at("/nowhere") is None
    with pytest.raises(UnknownAccount, match="nobody"):
        house.lanes("nobody")
    with pytest.raises(Refused):
        house.hall_with("BTCUSDT", "okx")


def test_a_quiet_house_says_nothing() -> None:
    desk = open_desk(accounts=1)
    desk.listen()
    desk.pass_time(5_000)
    assert desk.heard() == []


def test_the_accounts_trade_about_as_much_as_was_asked_for() -> None:
    house, clock, _ = open_house(accounts=5, rate=200.0, seed=4)
    desks = [Desk(house, clock, account) for account in house.accounts]
    for desk in desks:
        desk.listen()
    for _ in range(200):
        house.tick(clock.turn(50))
    events = [event for desk in desks for event in desk.heard()]
    assert 1500 <= len(events) <= 2500
    assert {event["e"] for event in events} >= {"ORDER_TRADE_UPDATE", "TRADE_LITE", "ACCOUNT_UPDATE"}


def test_an_account_that_does_not_take_part_is_left_alone() -> None:
    house, clock, _ = open_house(accounts=(rich("trader"), rich("watcher", trades=False)), rate=200.0)
    for _ in range(40):
        house.tick(clock.turn(50))
    exchange = house.halls["binance-usdm"].room.exchange
    assert exchange.orders("trader")
    assert not exchange.orders("watcher")


def test_however_much_is_to_be_traded_a_tick_ends_and_the_rest_waits_for_the_next() -> None:
    house, clock, _ = open_house(accounts=1, rate=float(MOST_EVENTS_PER_S))
    orders = house.halls["binance-usdm"].room.exchange.orders
    counts = []
    for _ in range(3):
        house.tick(clock.turn(1_000))
        counts.append(len(orders("paper-1")))
    assert 0 < counts[0] < counts[1] < counts[2] <= 3 * MOST_ACTS_AT_ONCE


def test_the_same_seed_and_times_give_the_same_books() -> None:
    def play(seed: int) -> str:
        house, clock, _ = open_house(accounts=3, rate=100.0, seed=seed)
        for _ in range(60):
            house.tick(clock.turn(50))
        exchange = house.halls["binance-usdm"].room.exchange
        return str([exchange.fills(account) for account in house.accounts])

    assert play(1) == play(1) != play(2)


def test_news_wake_the_sockets_they_are_for() -> None:
    house, clock, doors = open_house()
    one, two = (Desk(house, clock, account) for account in house.accounts)
    lane, _ = one.listen(), two.listen()
    doors.woken.clear()
    one.limit()
    assert set(doors.woken) == {lane}


def test_a_house_can_start_with_lag_skew_and_strictness() -> None:
    house, clock, _ = open_house(rest_lag_ms=700, skew_ms=50, strict=True)
    assert (house.faults.rest_lag_ms, house.faults.skew_ms, house.faults.strict) == (700, 50, True)
    room = house.halls["binance-usdm"].room
    assert room.history.is_recording
    assert room.stated(clock.now()) == clock.now() + 50
