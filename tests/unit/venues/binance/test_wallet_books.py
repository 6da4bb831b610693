"""What margin is asked, cross and isolated, and what its accounts' answers mean."""

from __future__ import annotations

from decimal import Decimal
from urllib.parse import parse_qsl

import pytest

from tests.unit.venues.binance.kit import answer, place
from userstream.domain.events import AccountConfigChanged, BalanceSet, Filled, LiabilityChanged, OrderChanged
from userstream.domain.words import Source
from userstream.kernel.errors import DecodeError, RequestRefused
from userstream.kernel.ids import Millis, OrderId, Symbol, VenueName
from userstream.venues import find_venue
from userstream.wire.question import (
    AskBalances,
    AskClock,
    AskFills,
    AskMovements,
    AskOpenOrders,
    AskOrder,
    AskOrderFills,
    AskOrderList,
    AskOrderLists,
    AskOrders,
    AskSymbols,
    Pair,
    Question,
    RestDialect,
)

MARGIN = find_venue("binance-margin")
NOW = Millis(1_790_000_000_000)
SINCE = Millis(NOW - 3_600_000)
ETH = Symbol("ETHUSDT")
WINDOW = {"startTime": str(SINCE), "endTime": str(NOW)}
ISOLATED = {"isIsolated": "TRUE"}
WALLET = {"asset": "USDT", "borrowed": "500.0", "free": "120.5", "interest": "0.01", "locked": "4.5", "netAsset": "-375.01"}
ORDER = {
    "symbol": "ETHUSDT",
    "orderId": 5293153001,
    "clientOrderId": "svc7-m-41",
    "price": "2875.1",
    "origQty": "1.5",
    "executedQty": "0.5",
    "cummulativeQuoteQty": "1437.55",
    "status": "PARTIALLY_FILLED",
    "timeInForce": "GTC",
    "type": "LIMIT",
    "side": "SELL",
    "stopPrice": "0",
    "icebergQty": "0",
    "time": NOW,
    "updateTime": NOW,
    "isWorking": True,
    "isIsolated": False,
    "accountId": 1,
}
TRADE = {
    "id": 87001,
    "orderId": 5293153001,
    "symbol": "ETHUSDT",
    "price": "2875.1",
    "qty": "0.5",
    "commission": "1.4",
    "time": NOW,
    "commissionAsset": "USDT",
    "isBuyer": False,
    "isMaker": True,
    "isBestMatch": True,
    "isIsolated": False,
}


def dialect(isolated: str = "") -> RestDialect:
    return MARGIN.make_dialect(place(venue=VenueName("binance-margin"), endpoints=MARGIN.real, isolated_symbol=Symbol(isolated)))


@pytest.mark.parametrize(
    ("question", "path", "weight", "cross", "isolated"),
    [
        (AskClock(), "/api/v3/time", 1, {}, {}),
        (AskSymbols(), "/api/v3/exchangeInfo", 20, {}, {}),
        (AskBalances(), "/sapi/v1/margin/account", 10, {}, {"symbols": "ETHUSDT"}),
        (AskOpenOrders(conditional=False), "/sapi/v1/margin/openOrders", 10, {}, {"symbol": "ETHUSDT", **ISOLATED}),
        (
            AskOrder(ETH, OrderId("7"), False),
            "/sapi/v1/margin/order",
            10,
            {"symbol": "ETHUSDT", "orderId": "7"},
            {"symbol": "ETHUSDT", "orderId": "7", **ISOLATED},
        ),
        (
            AskOrders(SINCE, NOW, ETH),
            "/sapi/v1/margin/allOrders",
            200,
            {"symbol": "ETHUSDT", **WINDOW, "limit": "500"},
            {"symbol": "ETHUSDT", **WINDOW, "limit": "500", **ISOLATED},
        ),
        (
            AskFills(ETH, SINCE, NOW, "5"),
            "/sapi/v1/margin/myTrades",
            10,
            {"symbol": "ETHUSDT", "fromId": "5", "limit": "1000"},
            {"symbol": "ETHUSDT", "fromId": "5", "limit": "1000", **ISOLATED},
        ),
        (
            AskOrderFills(ETH, OrderId("7"), SINCE, NOW),
            "/sapi/v1/margin/myTrades",
            10,
            {"symbol": "ETHUSDT", "orderId": "7", "fromId": "0", "limit": "1000"},
            {"symbol": "ETHUSDT", "orderId": "7", "fromId": "0", "limit": "1000", **ISOLATED},
        ),
        (AskOrderLists(), "/sapi/v1/margin/openOrderList", 10, {}, {"symbol": "ETHUSDT", **ISOLATED}),
        (
            AskOrderList("5"),
            "/sapi/v1/margin/orderList",
            10,
            {"orderListId": "5"},
            {"orderListId": "5", "symbol": "ETHUSDT", **ISOLATED},
        ),
    ],
)
def test_each_question_is_its_call(question: Question, path: str, weight: int, cross: dict[str, str], isolated: dict[str, str]) -> None:
    for asker, told in ((dialect(), cross), (dialect("ETHUSDT"), isolated)):
        asked, _, query = asker.request(question, NOW).target.reveal().partition("?")
        said = {name: value for name, value in parse_qsl(query) if name not in ("recvWindow", "timestamp", "signature")}
        assert asked.replace("margin/isolated/account", "margin/account") == path
        assert (asker.weight(question), said) == (weight, told)


def test_what_margin_has_not_is_refused_by_its_name() -> None:
    with pytest.raises(RequestRefused, match="margin cannot be asked AskMovements"):
        dialect().request(AskMovements(SINCE, NOW), NOW)


@pytest.mark.parametrize(
    "question",
    [
        AskOrder(Symbol("BTCUSDT"), OrderId("7"), False),
        AskOrders(SINCE, NOW, Symbol("BTCUSDT")),
        AskFills(Symbol("BTCUSDT"), SINCE, NOW),
        AskOrderFills(Symbol("BTCUSDT"), OrderId("7"), SINCE, NOW),
    ],
)
def test_an_isolated_pair_is_never_asked_about_another_ones_account(question: Question) -> None:
    traits = dialect("ETHUSDT").traits()
    assert (traits.symbols, traits.only_symbols, dialect().traits().only_symbols) == ((ETH,), True, False)
    with pytest.raises(RequestRefused, match="margin of ETHUSDT cannot be asked about BTCUSDT"):
        dialect("ETHUSDT").request(question, NOW)


def test_margin_searches_the_pairs_that_have_margin() -> None:
    pairs = [
        {"symbol": f"{base}USDT", "status": "TRADING", "baseAsset": base, "quoteAsset": "USDT", "isMarginTradingAllowed": base == "ETH"}
        for base in ("ETH", "NEW")
    ]
    assert dialect().answer(AskSymbols(), answer({"symbols": pairs}), NOW, NOW).pairs == (Pair(ETH, "ETH", "USDT"),)


def test_the_cross_accounts_wallets_hold_what_was_borrowed() -> None:
    body = {"borrowEnabled": True, "marginLevel": "1.6", "tradeEnabled": True, "userAssets": [WALLET]}
    wallet, rights, _ = dialect().answer(AskBalances(), answer(body), NOW, NOW).events
    assert isinstance(wallet, BalanceSet) and isinstance(rights, AccountConfigChanged)
    assert (wallet.asset, wallet.total, wallet.available, wallet.transaction_time) == ("USDT", Decimal(125), Decimal("120.5"), 0)
    assert rights.can_trade is True


def test_an_isolated_pair_has_two_wallets() -> None:
    pair = {"symbol": "ETHUSDT", "baseAsset": {**WALLET, "asset": "ETH"}, "quoteAsset": WALLET, "tradeEnabled": False}
    told = dialect("ETHUSDT").answer(AskBalances(), answer({"assets": [pair]}), NOW, NOW).events
    assert [event.asset for event in told if isinstance(event, BalanceSet)] == ["ETH", "USDT"]
    assert [event.can_trade for event in told if isinstance(event, AccountConfigChanged)] == [False]
    assert dialect("ETHUSDT").answer(AskBalances(), answer({"assets": []}), NOW, NOW).events == ()


def test_what_is_owed_is_told_by_the_account_that_owes_it_and_never_by_spot() -> None:
    free = {**WALLET, "asset": "BNB", "borrowed": "0", "interest": "0"}
    only_interest = {**free, "asset": "ETH", "interest": "0.5"}
    cross = dialect().answer(AskBalances(), answer({"userAssets": [WALLET, free, only_interest]}), NOW, NOW)
    pair = {"symbol": "ETHUSDT", "baseAsset": only_interest, "quoteAsset": WALLET}
    isolated = dialect("ETHUSDT").answer(AskBalances(), answer({"assets": [pair]}), NOW, NOW)
    for read in (cross, isolated):
        owed = {event.asset: event for event in read.events if isinstance(event, LiabilityChanged)}
        assert {asset: (str(debt.principal), str(debt.interest)) for asset, debt in owed.items()} == {
            "USDT": ("500.0", "0.01"),
            "ETH": ("0", "0.5"),
        }
        assert {(debt.reason, debt.source, debt.transaction_time) for debt in owed.values()} == {("reading", Source.SNAPSHOT, NOW)}
    spot = (
        find_venue("binance-spot")
        .make_dialect(place(venue=VenueName("binance-spot")))
        .answer(AskBalances(), answer({"updateTime": NOW, "balances": [free]}), NOW, NOW)
    )
    assert [type(event) for event in spot.events] == [BalanceSet]


@pytest.mark.parametrize("amount", ["NaN", "Infinity", "1e999"])
def test_a_debt_that_can_be_no_amount_is_refused(amount: str) -> None:
    with pytest.raises(DecodeError):
        dialect().answer(AskBalances(), answer({"userAssets": [{**WALLET, "borrowed": amount}]}), NOW, NOW)


def test_orders_and_fills_are_read_as_spots() -> None:
    [order] = dialect().answer(AskOpenOrders(conditional=False), answer([ORDER]), NOW, NOW).events
    [fill] = dialect().answer(AskFills(ETH, SINCE, NOW), answer([TRADE]), NOW, NOW).events
    assert isinstance(order, OrderChanged) and isinstance(fill, Filled)
    assert (order.venue, order.filled_quantity, fill.quantity, fill.fee_asset) == (MARGIN.name, Decimal("0.5"), Decimal("0.5"), "USDT")


def test_a_smaller_page_of_orders_leads_on() -> None:
    rows = [{**ORDER, "orderId": 100 + number} for number in range(500)]
    told = dialect().answer(AskOrders(SINCE, NOW, ETH), answer(rows), NOW, NOW)
    assert told.more == (AskOrders(SINCE, NOW, ETH, cursor="600"),)
