"""Calls without a signature: time, rules, prices and the listen key."""

from decimal import Decimal

import pytest

from tests.unit.sim.kit import START, Desk, open_desk, open_house

HOUR = 3_600_000


def test_time_is_the_exchange_s_own() -> None:
    desk = open_desk()
    desk.clock.turn(1234)
    assert desk.send("GET", "/fapi/v1/time", key="").body == {"serverTime": START + 1234}
    assert desk.send("GET", "/api/v3/time", key="").body == {"serverTime": START + 1234}
    assert desk.send("GET", "/fapi/v1/ping", key="").body == {}


def test_the_rules_can_be_kept_by_a_client_that_reads_only_the_filters() -> None:
    desk = open_desk()
    for symbol in desk.send("GET", "/fapi/v1/exchangeInfo", key="")["symbols"]:  # type: ignore[attr-defined]
        filters = {each["filterType"]: each for each in symbol["filters"]}
        tick, step = Decimal(filters["PRICE_FILTER"]["tickSize"]), Decimal(filters["LOT_SIZE"]["stepSize"])
        mark = Decimal(str(desk.send("GET", "/fapi/v1/ticker/price", f"symbol={symbol['symbol']}")["price"]))
        price = mark * Decimal("0.98") // tick * tick
        quantity = (Decimal(filters["MIN_NOTIONAL"]["notional"]) / price // step + 1) * step
        quantity = max(quantity, Decimal(filters["LOT_SIZE"]["minQty"]))
        placed = desk.limit(symbol=symbol["symbol"], price=price, quantity=quantity)
        expected = 200 if symbol["quoteAsset"] == "USDT" else 400  # no money in the other asset
        assert placed.status == expected, placed.body


def test_the_rules_show_the_limits_and_the_types() -> None:
    rules = open_desk().send("GET", "/fapi/v1/exchangeInfo", key="")
    limits = {(each["rateLimitType"], each["interval"]): each["limit"] for each in rules["rateLimits"]}  # type: ignore[attr-defined]
    assert limits == {("REQUEST_WEIGHT", "MINUTE"): 2400, ("ORDERS", "MINUTE"): 1200, ("ORDERS", "SECOND"): 300}
    first = rules["symbols"][0]  # type: ignore[index]
    assert set(first) >= {"symbol", "pair", "contractType", "status", "baseAsset", "quoteAsset", "marginAsset", "filters", "orderTypes"}
    assert (first["pricePrecision"], first["quantityPrecision"]) == (1, 3)
    assert {"LIMIT", "STOP_MARKET"} <= set(first["orderTypes"])


@pytest.mark.parametrize("path", ["/fapi/v1/ticker/price", "/fapi/v1/ticker/bookTicker", "/fapi/v1/ticker/24hr", "/fapi/v1/premiumIndex"])
def test_prices_come_for_one_symbol_or_for_all(path: str) -> None:
    desk = open_desk()
    assert desk.send("GET", path, "symbol=BTCUSDT", key="")["symbol"] == "BTCUSDT"
    assert len(desk.send("GET", path, key="").rows) == len(desk.hall.venue.instruments)
    assert desk.send("GET", path, "symbol=NONE", key="").code == -1121


def test_the_book_is_not_crossed() -> None:
    desk = open_desk()
    ticker = desk.send("GET", "/fapi/v1/ticker/bookTicker", "symbol=BTCUSDT", key="")
    depth = desk.send("GET", "/fapi/v1/depth", "symbol=BTCUSDT", key="")
    assert Decimal(str(ticker["bidPrice"])) < Decimal(str(ticker["askPrice"]))
    bids, asks = ([Decimal(price) for price, _ in depth[side]] for side in ("bids", "asks"))  # type: ignore[attr-defined]
    assert bids == sorted(bids, reverse=True)
    assert asks == sorted(asks)
    assert bids[0] < asks[0]


DAY_AMOUNTS = ("priceChange", "priceChangePercent", "weightedAvgPrice", "lastPrice", "openPrice", "highPrice", "lowPrice", "volume")
DAY_NUMBERS = ("openTime", "closeTime", "firstId", "lastId", "count")


def day(desk: Desk) -> dict[str, Decimal]:
    """The numbers of the day, with the rules that every day keeps."""
    row = desk.send("GET", "/fapi/v1/ticker/24hr", "symbol=BTCUSDT", key="")
    assert all(isinstance(row[name], str) for name in (*DAY_AMOUNTS, "lastQty", "quoteVolume"))
    assert all(isinstance(row[name], int) for name in DAY_NUMBERS)
    told = {name: Decimal(str(row[name])) for name in (*DAY_AMOUNTS, *DAY_NUMBERS, "lastQty", "quoteVolume")}
    assert told["priceChange"] == told["lastPrice"] - told["openPrice"]
    for name in ("lastPrice", "openPrice", "weightedAvgPrice"):
        assert told["lowPrice"] <= told[name] <= told["highPrice"]
    assert told["closeTime"] == desk.clock.now() == told["openTime"] + 24 * HOUR
    return told


def test_a_day_without_trades_has_a_price_and_no_volume() -> None:
    told = day(open_desk())
    assert told["lastPrice"] == told["openPrice"] == 81_000
    assert told["volume"] == told["quoteVolume"] == told["count"] == 0
    assert told["firstId"] == told["lastId"] == -1


def test_a_day_holds_what_the_accounts_traded_and_forgets_it_after_a_day() -> None:
    desk = open_desk()
    for quantity in ("0.010", "0.030"):
        desk.market(quantity=quantity)
        desk.pass_time(1_000)
    fills = desk.contracts.fills(desk.account)
    desk.contracts.move_price("BTCUSDT", Decimal("80190"), desk.clock.now())
    told = day(desk)
    assert told["volume"] == Decimal("0.040") == sum(fill.quantity for fill in fills)
    assert told["quoteVolume"] == sum(fill.price * fill.quantity for fill in fills)
    assert told["count"] == len(fills)
    assert told["lastQty"] == fills[-1].quantity
    assert told["lastId"] == fills[-1].trade_id
    assert told["highPrice"] >= max(fill.price for fill in fills)
    assert told["lastPrice"] == 80_190
    assert told["priceChangePercent"] == -1
    desk.clock.turn(24 * HOUR)
    assert day(desk)["volume"] == 0


def test_two_accounts_that_trade_with_each_other_make_one_trade() -> None:
    house, clock, _ = open_house()
    one, two = (Desk(house, clock, account) for account in house.accounts)
    inside = one.contracts.last_price("BTCUSDT")  # above every bid of the outside market, below every ask
    one.limit(price=inside, quantity="0.010", side="SELL")
    two.limit(price=inside, quantity="0.010", side="BUY")
    [sold], [bought] = (desk.contracts.fills(desk.account) for desk in (one, two))
    assert sold.trade_id == bought.trade_id
    told = day(one)
    assert told["count"] == 1
    assert told["volume"] == sold.quantity


def test_market_history_is_empty() -> None:
    assert open_desk().send("GET", "/fapi/v1/klines", "symbol=BTCUSDT&interval=1m", key="").rows == []


def test_the_life_of_a_listen_key() -> None:
    desk = open_desk()
    first = desk.open_key()
    assert len(first) == 64
    desk.pass_time(59 * 60_000)
    assert desk.open_key() == first
    desk.pass_time(59 * 60_000)
    assert desk.send("PUT", "/fapi/v1/listenKey").body == {"listenKey": first}
    desk.pass_time(HOUR)
    gone = desk.send("PUT", "/fapi/v1/listenKey")
    assert (gone.status, gone.code) == (400, -1125)
    assert desk.open_key() != first


def test_a_deleted_listen_key_is_gone_without_a_word() -> None:
    desk = open_desk()
    lane = desk.listen()
    first = desk.open_key()
    assert desk.send("DELETE", "/fapi/v1/listenKey").body == {}
    assert desk.send("PUT", "/fapi/v1/listenKey").code == -1125
    desk.limit()
    assert desk.heard(lane) == []
    assert desk.open_key() != first


def test_accounts_have_keys_of_their_own_and_a_bad_api_key_has_none() -> None:
    house, clock, _ = open_house()
    one, two = (Desk(house, clock, account) for account in house.accounts)
    assert one.open_key() != two.open_key()
    assert one.send("POST", "/fapi/v1/listenKey", key="").status == 401
    assert one.send("POST", "/fapi/v1/listenKey", key="B" * 64).code == -2015
