"""Rules and prices of COIN-M, which need no key."""

import pytest

from tests.unit.sim.coinm_kit import SYMBOL, open_coinm


def test_the_rules_tell_the_size_of_a_contract() -> None:
    body = open_coinm().send("GET", "/dapi/v1/exchangeInfo").body
    assert isinstance(body, dict)
    rows = {row["symbol"]: row for row in body["symbols"]}
    assert (rows[SYMBOL]["contractSize"], rows[SYMBOL]["marginAsset"], rows[SYMBOL]["contractType"]) == (100, "BTC", "PERPETUAL")
    assert rows["ETHUSD_PERP"]["contractSize"] == 10
    assert rows["BTCUSD_261225"]["contractType"] == "CURRENT_QUARTER"
    assert rows["BTCUSD_261225"]["pair"] == rows[SYMBOL]["pair"] == "BTCUSD"
    kinds = {each["filterType"] for each in rows[SYMBOL]["filters"]}
    assert {"PRICE_FILTER", "LOT_SIZE", "PERCENT_PRICE"} <= kinds
    assert "MIN_NOTIONAL" not in kinds
    assert [each["limit"] for each in body["rateLimits"]] == [2400, 1200, 300]


@pytest.mark.parametrize("path", ["ticker/price", "ticker/bookTicker", "premiumIndex"])
def test_prices_are_lists_also_for_one_contract(path: str) -> None:
    desk = open_coinm()
    assert [row["symbol"] for row in desk.send("GET", f"/dapi/v1/{path}", f"symbol={SYMBOL}").rows] == [SYMBOL]
    assert len(desk.send("GET", f"/dapi/v1/{path}", "pair=BTCUSD").rows) == 2
    assert len(desk.send("GET", f"/dapi/v1/{path}").rows) == 7


def test_a_contract_with_a_date_has_no_funding() -> None:
    rows = {row["symbol"]: row for row in open_coinm().send("GET", "/dapi/v1/premiumIndex").rows}
    assert rows["BTCUSD_261225"]["lastFundingRate"] == ""
    assert rows["BTCUSD_261225"]["nextFundingTime"] == 0
    assert rows[SYMBOL]["lastFundingRate"] == "0.00010000"


def test_time_and_ping_need_no_key() -> None:
    desk = open_coinm()
    assert desk.send("GET", "/dapi/v1/time", key="")["serverTime"] == desk.clock.now()
    assert desk.send("GET", "/dapi/v1/ping", key="").body == {}


def test_the_day_is_told_in_contracts_and_coins() -> None:
    desk = open_coinm()
    desk.fill(quantity="8", price="80000.0")
    [row] = desk.send("GET", "/dapi/v1/ticker/24hr", f"symbol={SYMBOL}").rows
    assert (row["volume"], row["baseVolume"], row["count"]) == ("8", "0.01000000", 1)
    assert row["weightedAvgPrice"] == "80000.00000000"
    assert "quoteVolume" not in row
    assert len(desk.send("GET", "/dapi/v1/ticker/24hr", "pair=BTCUSD").rows) == 2
