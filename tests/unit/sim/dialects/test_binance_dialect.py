"""The REST door of the family, tried at two products that differ in their manners."""

import pytest

from tests.unit.sim.kit import Desk, open_desk
from tests.unit.sim.spot_kit import open_spot


@pytest.mark.parametrize(
    ("desk", "path", "code", "header"),
    [
        (open_desk(), "/fapi/v9/nothing", -5000, "X-MBX-USED-WEIGHT-1M"),
        (open_spot(), "/api/v9/nothing", -1000, "X-MBX-USED-WEIGHT"),
    ],
    ids=["futures", "spot"],
)
def test_an_unknown_path_is_404_in_the_words_of_the_product_and_costs_weight(desk: Desk, path: str, code: int, header: str) -> None:
    found = desk.send("GET", path)
    assert (found.status, found.code, found.headers[header]) == (404, code, "1")


def test_every_answer_says_that_it_is_json() -> None:
    desk = open_desk()
    for found in (desk.send("GET", "/fapi/v1/ping"), desk.send("GET", "/fapi/v1/listenKey", key="")):
        assert found.headers["Content-Type"].startswith("application/json")


def test_own_paths_are_served_also_where_nothing_answers() -> None:
    desk = open_desk()
    dialect = desk.hall.dialect
    assert dialect.serves("/fapi/v1/whatever")
    assert dialect.serves("/api/v3/time")
    assert not dialect.serves("/api/v3/order")


def test_the_places_of_the_venue_are_at_the_root_of_the_server() -> None:
    found = open_desk().hall.dialect.locations("http://host:1", "ws://host:1")
    assert (found.rest_url, found.ws_url, found.ws_api_url) == ("http://host:1", "ws://host:1", "ws://host:1/ws-fapi/v1")
