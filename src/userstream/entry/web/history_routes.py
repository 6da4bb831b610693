"""Routes of history: orders, fills, movements of money, margin calls and the audit log, in pages or as CSV."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal, TypeVar

import msgspec
from litestar import Request, Response, get
from litestar.di import NamedDependency, Provide
from litestar.params import QueryParameter

from userstream.domain.access import Role
from userstream.entry.web.account_routes import VIEWER, Account, Desk, Symbol, Time
from userstream.entry.web.answers import ApiError
from userstream.entry.web.desk import WebDesk
from userstream.entry.web.forms import AuditList, audit_form
from userstream.entry.web.guards import ROLE
from userstream.entry.web.history import (
    FillPage,
    FillRow,
    LedgerPage,
    LedgerRow,
    MarginCallPage,
    MarginCallRow,
    OrderPage,
    OrderRow,
    read_rows,
    write_csv,
)
from userstream.kernel.ids import AccountId, Millis
from userstream.ports import Selection

MOST_ROWS: Final = 1_000
ADMIN: Final = {ROLE: Role.ADMIN}
CSV: Final = "text/csv"
"""The server adds the charset."""
NEXT_CURSOR: Final = "X-Next-Cursor"
Limit = Annotated[int, QueryParameter(ge=1, le=MOST_ROWS, description="Rows of a page.")]
Cursor = Annotated[str | None, QueryParameter(pattern="^[0-9]{1,18}$", description="`next_cursor` of the page before.")]
Format = Annotated[Literal["json", "csv"] | None, QueryParameter(description="json, or csv; without it as Accept says.")]
RowType = TypeVar("RowType", OrderRow, FillRow, LedgerRow, MarginCallRow)
AnyPage = OrderPage | FillPage | LedgerPage | MarginCallPage


class Wish(msgspec.Struct, frozen=True, kw_only=True):
    """What a query of history asks for: which rows, and whether as CSV."""

    selection: Selection
    as_csv: bool


def read_wish(
    request: Request[Any, Any, Any],
    account: Account = None,
    symbol: Symbol = None,
    since: Time = None,
    until: Time = None,
    cursor: Cursor = None,
    limit: Limit = 100,
    format: Format = None,
) -> Wish:
    """The query that all histories share. Raises ApiError 400 for times that enclose nothing."""
    if since is not None and until is not None and since >= until:
        raise ApiError(400, "bad_time", f"until = {until} must be after since = {since}")
    selection = Selection(
        account=None if account is None else AccountId(account),
        symbol=symbol,
        since=None if since is None else Millis(since),
        until=None if until is None else Millis(until),
        before=None if cursor is None else int(cursor),
        limit=limit,
    )
    accepts_csv = request.headers.get("accept", "").startswith("text/csv")
    return Wish(selection=selection, as_csv=format == "csv" or (format is None and accepts_csv))


Wished = NamedDependency[Wish]
WISHED: Final = {"wish": Provide(read_wish, sync_to_thread=False)}


@get("/api/orders", opt=VIEWER, dependencies=WISHED, summary="Orders, newest first")
async def list_orders(desk: Desk, wish: Wished) -> Response[OrderPage]:
    rows, following = await _read(desk, wish.selection, "orders", OrderRow)
    return _answer(wish, OrderPage(items=rows, next_cursor=following), OrderRow)


@get("/api/fills", opt=VIEWER, dependencies=WISHED, summary="Fills, newest first")
async def list_fills(desk: Desk, wish: Wished) -> Response[FillPage]:
    rows, following = await _read(desk, wish.selection, "fills", FillRow)
    return _answer(wish, FillPage(items=rows, next_cursor=following), FillRow)


@get("/api/ledger", opt=VIEWER, dependencies=WISHED, summary="Movements of money for another reason than trades, newest first")
async def list_movements(desk: Desk, wish: Wished) -> Response[LedgerPage]:
    rows, following = await _read(desk, wish.selection, "movements", LedgerRow)
    return _answer(wish, LedgerPage(items=rows, next_cursor=following), LedgerRow)


@get("/api/margin-calls", opt=VIEWER, dependencies=WISHED, summary="Warnings of liquidation, newest first")
async def list_margin_calls(desk: Desk, wish: Wished) -> Response[MarginCallPage]:
    rows, following = await _read(desk, wish.selection, "margin_calls", MarginCallRow)
    return _answer(wish, MarginCallPage(items=rows, next_cursor=following), MarginCallRow)


@get("/api/audit-log", opt=ADMIN, summary="Deeds, oldest first, chained by hashes")
async def list_deeds(
    desk: Desk, after: Annotated[int, QueryParameter(ge=0, le=2**53, description="The last sequence seen.")] = 0, limit: Limit = 100
) -> AuditList:
    entries = await desk.audit.audit_entries(after=after, limit=limit)
    following = entries[-1].sequence if len(entries) == limit else None
    return AuditList(items=[audit_form(entry) for entry in entries], next_after=following)


async def _read(desk: WebDesk, selection: Selection, table: str, kind: type[RowType]) -> tuple[list[RowType], str | None]:
    """A page's rows, and the cursor of the next one."""
    if selection.account is not None:
        await desk.venue_of(selection.account, or_removed=True)
    page = await desk.history.page(table, selection)
    return read_rows(page.rows, kind), None if page.next_place is None else str(page.next_place)


def _answer(wish: Wish, page: AnyPage, kind: type[msgspec.Struct]) -> Response[Any]:
    """As CSV where the caller says so; the place of the next page is then in a header."""
    if not wish.as_csv:
        return Response(page, media_type="application/json")
    headers = {} if page.next_cursor is None else {NEXT_CURSOR: page.next_cursor}
    return Response(write_csv(page.items, kind), media_type=CSV, headers=headers)


HISTORY_ROUTES: Final = (list_orders, list_fills, list_movements, list_margin_calls, list_deeds)
