"""The wallet products (Spot, margin) as rows of one table: where their books are read, and what it weighs.

Margin keeps its books below /sapi, one set for the cross account and one for each isolated pair; orders and fills have the shape of
Spot's (Binance margin, 2.4 and 4.4).
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

import msgspec

from userstream.kernel.ids import Symbol
from userstream.venues.binance.products import PAGE, Read
from userstream.venues.binance.spot_rows import AccountRow, CrossAccountRow, IsolatedAccountRow

NOTHING_MORE: Final[Mapping[str, str]] = MappingProxyType({})


class WalletBooks(msgspec.Struct, frozen=True, kw_only=True):
    """One product's books. title: its name for people. account_kind: the shape of the account's answer. ..._parameters: what is said beside
    the question, of the account, of open orders and of lists, and of everything else. orders_page: how many orders a page may be asked
    for. only: the symbol that the wallets are for (empty: any). margin_pairs: whether pairs that are traded on Spot only are none of its
    own."""

    title: str
    account: Read
    account_kind: type[AccountRow | CrossAccountRow | IsolatedAccountRow] = AccountRow
    account_parameters: Mapping[str, str] = NOTHING_MORE
    open_orders: Read
    open_orders_parameters: Mapping[str, str] = NOTHING_MORE
    order: Read
    orders: Read
    fills: Read
    order_fills: Read
    order_lists: Read
    order_list: Read
    parameters: Mapping[str, str] = NOTHING_MORE
    orders_page: int = PAGE
    only: Symbol = Symbol("")
    margin_pairs: bool = False


# Binance Spot, 6.2.
SPOT_BOOKS: Final = WalletBooks(
    title="Spot",
    account=Read("/api/v3/account", 20),
    account_parameters=MappingProxyType({"omitZeroBalances": "true"}),
    open_orders=Read("/api/v3/openOrders", 80),
    order=Read("/api/v3/order", 4),
    orders=Read("/api/v3/allOrders", 20),
    fills=Read("/api/v3/myTrades", 20),
    order_fills=Read("/api/v3/myTrades", 5),
    order_lists=Read("/api/v3/openOrderList", 6),
    order_list=Read("/api/v3/orderList", 4),
)

CROSS_BOOKS: Final = WalletBooks(
    title="margin",
    account=Read("/sapi/v1/margin/account", 10),
    account_kind=CrossAccountRow,
    open_orders=Read("/sapi/v1/margin/openOrders", 10),
    order=Read("/sapi/v1/margin/order", 10),
    orders=Read("/sapi/v1/margin/allOrders", 200),
    fills=Read("/sapi/v1/margin/myTrades", 10),
    order_fills=Read("/sapi/v1/margin/myTrades", 10),
    order_lists=Read("/sapi/v1/margin/openOrderList", 10),
    order_list=Read("/sapi/v1/margin/orderList", 10),
    orders_page=500,
    margin_pairs=True,
)
"""The cross account's books. The documents that this was written from name no weights for margin's reads (Binance margin, 2.4, 4.4 and 6.2
have none): these are general knowledge of the venue's /sapi pages. Where they are too low, the count that each answer carries in its
header takes their place in the request budget."""


def isolated_books(symbol: Symbol) -> WalletBooks:
    """The books of one isolated pair. The venue answers for other pairs too, with what belongs to other accounts: they are never asked."""
    isolated = {"isIsolated": "TRUE"}
    return msgspec.structs.replace(
        CROSS_BOOKS,
        account=Read("/sapi/v1/margin/isolated/account", 10),
        account_kind=IsolatedAccountRow,
        account_parameters=MappingProxyType({"symbols": symbol}),
        open_orders_parameters=MappingProxyType({"symbol": symbol, **isolated}),
        parameters=MappingProxyType(isolated),
        only=symbol,
    )
