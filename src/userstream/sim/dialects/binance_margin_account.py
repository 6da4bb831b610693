"""Margin accounts: what they hold and owe, borrowing and paying back, moving money between a user's accounts.

The streams of margin are in the venue's document as we have it; these calls are as people know them, with the fields that clients read.
"""

from collections.abc import Mapping
from decimal import Decimal
from types import MappingProxyType
from typing import Final

from userstream.sim.books import ZERO, Balance, Debt
from userstream.sim.dialects.binance_calls import Security
from userstream.sim.dialects.binance_errors import invalid, missing
from userstream.sim.dialects.binance_margin_calls import account_of, is_isolated
from userstream.sim.dialects.binance_spot_calls import Endpoint, Request
from userstream.sim.dialects.binance_spot_history import limit_of, page_of
from userstream.sim.dialects.binance_spot_trading import read_amount
from userstream.sim.dialects.binance_spot_words import text_of
from userstream.sim.spot.instruments import has_margin
from userstream.sim.spot.lending import level_of
from userstream.sim.spot.loans import HOURLY_RATE, LoanLine, MarginAccount
from userstream.sim.venue import Json

BITCOIN: Final = "BTC"
STATUS_WORDS: Final[Mapping[str, str]] = MappingProxyType(
    {"normal": "NORMAL", "margin_call": "MARGIN_CALL", "force_liquidation": "FORCE_LIQUIDATION"}
)
NO_BALANCE: Final = Debt(asset="")


class View:
    """One margin account with its balances, debts and their worth in bitcoin, as old as a reading call may see them."""

    def __init__(self, request: Request, name: str) -> None:
        self.request = request
        self.owner: MarginAccount = request.exchange.margin_of(name)
        self._sum_in = request.exchange.lending.sum_in
        self._debts = {debt.asset: debt for debt in request.books.debts(name)}
        self._balances = {balance.asset: balance for balance in request.books.balances(name)}

    def balance(self, asset: str) -> Balance:
        return self._balances.get(asset) or Balance(account=self.owner.name, asset=asset)

    @property
    def assets(self) -> list[str]:
        """What the account holds or owes."""
        return sorted({*self._balances, *self._debts})

    @property
    def total(self) -> Decimal:
        return round(self._sum_in(BITCOIN, {asset: balance.wallet for asset, balance in self._balances.items()}), 8)

    @property
    def liability(self) -> Decimal:
        return round(self._sum_in(BITCOIN, {asset: debt.total for asset, debt in self._debts.items()}), 8)

    @property
    def level(self) -> str:
        return text_of(round(level_of(self.total, self.liability), 8))

    def row(self, asset: str) -> dict[str, Json]:
        balance, debt = self.balance(asset), self._debts.get(asset, NO_BALANCE)
        return {
            "asset": asset,
            "borrowed": text_of(debt.principal),
            "free": text_of(balance.available),
            "interest": text_of(debt.interest),
            "locked": text_of(balance.wallet - balance.available),
            "netAsset": text_of(balance.wallet - debt.total),
        }


def get_account(request: Request) -> Json:
    """The cross account."""
    view = View(request, request.exchange.margin_account(request.user))
    settings = request.books.settings(view.owner.name)
    return {
        "created": True,
        "borrowEnabled": True,
        "marginLevel": view.level,
        "collateralMarginLevel": view.level,
        "totalAssetOfBtc": text_of(view.total),
        "totalLiabilityOfBtc": text_of(view.liability),
        "totalNetAssetOfBtc": text_of(view.total - view.liability),
        "tradeEnabled": settings.can_trade,
        "transferInEnabled": True,
        "transferOutEnabled": True,
        "accountType": "MARGIN_1",
        "userAssets": [view.row(asset) for asset in view.assets],
    }


def get_isolated_accounts(request: Request) -> Json:
    """All isolated accounts, or those of the pairs in `symbols` (at most five)."""
    named = request.parameters.maybe_text("symbols")
    if named is None:
        names = request.exchange.isolated_accounts(request.exchange.margin_account(request.user))
    else:
        pairs = named.split(",")
        if len(pairs) > 5:
            raise invalid("symbols")
        names = [request.exchange.margin_account(request.user, request.instrument(pair).symbol) for pair in pairs]
    views = [View(request, name) for name in names]
    total, owed = sum((view.total for view in views), ZERO), sum((view.liability for view in views), ZERO)
    return {
        "assets": [_isolated_row(view) for view in views],
        "totalAssetOfBtc": text_of(total),
        "totalLiabilityOfBtc": text_of(owed),
        "totalNetAssetOfBtc": text_of(total - owed),
    }


def _isolated_row(view: View) -> dict[str, Json]:
    instrument = view.request.instrument(view.owner.only_symbol)
    return {
        "baseAsset": _isolated_asset(view, instrument.base),
        "quoteAsset": _isolated_asset(view, instrument.quote),
        "symbol": instrument.symbol,
        "isolatedCreated": True,
        "enabled": True,
        "marginLevel": view.level,
        "marginLevelStatus": STATUS_WORDS[view.owner.status],
        "indexPrice": text_of(view.request.exchange.last_price(instrument.symbol)),
        "tradeEnabled": view.request.books.settings(view.owner.name).can_trade,
    }


def _isolated_asset(view: View, asset: str) -> dict[str, Json]:
    return {**view.row(asset), "borrowEnabled": True, "repayEnabled": True, "totalAsset": text_of(view.balance(asset).wallet)}


# --- loans -------------------------------------------------------------------------------------------------------------


def borrow_or_repay(request: Request) -> Json:
    """`type` is BORROW or REPAY."""
    asset, amount = request.parameters.text("asset"), read_amount(request.parameters, "amount")
    kind = request.parameters.text("type")
    if not amount:
        raise missing("amount")
    account = account_of(request)
    match kind:
        case "BORROW":
            line = request.exchange.borrow(account, asset, amount, request.now)
        case "REPAY":
            line = request.exchange.repay(account, asset, amount, request.now)
        case _:
            raise invalid("type")
    return {"tranId": line.loan_id}


def get_loans(request: Request) -> Json:
    """What was borrowed or paid back, newest first."""
    kind = request.parameters.text("type").lower()
    if kind not in ("borrow", "repay"):
        raise invalid("type")
    lines = _lines(request, kind)
    return {"rows": [_loan_row(line) for line in reversed(lines)], "total": len(lines)}


def _lines(request: Request, kind: str) -> list[LoanLine]:
    asset = request.parameters.maybe_text("asset")
    owner = request.exchange.margin_of(_named_account(request))
    found = [line for line in owner.lines if line.kind == kind and asset in (None, line.asset)]
    return list(page_of(found, lambda line: line.time, request))


def _named_account(request: Request) -> str:
    """Histories name an isolated account by its pair alone."""
    pair = request.parameters.maybe_text("isolatedSymbol")
    return request.exchange.margin_account(request.user, "" if pair is None else request.instrument(pair).symbol)


def _loan_row(line: LoanLine) -> dict[str, Json]:
    return {
        "txId": line.loan_id,
        "asset": line.asset,
        "amount": text_of(line.amount if line.kind == "repay" else line.principal),
        "principal": text_of(line.principal),
        "interest": text_of(line.interest if line.kind == "repay" else ZERO),
        "status": "CONFIRMED",
        "type": "AUTO" if line.automatic else "MANUAL",
        "timestamp": line.time,
    }


def get_interest(request: Request) -> Json:
    """Interest as it was charged: at borrowing and at each full hour; newest first."""
    charged = [*_lines(request, "borrow"), *_lines(request, "interest")]
    lines = sorted((line for line in charged if line.interest), key=lambda line: line.loan_id, reverse=True)
    rows: list[Json] = [
        {
            "txId": line.loan_id,
            "interestAccuredTime": line.time,
            "asset": line.asset,
            "principal": text_of(line.owed),
            "interest": text_of(line.interest),
            "interestRate": text_of(HOURLY_RATE),
            "type": "ON_BORROW" if line.kind == "borrow" else "PERIODIC",
        }
        for line in lines[: limit_of(request)]
    ]
    return {"rows": rows, "total": len(lines)}


def get_borrowable(request: Request) -> Json:
    asset = request.parameters.text("asset")
    owner = request.exchange.margin_of(_named_account(request))
    return {"amount": text_of(request.exchange.lending.borrowable(owner, asset)), "borrowLimit": text_of(Decimal(1_000_000))}


def get_transferable(request: Request) -> Json:
    asset = request.parameters.text("asset")
    owner = request.exchange.margin_of(_named_account(request))
    return {"amount": text_of(request.exchange.lending.transferable(owner, asset))}


# --- transfers ---------------------------------------------------------------------------------------------------------


def transfer(request: Request) -> Json:
    """`type` names both ends: MAIN, MARGIN, or ISOLATED_MARGIN with `fromSymbol` and `toSymbol`."""
    source, arrow, target = _ends(request.parameters.text("type"))
    if not arrow:
        raise invalid("type")
    amount = read_amount(request.parameters, "amount")
    if not amount:
        raise missing("amount")
    names = _end(request, source, "fromSymbol"), _end(request, target, "toSymbol")
    request.exchange.move_between(*names, request.parameters.text("asset"), amount, request.now)
    return {"tranId": request.exchange.income(names[1])[-1].transaction_id}


def _ends(word: str) -> tuple[str, str, str]:
    ends = ("MAIN", "MARGIN", "ISOLATED_MARGIN")
    pairs = {f"{source}_{target}": (source, "to", target) for source in ends for target in ends if source != target}
    pairs |= {"MARGIN_ISOLATEDMARGIN": ("MARGIN", "to", "ISOLATED_MARGIN"), "ISOLATEDMARGIN_MARGIN": ("ISOLATED_MARGIN", "to", "MARGIN")}
    return pairs.get(word, ("", "", ""))


def _end(request: Request, kind: str, symbol: str) -> str:
    exchange = request.exchange
    if kind == "MAIN":
        return exchange.spot_account(request.user)
    if kind == "MARGIN":
        return exchange.margin_account(request.user)
    return exchange.margin_account(request.user, request.instrument(request.parameters.text(symbol)).symbol)


# --- what can be traded ------------------------------------------------------------------------------------------------


def get_pairs(request: Request) -> Json:
    isolated = is_isolated(request)
    pairs = [each for each in request.exchange.instruments.values() if has_margin(each.symbol)]
    return [
        {
            "id": place,
            "symbol": each.symbol,
            "base": each.base,
            "quote": each.quote,
            "isMarginTrade": True,
            "isBuyAllowed": True,
            "isSellAllowed": True,
            "isIsolated": isolated,
        }
        for place, each in enumerate(pairs, start=1)
    ]


def get_price(request: Request) -> Json:
    """`priceIndex`: what levels are reckoned with."""
    symbol = request.symbol()
    return {"calcTime": request.now, "price": text_of(request.exchange.last_price(symbol)), "symbol": symbol}


PATH: Final = "/sapi/v1/margin/"
KEY, TRADE = Security.KEY, Security.TRADE
ENDPOINTS = (
    Endpoint(method="GET", path=PATH + "account", handler=get_account, weight=10),
    Endpoint(method="GET", path=PATH + "isolated/account", handler=get_isolated_accounts, weight=10),
    Endpoint(method="POST", path=PATH + "borrow-repay", handler=borrow_or_repay, weight=1500, security=TRADE, by_account=True),
    Endpoint(method="GET", path=PATH + "borrow-repay", handler=get_loans, weight=10),
    Endpoint(method="GET", path=PATH + "interestHistory", handler=get_interest),
    Endpoint(method="GET", path=PATH + "maxBorrowable", handler=get_borrowable, weight=50),
    Endpoint(method="GET", path=PATH + "maxTransferable", handler=get_transferable, weight=50),
    Endpoint(method="GET", path=PATH + "allPairs", handler=get_pairs, security=KEY),
    Endpoint(method="GET", path=PATH + "isolated/allPairs", handler=get_pairs, weight=10, security=KEY),
    Endpoint(method="GET", path=PATH + "priceIndex", handler=get_price, weight=10, security=KEY),
    Endpoint(method="POST", path="/sapi/v1/asset/transfer", handler=transfer, weight=900, security=TRADE, by_account=True),
)
