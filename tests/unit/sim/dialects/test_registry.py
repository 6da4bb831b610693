"""The venues that can be served."""

from userstream.sim.dialects.registry import VENUES


def test_each_venue_stands_under_its_own_name() -> None:
    assert "binance-usdm" in VENUES
    assert all(name == venue.name for name, venue in VENUES.items())
