"""What COIN-M is asked, and what its answers mean: contracts, coins, and settings that are told with the account."""

from __future__ import annotations

from decimal import Decimal

import pytest

from tests.unit.venues.binance.kit import COINM, answer, encoded, place, the_only
from tests.unit.venues.binance.test_answers import ALGO, ORDER, TRADE, changed
from tests.unit.venues.binance.test_rest import NOW, SINCE, UNTIL, dialect, parameters, read
from userstream.domain.events import AccountConfigChanged, BalanceMoved, BalanceSet, Event, Filled, OrderChanged, PositionSet
from userstream.domain.words import MarginType, Origin, PositionSide
from userstream.kernel.errors import DecodeError
from userstream.kernel.ids import Millis, OrderId, Symbol
from userstream.venues.binance.products import COIN_M
from userstream.venues.binance.rest import FuturesDialect
from userstream.wire.question import (
    AskBalances,
    AskClock,
    AskFills,
    AskMovements,
    AskOpenOrders,
    AskOrder,
    AskOrderFills,
    AskOrders,
    AskPositions,
    AskSettings,
    Question,
)

PERP = Symbol("BTCUSD_PERP")
WINDOW = {"startTime": str(SINCE), "endTime": str(UNTIL)}
POSITION: dict[str, object] = {
    "symbol": "BTCUSD_PERP",
    "positionAmt": "-4",
    "entryPrice": "80000.0",
    "breakEvenPrice": "79984.0",
    "markPrice": "80100.50000000",
    "unRealizedProfit": "-0.00000627",
    "liquidationPrice": "101234.5",
    "leverage": "20",
    "maxQty": "500",
    "marginType": "cross",
    "isolatedMargin": "0.00000000",
    "isAutoAddMargin": "false",
    "positionSide": "SHORT",
    "notionalValue": "-0.00499372",
    "isolatedWallet": "0",
    "updateTime": NOW - 5_000,
}
ACCOUNT: dict[str, object] = {
    "assets": [{"asset": "BTC", "walletBalance": "1.25000000"}],
    "positions": [
        {"symbol": "BTCUSD_PERP", "positionAmt": "0", "leverage": "20", "isolated": True, "positionSide": "BOTH"},
        {"symbol": "BTCUSD_PERP", "positionAmt": "-4", "leverage": "20", "isolated": True, "positionSide": "SHORT"},
        {"symbol": "ETHUSD_PERP", "positionAmt": "0", "leverage": 10, "isolated": False, "positionSide": "BOTH"},
    ],
    "canDeposit": True,
    "canTrade": True,
    "canWithdraw": True,
    "feeTier": 2,
    "updateTime": 0,
}


@pytest.mark.parametrize(
    ("question", "path", "weight", "told"),
    [
        (AskClock(), "/dapi/v1/time", 1, {}),
        (AskBalances(), "/dapi/v1/balance", 1, {}),
        (AskPositions(), "/dapi/v1/positionRisk", 1, {}),
        (AskSettings(), "/dapi/v1/positionSide/dual", 30, {}),
        (AskSettings(symbol_settings=True), "/dapi/v1/account", 5, {}),
        (AskOpenOrders(conditional=False), "/dapi/v1/openOrders", 40, {}),
        (AskOpenOrders(conditional=True), "/dapi/v1/openAlgoOrders", 40, {}),
        (AskOrder(PERP, OrderId("77"), False), "/dapi/v1/order", 1, {"symbol": PERP, "orderId": "77"}),
        (AskOrder(PERP, OrderId("77"), True), "/dapi/v1/algoOrder", 1, {"algoId": "77"}),
        (AskOrders(SINCE, UNTIL, PERP), "/dapi/v1/allOrders", 5, {"symbol": PERP, **WINDOW, "limit": "100"}),
        (AskOrders(SINCE, UNTIL, PERP, "78"), "/dapi/v1/allOrders", 5, {"symbol": PERP, "orderId": "78", "limit": "100"}),
        (
            AskOrders(SINCE, UNTIL, PERP, conditional=True),
            "/dapi/v1/allAlgoOrders",
            5,
            {"symbol": PERP, **WINDOW, "limit": "100"},
        ),
        (AskFills(PERP, SINCE, UNTIL), "/dapi/v1/userTrades", 5, {"symbol": PERP, **WINDOW, "limit": "1000"}),
        (AskFills(PERP, SINCE, UNTIL, "5"), "/dapi/v1/userTrades", 5, {"symbol": PERP, "fromId": "5", "limit": "1000"}),
        (
            AskOrderFills(PERP, OrderId("77"), SINCE, UNTIL),
            "/dapi/v1/userTrades",
            5,
            {"symbol": PERP, "orderId": "77", **WINDOW, "limit": "1000"},
        ),
        (AskMovements(SINCE, UNTIL, "3"), "/dapi/v1/income", 20, {**WINDOW, "page": "3", "limit": "1000"}),
    ],
)
def test_each_question_is_its_call(question: Question, path: str, weight: int, told: dict[str, str]) -> None:
    request = dialect(COIN_M).request(question, NOW)
    assert (request.method, request.target.reveal().partition("?")[0], request.label) == ("GET", path, f"GET {path}")
    assert (request.weight, dialect(COIN_M).weight(question)) == (weight, weight)
    assert parameters(question, COIN_M) == told


def facts(question: Question, body: object) -> tuple[Event, ...]:
    given = read(question, answer(body), COIN_M)
    assert all(event.venue == "binance-coinm" for event in given.events)
    return given.events


def test_wallets_are_coins() -> None:
    row = {
        "accountAlias": "SgsRfWuX",
        "asset": "BTC",
        "balance": "1.25000000",
        "withdrawAvailable": "1.10000000",
        "crossWalletBalance": "1.20000000",
        "crossUnPnl": "-0.00000627",
        "availableBalance": "1.15000000",
        "updateTime": NOW,
    }
    wallet = the_only(BalanceSet, facts(AskBalances(), [row]))
    assert (wallet.asset, str(wallet.total), str(wallet.cross_total), str(wallet.available)) == (
        "BTC",
        "1.25000000",
        "1.20000000",
        "1.15000000",
    )


def test_positions_are_contracts_with_their_margin_type() -> None:
    leg = the_only(PositionSet, facts(AskPositions(), [POSITION]))
    assert (leg.symbol, leg.position_side, leg.amount, leg.margin_type) == (PERP, PositionSide.SHORT, Decimal(-4), MarginType.CROSS)
    assert (leg.transaction_time, leg.mark_price) == (NOW - 5_000, Decimal("80100.5"))


def test_legs_never_touched_are_left_out_of_the_list_of_all_symbols() -> None:
    untouched = {**POSITION, "symbol": "XRPUSD_PERP", "positionAmt": "0", "updateTime": 0}
    closed = {**POSITION, "symbol": "ETHUSD_PERP", "positionAmt": "0"}
    found = facts(AskPositions(), [POSITION, untouched, closed])
    assert [leg.symbol for leg in found if isinstance(leg, PositionSet)] == ["BTCUSD_PERP", "ETHUSD_PERP"]


def test_modes_and_settings_are_asked_in_two_places() -> None:
    first = read(AskSettings(), answer({"dualSidePosition": True}), COIN_M)
    modes = the_only(AccountConfigChanged, first.events)
    assert (modes.hedge_mode, modes.can_trade, modes.multi_asset_mode) == (True, None, None)
    assert first.more == (AskSettings(symbol_settings=True),)
    second = read(first.more[0], answer(ACCOUNT), COIN_M)
    assert second.more == ()
    told = [event for event in second.events if isinstance(event, AccountConfigChanged)]
    assert [(event.symbol, event.leverage, event.margin_type, event.can_trade) for event in told] == [
        (None, None, None, True),
        ("BTCUSD_PERP", 20, MarginType.ISOLATED, None),
        ("ETHUSD_PERP", 10, MarginType.CROSS, None),
    ]


@pytest.mark.parametrize("leverage", ["", "-1", "1.5", "x", "9" * 400, "\u0662", None])
def test_a_leverage_that_is_no_count_is_named(leverage: object) -> None:
    account = {**ACCOUNT, "positions": [{"symbol": "BTCUSD_PERP", "leverage": leverage, "isolated": True}]}
    with pytest.raises(DecodeError, match=r"GET /dapi/v1/account: field positions.*leverage"):
        facts(AskSettings(symbol_settings=True), account)


def test_orders_and_fills_in_contracts() -> None:
    order = changed(ORDER, symbol=PERP, origQty="10", executedQty="4", cumBase="0.00500000", cumQuote="4", pair="BTCUSD")
    told = the_only(OrderChanged, facts(AskOrder(PERP, OrderId("1"), False), order))
    assert (told.symbol, told.quantity, told.filled_quantity) == (PERP, Decimal(10), Decimal(4))
    trade = changed(
        TRADE, symbol=PERP, pair="BTCUSD", qty="4", baseQty="0.00500000", marginAsset="BTC", commission="0.00000100", commissionAsset="BTC"
    )
    fill = the_only(Filled, facts(AskFills(PERP, SINCE, Millis(NOW + 10_000)), b"[%b]" % trade))
    assert (fill.symbol, fill.quantity, fill.fee, fill.fee_asset) == (PERP, Decimal(4), Decimal("0.000001"), "BTC")


def test_a_delivery_is_told_by_the_id_of_its_order() -> None:
    order = changed(ORDER, symbol="BTCUSD_261225", clientOrderId="delivery_autoclose-1798185600000")
    [told] = facts(AskOpenOrders(conditional=False), b"[%b]" % order)
    assert isinstance(told, OrderChanged) and told.origin is Origin.SETTLEMENT


def test_conditional_orders_are_read_as_on_the_other_product() -> None:
    told = the_only(OrderChanged, facts(AskOpenOrders(conditional=True), b"[%b]" % changed(ALGO, symbol=PERP, quantity="4")))
    assert (told.conditional, told.symbol, told.quantity) == (True, PERP, Decimal(4))


def test_income_is_coins_and_names_trades() -> None:
    rows = [
        {
            "symbol": PERP,
            "incomeType": kind,
            "income": "-0.00001250",
            "asset": "BTC",
            "info": "",
            "time": NOW,
            "tranId": 9,
            "tradeId": trade,
        }
        for kind, trade in (("FUNDING_FEE", ""), ("COMMISSION", "7300001"), ("REALIZED_PNL", 7300001))
    ]
    told = read(AskMovements(SINCE, UNTIL), answer(encoded(rows)), COIN_M)
    moved = the_only(BalanceMoved, told.events)
    assert (moved.asset, moved.delta, moved.symbol, moved.reason) == ("BTC", Decimal("-0.0000125"), PERP, "funding_fee")
    assert told.traded == ((PERP, "7300001"),)


def test_past_orders_are_told_by_symbol_and_the_symbols_of_the_settings_are_always_read() -> None:
    traits = FuturesDialect(place(venue=COINM, symbols=(PERP,)), COIN_M).traits()
    assert (traits.by_symbol, traits.symbols, traits.movements, traits.positions) == (True, (PERP,), True, True)
    other = FuturesDialect(place(symbols=(PERP,))).traits()
    assert (other.by_symbol, other.symbols) == (False, ())
