"""What a venue is made of: each founds its own exchange and has its own habits."""

from tests.unit.sim.kit import START
from userstream.sim.dialects.binance_sockets import StreamSession
from userstream.sim.dialects.binance_spot_methods import SpotSession
from userstream.sim.dialects.registry import VENUES
from userstream.sim.exchange import Exchange
from userstream.sim.spot.exchange import SpotExchange
from userstream.sim.venue import Subscribed


def test_each_venue_founds_its_own_kind_of_exchange() -> None:
    kinds: dict[str, type[Exchange | SpotExchange]] = {
        "binance-usdm": Exchange,
        "binance-coinm": Exchange,
        "binance-spot": SpotExchange,
        "binance-margin": SpotExchange,
    }
    for name, kind in kinds.items():
        venue = VENUES[name]
        exchange = venue.found(venue.instruments, 7, START)
        assert isinstance(exchange, kind)
        assert exchange.time == START
        assert set(exchange.instruments) == {each.symbol for each in venue.instruments}


def test_no_two_venues_share_a_name_or_are_at_home_at_one_path() -> None:
    places = {venue.premises or venue.name: venue.home for venue in VENUES.values()}
    homes = [path for home in places.values() for path in home]
    assert len(homes) == len(set(homes))
    assert all(venue.ping_interval_s < venue.pong_deadline_s for venue in VENUES.values())


def test_only_sockets_with_subscriptions_can_lose_them() -> None:
    assert issubclass(SpotSession, Subscribed)
    assert not issubclass(StreamSession, Subscribed)
