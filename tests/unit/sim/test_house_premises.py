"""Spot and margin under one roof: two venues, one exchange."""

from collections.abc import Mapping
from decimal import Decimal

from tests.unit.sim.kit import open_house
from tests.unit.sim.margin_kit import VENUE as MARGIN
from tests.unit.sim.margin_kit import MarginDesk, TokenCaller, user
from tests.unit.sim.spot_kit import VENUE as SPOT
from tests.unit.sim.spot_kit import SpotDesk, owner
from userstream.sim.control import Control
from userstream.sim.house import House


def both(*venues: str) -> tuple[House, SpotDesk, MarginDesk]:
    house, clock, _ = open_house(venues=venues or (SPOT, MARGIN), accounts=(owner("spot"), user("lent")))
    return house, SpotDesk(house, clock, "spot"), MarginDesk(house, clock, "lent")


def test_orders_of_both_meet_in_one_book() -> None:
    house, spot, margin = both()
    assert spot.hall.room is margin.hall.room
    assert len(house.places) == 1
    spot.limit(side="SELL", price="81000", quantity="0.01")
    margin.limit(side="BUY", price="81000", quantity="0.01")
    [sold] = spot.books.fills("spot")
    [bought] = margin.books.fills("lent")
    assert sold.trade_id == bought.trade_id
    assert (sold.maker, bought.maker) == (True, False)


def test_one_socket_carries_both_by_number() -> None:
    _, spot, margin = both()
    client = TokenCaller(margin)
    numbers = [client.subscribe(spot), client.number(margin.token())]
    spot.limit()
    margin.limit()
    frames = spot.heard(client.lane)
    assert {frame["subscriptionId"] for frame in frames} == set(numbers)


def test_each_venue_is_told_with_its_own_addresses() -> None:
    house, _, _ = both()
    places = {name: hall.dialect.locations("http://h", "ws://h") for name, hall in house.halls.items()}
    assert places[SPOT].ws_url == "ws://h"
    assert places[MARGIN].ws_url == "ws://h/margin-stream"
    assert places[SPOT].ws_api_url == places[MARGIN].ws_api_url == "ws://h/ws-api/v3"


def test_time_passes_once_and_events_come_once() -> None:
    _, spot, margin = both()
    client = TokenCaller(margin)
    client.subscribe(spot)
    spot.limit()
    spot.pass_time(200)
    assert len([event for event in client.heard() if event["e"] == "executionReport"]) == 1


def test_the_risk_key_leads_to_the_margin_venue_also_beside_usdm() -> None:
    house, clock, _ = open_house(venues=("binance-usdm", MARGIN), accounts=(user("lent"),))
    margin = MarginDesk(house, clock, "lent")
    assert house.hall_at(f"/ws/{margin.open_key()}") is margin.hall
    assert house.hall_at("/api/v3/time") is margin.hall


def test_a_user_who_is_alone_at_margin_has_a_spot_account_too() -> None:
    house, clock, _ = open_house(venues=(MARGIN,), accounts=1)
    desk = MarginDesk(house, clock, "paper-1")
    assert desk.get("/api/v3/account").status == 200
    assert desk.books.accounts() == ("paper-1", "paper-1.spot")
    assert house.hall_of("paper-1.spot") is desk.hall
    assert next(each.wallet for each in desk.books.balances("paper-1") if each.asset == "USDT") == Decimal(100_000)


def test_the_demo_traders_live_by_themselves() -> None:
    house, clock, _ = open_house(venues=(MARGIN,), accounts=(user(),), rate=50.0)
    desk = MarginDesk(house, clock, "paper-1")
    for _ in range(60):
        desk.pass_time(500)
    assert len(desk.books.fills("paper-1")) > 5
    assert desk.books.loans("paper-1")


def test_an_isolated_account_is_known_to_the_control_interface_before_its_user_named_it() -> None:
    house, clock, _ = open_house(venues=(MARGIN,), accounts=(user("lent"),))
    desk = MarginDesk(house, clock, "lent")
    assert house.knows("lent.BTCUSDT")
    assert desk.books.isolated_accounts("lent") == ["lent.BTCUSDT"]
    assert house.knows("lent.spot")
    assert not house.knows("lent.NOPE")
    assert not house.knows("spot")
    assert not house.knows("nobody.BTCUSDT")


def test_users_of_other_venues_have_one_account() -> None:
    house, _, _ = both()
    assert not house.knows("spot.BTCUSDT")


def test_the_state_shows_each_venue_its_own_accounts() -> None:
    house, spot, margin = both()
    client = TokenCaller(margin)
    client.subscribe(spot)
    client.number(margin.token())
    margin.open_key()
    state = Control(house).state()
    assert isinstance(state, Mapping)
    venues = state["venues"]
    assert isinstance(venues, Mapping)
    for name, accounts, keys in ((SPOT, ["spot"], []), (MARGIN, ["lent", "lent.spot"], ["lent"])):
        shown = venues[name]
        assert isinstance(shown, Mapping)
        assert (shown["accounts"], list(shown["listen_keys"])) == (accounts, keys)  # type: ignore[arg-type]
        assert shown["sockets"] == {accounts[0]: 1}
