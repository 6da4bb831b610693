"""Reading balances, positions and settings of an account, in the versions that clients still call (Binance USD-M, 6.1)."""

from collections.abc import Sequence
from decimal import Decimal
from functools import cached_property

from userstream.sim.books import ZERO, Balance, Order, Position, PositionSide
from userstream.sim.dialects.binance_calls import limit_rows
from userstream.sim.dialects.binance_futures_calls import MANNERS, Endpoint, Request
from userstream.sim.dialects.binance_futures_objects import (
    alias_of,
    balance_row,
    max_notional,
    notionals_of,
    old_position_row,
    order_margin,
    position_row,
    symbol_config_row,
)
from userstream.sim.dialects.binance_futures_words import text_of, word_of
from userstream.sim.dialects.binance_rights import rights_of
from userstream.sim.venue import Json


class Picture:
    """An account's balances, positions and open orders at one moment, with the sums that several calls show. Liquidation prices need a
    look at all of the account, so that only a picture `with_liquidation` has them."""

    def __init__(self, request: Request, *, with_liquidation: bool = False) -> None:
        self._request = request
        self._with_liquidation = with_liquidation

    @cached_property
    def balances(self) -> Sequence[Balance]:
        return self._request.books.balances(self._request.account)

    @cached_property
    def positions(self) -> Sequence[Position]:
        """Of every symbol, flat ones too."""
        books, account = self._request.books, self._request.account
        return books.positions(account, all=True) if self._with_liquidation else books.told_positions(account)

    @cached_property
    def _orders(self) -> dict[tuple[str, PositionSide], list[Order]]:
        found: dict[tuple[str, PositionSide], list[Order]] = {}
        for order in self._request.books.open_orders(self._request.account):
            found.setdefault((order.symbol, order.position_side), []).append(order)
        return found

    def orders(self, position: Position) -> list[Order]:
        return self._orders.get((position.symbol, position.position_side), [])

    def shown(self, symbol: str | None = None) -> list[Position]:
        """Only positions that are not flat or have open orders."""
        return [each for each in self.positions if symbol in (None, each.symbol) and (each.amount or self.orders(each))]

    def of_asset(self, asset: str) -> list[Position]:
        return [each for each in self.positions if self._request.exchange.instruments[each.symbol].margin_asset == asset]

    def profit(self, asset: str, *, cross_only: bool = False) -> Decimal:
        chosen = (each for each in self.of_asset(asset) if not (cross_only and each.margin_type == "isolated"))
        return sum((each.unrealized_pnl for each in chosen), ZERO)

    def position_margin(self, asset: str) -> Decimal:
        return sum((each.initial_margin for each in self.of_asset(asset)), ZERO)

    def order_margin(self, asset: str) -> Decimal:
        return sum((self._order_margin(each) for each in self.of_asset(asset)), ZERO)

    def _order_margin(self, position: Position) -> Decimal:
        contract = self._request.exchange.instruments[position.symbol].contract
        return order_margin(position, notionals_of(self.orders(position), contract), contract)

    def maintenance_margin(self, asset: str) -> Decimal:
        return sum((each.maintenance_margin for each in self.of_asset(asset)), ZERO)


def adl_rank(position: Position) -> int:
    """0 to 4: who is closed first when counterparties run out; more profit and more leverage come first."""
    if not position.amount:
        return 0
    return 1 + (position.unrealized_pnl > 0) + (position.leverage > 10) + (position.leverage > 25)


def get_balance(request: Request) -> Json:
    picture = Picture(request)
    alias = alias_of(request.account)
    return [balance_row(balance, alias, picture.profit(balance.asset, cross_only=True)) for balance in picture.balances]


def get_positions(request: Request) -> Json:
    """`v3/positionRisk`: only symbols with a position or an open order."""
    picture = Picture(request, with_liquidation=True)
    return [
        position_row(position, request.instrument(position.symbol), picture.orders(position), adl_rank(position))
        for position in picture.shown(request.maybe_symbol())
    ]


def get_old_positions(request: Request) -> Json:
    """`v2/positionRisk`: all symbols, with leverage and margin type."""
    symbol = request.maybe_symbol()
    positions = request.books.positions(request.account, all=True)
    return [old_position_row(position) for position in positions if symbol in (None, position.symbol)]


def get_account(request: Request) -> Json:
    """`v3/account`: positions without leverage, entry price and margin type."""
    picture = Picture(request)
    return {
        **_totals(picture, request),
        "assets": [asset_row(balance, picture) for balance in picture.balances],
        "positions": [_account_position(position, picture, request) for position in picture.shown()],
    }


def get_old_account(request: Request) -> Json:
    """`v2/account`: the settings and all symbols as well."""
    picture = Picture(request)
    settings = request.books.settings(request.account)
    return {
        "feeTier": settings.fee_tier,
        "feeBurn": bool(request.exchange.fee_asset(request.account)),
        "canTrade": settings.can_trade,
        "canDeposit": True,
        "canWithdraw": True,
        "updateTime": 0,
        "multiAssetsMargin": settings.multi_assets,
        "tradeGroupId": -1,
        **_totals(picture, request),
        "assets": [asset_row(balance, picture) | {"marginAvailable": True} for balance in picture.balances],
        "positions": [_old_account_position(position, picture, request) for position in picture.positions],
    }


def _totals(picture: Picture, request: Request) -> dict[str, Json]:
    """Sums in the quote asset of most contracts; other assets are only in `assets`."""
    asset = next(iter(request.exchange.instruments.values())).margin_asset
    balance = next((each for each in picture.balances if each.asset == asset), Balance(account=request.account, asset=asset))
    profit, position_margin, order_margin = picture.profit(asset), picture.position_margin(asset), picture.order_margin(asset)
    return {
        "totalInitialMargin": text_of(position_margin + order_margin),
        "totalMaintMargin": text_of(picture.maintenance_margin(asset)),
        "totalWalletBalance": text_of(balance.wallet),
        "totalUnrealizedProfit": text_of(profit),
        "totalMarginBalance": text_of(balance.wallet + profit),
        "totalPositionInitialMargin": text_of(position_margin),
        "totalOpenOrderInitialMargin": text_of(order_margin),
        "totalCrossWalletBalance": text_of(balance.cross_wallet),
        "totalCrossUnPnl": text_of(picture.profit(asset, cross_only=True)),
        "availableBalance": text_of(balance.available),
        "maxWithdrawAmount": text_of(max(min(balance.available, balance.cross_wallet), ZERO)),
    }


def asset_row(balance: Balance, picture: Picture) -> dict[str, Json]:
    profit = picture.profit(balance.asset)
    position_margin, order_margin = picture.position_margin(balance.asset), picture.order_margin(balance.asset)
    return {
        "asset": balance.asset,
        "walletBalance": text_of(balance.wallet),
        "unrealizedProfit": text_of(profit),
        "marginBalance": text_of(balance.wallet + profit),
        "maintMargin": text_of(picture.maintenance_margin(balance.asset)),
        "initialMargin": text_of(position_margin + order_margin),
        "positionInitialMargin": text_of(position_margin),
        "openOrderInitialMargin": text_of(order_margin),
        "crossWalletBalance": text_of(balance.cross_wallet),
        "crossUnPnl": text_of(picture.profit(balance.asset, cross_only=True)),
        "availableBalance": text_of(balance.available),
        "maxWithdrawAmount": text_of(max(min(balance.available, balance.cross_wallet), ZERO)),
        "updateTime": balance.updated_time,
    }


def _account_position(position: Position, picture: Picture, request: Request) -> dict[str, Json]:
    row = position_row(position, request.instrument(position.symbol), picture.orders(position), adl_rank(position))
    names = ("symbol", "positionSide", "positionAmt", "isolatedMargin", "isolatedWallet", "notional", "initialMargin", "maintMargin")
    return {
        **{name: row[name] for name in names},
        "unrealizedProfit": row["unRealizedProfit"],
        "updateTime": position.updated_time,
    }


def _old_account_position(position: Position, picture: Picture, request: Request) -> dict[str, Json]:
    row = position_row(position, request.instrument(position.symbol), picture.orders(position), adl_rank(position))
    names = (
        "symbol",
        "initialMargin",
        "maintMargin",
        "positionInitialMargin",
        "openOrderInitialMargin",
        "entryPrice",
        "breakEvenPrice",
        "positionSide",
        "positionAmt",
        "notional",
        "isolatedWallet",
        "bidNotional",
        "askNotional",
        "updateTime",
    )
    return {
        **{name: row[name] for name in names},
        "unrealizedProfit": row["unRealizedProfit"],
        "leverage": str(position.leverage),
        "isolated": position.margin_type == "isolated",
        "maxNotional": str(max_notional(position.leverage)),
    }


def get_symbol_config(request: Request) -> Json:
    symbol = request.maybe_symbol()
    rows: dict[str, Json] = {}
    for position in request.books.told_positions(request.account):
        if symbol in (None, position.symbol):
            rows.setdefault(position.symbol, symbol_config_row(position))
    return list(rows.values())


def get_account_config(request: Request) -> Json:
    settings = request.books.settings(request.account)
    return {
        "feeTier": settings.fee_tier,
        "canTrade": settings.can_trade,
        "canDeposit": True,
        "canWithdraw": True,
        "dualSidePosition": settings.hedge_mode,
        "updateTime": 0,
        "multiAssetsMargin": settings.multi_assets,
        "tradeGroupId": -1,
    }


def get_position_mode(request: Request) -> Json:
    return {"dualSidePosition": request.books.settings(request.account).hedge_mode}


def get_asset_mode(request: Request) -> Json:
    return {"multiAssetsMargin": request.books.settings(request.account).multi_assets}


def get_brackets(request: Request) -> Json:
    """One bracket for each symbol; the paper exchange has one maintenance rate."""
    wanted = request.maybe_symbol()
    rows: list[Json] = [
        {
            "symbol": instrument.symbol,
            "notionalCoef": "1.00",
            "brackets": [
                {
                    "bracket": 1,
                    "initialLeverage": instrument.max_leverage,
                    "notionalCap": max_notional(1),
                    "notionalFloor": 0,
                    "maintMarginRatio": text_of(instrument.maintenance_rate),
                    "cum": 0,
                }
            ],
        }
        for instrument in request.exchange.instruments.values()
        if wanted in (None, instrument.symbol)
    ]
    return rows if wanted is None else rows[0]


def get_fees(request: Request) -> Json:
    instrument = request.instrument(request.symbol())
    return {
        "symbol": instrument.symbol,
        "makerCommissionRate": text_of(instrument.maker_fee),
        "takerCommissionRate": text_of(instrument.taker_fee),
        "rpiCommissionRate": "0.000050",
    }


def get_adl(request: Request) -> Json:
    symbol = request.maybe_symbol()
    ranks: dict[str, dict[str, Json]] = {}
    for position in request.books.positions(request.account):
        if symbol in (None, position.symbol):
            ranks.setdefault(position.symbol, {})[word_of(position.position_side)] = adl_rank(position)
    return [{"symbol": name, "adlQuantile": sides} for name, sides in ranks.items()]


def get_fee_burn(request: Request) -> Json:
    """Whether fees are paid in the venue's own coin."""
    return {"feeBurn": bool(request.exchange.fee_asset(request.account))}


def get_order_rates(request: Request) -> Json:
    return [*limit_rows(request.room, MANNERS)[1:]]


def get_key_rights(request: Request) -> Json:
    """What the asking key may do; asked for on the spot address, served here for clients that check a key before they use it."""
    return rights_of(request.key, futures=True)


ENDPOINTS = (
    *(Endpoint(method="GET", path=f"/fapi/{version}/balance", handler=get_balance, weight=5) for version in ("v1", "v2", "v3")),
    *(Endpoint(method="GET", path=f"/fapi/{version}/account", handler=get_old_account, weight=5) for version in ("v1", "v2")),
    *(Endpoint(method="GET", path=f"/fapi/{version}/positionRisk", handler=get_old_positions, weight=5) for version in ("v1", "v2")),
    Endpoint(method="GET", path="/fapi/v3/account", handler=get_account, weight=5),
    Endpoint(method="GET", path="/fapi/v3/positionRisk", handler=get_positions, weight=5),
    Endpoint(method="GET", path="/fapi/v1/symbolConfig", handler=get_symbol_config, weight=5),
    Endpoint(method="GET", path="/fapi/v1/accountConfig", handler=get_account_config, weight=5),
    Endpoint(method="GET", path="/fapi/v1/positionSide/dual", handler=get_position_mode, weight=30),
    Endpoint(method="GET", path="/fapi/v1/multiAssetsMargin", handler=get_asset_mode, weight=30),
    Endpoint(method="GET", path="/fapi/v1/feeBurn", handler=get_fee_burn, weight=30),
    Endpoint(method="GET", path="/fapi/v1/leverageBracket", handler=get_brackets),
    Endpoint(method="GET", path="/fapi/v1/commissionRate", handler=get_fees, weight=20),
    Endpoint(method="GET", path="/fapi/v1/adlQuantile", handler=get_adl, weight=5),
    Endpoint(method="GET", path="/fapi/v1/rateLimit/order", handler=get_order_rates),
    Endpoint(method="GET", path="/sapi/v1/account/apiRestrictions", handler=get_key_rights),
)
