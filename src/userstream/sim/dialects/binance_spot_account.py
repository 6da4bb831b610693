"""The account itself: balances, commission, order counts, rights of the key (Binance Spot, 6.2)."""

from userstream.sim.books import Balance, Instrument
from userstream.sim.dialects.binance_rights import rights_of
from userstream.sim.dialects.binance_spot_calls import Endpoint, Request
from userstream.sim.dialects.binance_spot_public import rate_limits
from userstream.sim.dialects.binance_spot_words import text_of
from userstream.sim.spot.instruments import FEE
from userstream.sim.spot.world import FEE_DISCOUNT
from userstream.sim.venue import Json

NOTHING = "0.00000000"
FIRST_USER = 354_937_000
BASIS_POINTS = 10_000


def get_account(request: Request) -> Json:
    balances = request.books.balances(request.account)
    settings = request.books.settings(request.account)
    without_empty = request.parameters.flag("omitZeroBalances")
    fee = int(FEE * BASIS_POINTS)
    return {
        "makerCommission": fee,
        "takerCommission": fee,
        "buyerCommission": 0,
        "sellerCommission": 0,
        "commissionRates": {"maker": text_of(FEE), "taker": text_of(FEE), "buyer": NOTHING, "seller": NOTHING},
        "canTrade": settings.can_trade,
        "canWithdraw": True,
        "canDeposit": True,
        "brokered": False,
        "requireSelfTradePrevention": False,
        "preventSor": False,
        "updateTime": max((balance.updated_time for balance in balances), default=0),
        "accountType": "SPOT",
        "balances": [balance_row(balance) for balance in balances if balance.wallet or not without_empty],
        "permissions": ["SPOT"],
        "uid": FIRST_USER + request.exchange.number(request.account),
    }


def balance_row(balance: Balance) -> dict[str, Json]:
    return {"asset": balance.asset, "free": text_of(balance.available), "locked": text_of(balance.wallet - balance.available)}


def commission(request: Request, instrument: Instrument) -> dict[str, Json]:
    rates: dict[str, Json] = {
        "maker": text_of(instrument.maker_fee),
        "taker": text_of(instrument.taker_fee),
        "buyer": NOTHING,
        "seller": NOTHING,
    }
    none: dict[str, Json] = dict.fromkeys(rates, NOTHING)
    fee_asset = request.exchange.fee_asset(request.account)
    return {
        "standardCommission": rates,
        "specialCommission": none,
        "taxCommission": none,
        "discount": {
            "enabledForAccount": bool(fee_asset),
            "enabledForSymbol": True,
            "discountAsset": fee_asset or "BNB",
            "discount": text_of(FEE_DISCOUNT),
        },
    }


def get_commission(request: Request) -> Json:
    instrument = request.instrument(request.symbol())
    return {"symbol": instrument.symbol, **commission(request, instrument)}


def get_order_rates(request: Request) -> Json:
    """How many orders the account has counted in the running windows."""
    use = request.room.limits.account(request.room.owner(request.user)).use(request.now)
    counts = {"SECOND": use.ten_seconds, "DAY": use.day}
    return [{**row, "count": counts[str(row["interval"])]} for row in rate_limits(request) if row["rateLimitType"] == "ORDERS"]


def get_key_rights(request: Request) -> Json:
    """What the asking key may do; clients check a key with it before they use it."""
    return rights_of(request.key, spot=True, margin=request.account != request.user)


def get_coins(request: Request) -> Json:
    """All coins with what the account has of them, without networks: nothing here travels on a chain."""
    balances = {balance.asset: balance for balance in request.books.balances(request.account)}
    traded = {asset for each in request.exchange.instruments.values() for asset in (each.base, each.quote)}
    return [
        _coin_row(asset, balances.get(asset, Balance(account=request.account, asset=asset))) for asset in sorted(traded | set(balances))
    ]


def _coin_row(asset: str, balance: Balance) -> dict[str, Json]:
    empty = dict.fromkeys(("freeze", "ipoable", "ipoing", "storage", "withdrawing"), NOTHING)
    return {
        "coin": asset,
        "name": asset,
        "depositAllEnable": True,
        "withdrawAllEnable": True,
        "free": text_of(balance.available),
        "locked": text_of(balance.wallet - balance.available),
        **empty,
        "isLegalMoney": False,
        "trading": True,
        "networkList": [],
    }


PATH = "/api/v3/"
ENDPOINTS = (
    Endpoint(method="GET", path=PATH + "account", handler=get_account, weight=20),
    Endpoint(method="GET", path=PATH + "account/commission", handler=get_commission, weight=20),
    Endpoint(method="GET", path=PATH + "rateLimit/order", handler=get_order_rates, weight=40),
    Endpoint(method="GET", path="/sapi/v1/account/apiRestrictions", handler=get_key_rights),
    Endpoint(method="GET", path="/sapi/v1/capital/config/getall", handler=get_coins, weight=10),
)
