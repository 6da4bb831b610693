"""Two venues under one roof: each keeps its own paths, limits and books."""

from decimal import Decimal

import pytest

from tests.unit.sim.kit import START, Desk, open_house
from tests.unit.sim.spot_kit import VENUE, Caller, SpotDesk, owner
from userstream.sim.house import House
from userstream.sim.limits import LimitSettings
from userstream.sim.settings import AccountSpec

USDM = "binance-usdm"


def two(first: str, second: str) -> tuple[House, Desk, SpotDesk]:
    house, clock, _ = open_house(venues=(first, second), accounts=(AccountSpec(account="future"), owner("spot")))
    return house, Desk(house, clock, "future"), SpotDesk(house, clock, "spot")


@pytest.mark.parametrize("order", [(USDM, VENUE), (VENUE, USDM)])
def test_paths_belong_to_the_venue_that_is_at_home_there(order: tuple[str, str]) -> None:
    house, future, spot = two(*order)
    for path, name in (
        ("/fapi/v1/order", USDM),
        ("/ws-fapi/v1", USDM),
        ("/private/ws/abc", USDM),
        ("/api/v3/order", VENUE),
        ("/api/v3/time", VENUE),
        ("/ws-api/v3", VENUE),
    ):
        hall = house.hall_at(path)
        assert hall is not None
        assert hall.venue.name == name
    for desk, name in ((future, USDM), (spot, VENUE)):
        hall = house.hall_at("/sapi/v1/account/apiRestrictions", {"x-mbx-apikey": desk.listing.api_key})
        assert hall is not None
        assert hall.venue.name == name
    assert house.hall_at("/sapi/v1/account/apiRestrictions") is not None
    assert house.hall_at("/nowhere") is None


def test_one_venues_weight_and_bans_are_not_the_others() -> None:
    _, future, spot = two(USDM, VENUE)
    assert spot.get("/api/v3/openOrders").headers["X-MBX-USED-WEIGHT-1M"] == "80"
    assert future.get("/fapi/v3/balance").headers["X-MBX-USED-WEIGHT-1M"] == "5"
    assert spot.hall.room.limits.settings.weight_per_minute == 6000
    assert future.hall.room.limits.settings == LimitSettings()


def test_limits_that_are_given_are_for_all() -> None:
    house, _, _ = open_house(venues=(USDM, VENUE), limits=LimitSettings(weight_per_minute=7))
    assert {hall.room.limits.settings.weight_per_minute for hall in house.halls.values()} == {7}


def test_each_account_hears_its_own_venue() -> None:
    house, future, spot = two(USDM, VENUE)
    api = Caller(spot)
    api.subscribe()
    future.listen()
    future.market()
    spot.limit()
    assert {event["e"] for event in future.heard()} == {"ORDER_TRADE_UPDATE", "TRADE_LITE", "ACCOUNT_UPDATE"}
    assert api.heard_names() == ["executionReport", "outboundAccountPosition"]
    assert house.accounts == ("future", "spot")


def test_spot_accounts_trade_about_as_much_as_was_asked_for() -> None:
    specs = tuple(owner(f"a-{number}", balances={"USDT": Decimal(20_000)}) for number in range(3))
    house, clock, _ = open_house(venues=(VENUE,), accounts=specs, rate=100.0, seed=4)
    apis = [Caller(SpotDesk(house, clock, account)) for account in house.accounts]
    for api in apis:
        api.subscribe()
    for _ in range(200):
        house.tick(clock.turn(50))
    events = [event for api in apis for event in api.heard()]
    assert 700 <= len(events) <= 1600
    assert {event["e"] for event in events} >= {"executionReport", "outboundAccountPosition", "listStatus"}
    assert clock.now() == START + 10_000
