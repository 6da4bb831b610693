"""Calls without a key (Binance Spot, 2.1, 6.2, 6.3)."""

from decimal import Decimal
from urllib.parse import quote

import pytest

from tests.unit.sim.kit import START
from tests.unit.sim.spot_kit import SpotDesk, open_spot, part, rows
from userstream.sim.spot.instruments import DEFAULT_PAIRS

D = Decimal
TWO = '["BTCUSDT","ETHBTC"]'


def asked(desk: SpotDesk, path: str, query: str = "") -> dict[str, object]:
    found = desk.send("GET", f"/api/v3/{path}", query).body
    assert isinstance(found, dict)
    return found


def test_every_pair_tells_the_rules_that_the_books_keep() -> None:
    symbols = {str(row["symbol"]): row for row in rows(asked(open_spot(), "exchangeInfo"), "symbols")}
    assert set(symbols) == {each.symbol for each in DEFAULT_PAIRS}
    for each in DEFAULT_PAIRS:
        filters = {str(row["filterType"]): row for row in rows(symbols[each.symbol], "filters")}
        assert D(str(filters["PRICE_FILTER"]["tickSize"])) == each.tick_size
        assert D(str(filters["LOT_SIZE"]["stepSize"])) == each.step_size
        assert D(str(filters["NOTIONAL"]["minNotional"])) == each.min_notional
        assert set(filters) >= {"ICEBERG_PARTS", "MARKET_LOT_SIZE", "TRAILING_DELTA", "PERCENT_PRICE_BY_SIDE", "MAX_NUM_ORDERS"}
        assert (symbols[each.symbol]["baseAsset"], symbols[each.symbol]["status"]) == (each.base, "TRADING")
        assert symbols[each.symbol]["isMarginTradingAllowed"] is (each.symbol != "BNBBTC")


@pytest.mark.parametrize(
    ("query", "count", "code"),
    [
        ("symbol=BTCUSDT", 1, None),
        (f"symbols={quote(TWO)}", 2, None),
        ("symbol=NONE", 0, -1121),
        ("symbols=BTCUSDT", 0, -1130),
        (f"symbol=BTCUSDT&symbols={quote(TWO)}", 0, -1128),
    ],
)
def test_rules_of_some_pairs(query: str, count: int, code: int | None) -> None:
    found = asked(open_spot(), "exchangeInfo", query)
    assert found.get("code") == code
    assert code is not None or len(rows(found, "symbols")) == count


def test_prices_of_one_pair_or_all() -> None:
    desk = open_spot()
    assert asked(desk, "ticker/price", "symbol=BTCUSDT") == {"symbol": "BTCUSDT", "price": "81000.00000000"}
    assert len(desk.send("GET", "/api/v3/ticker/price").rows) == len(DEFAULT_PAIRS)
    book = asked(desk, "ticker/bookTicker", "symbol=BTCUSDT")
    assert D(str(book["bidPrice"])) < D(81_000) < D(str(book["askPrice"]))
    assert asked(desk, "avgPrice", "symbol=BTCUSDT") == {"mins": 5, "price": "81000.00000000", "closeTime": START}
    assert asked(desk, "ticker/24hr", "symbol=BTCUSDT")["lastPrice"] == "81000.00000000"
    depth = desk.send("GET", "/api/v3/depth", "symbol=BTCUSDT").body
    assert isinstance(depth, dict)
    assert len(depth["bids"]) == len(depth["asks"]) == 5
    assert desk.send("GET", "/api/v3/klines", "symbol=BTCUSDT&interval=1m").rows == []


@pytest.mark.parametrize("version", ["v1", "v3"])
@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
def test_listen_keys_are_gone(version: str, method: str) -> None:
    found = open_spot().send(method, f"/api/{version}/userDataStream")
    assert (found.status, found.code) == (410, -1016)
    assert part({"body": found.body}, "body")["msg"]
