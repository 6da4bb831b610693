"""Routes of history: orders, fills, movements of money, margin calls and the audit log, in pages or as CSV."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal, TypeVar

import msgspec
from litestar import Request, Response, get
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
CSV: Final = "text/csv; charset=utf-8"
NEXT_CURSOR: Final = "X-Next-Cursor"
Limit = Annotated[int, QueryParameter(ge=1, le=MOST_ROWS, description="Rows of a page.")]
Cursor = Annotated[str | None, QueryParameter(pattern="^[0-9]{1,18}$", description="`next_cursor` of the page before.")]
Format = Annotated[Literal["json", "csv"] | None, QueryParameter(name="format", description="json, or csv; without it as Accept says.")]
RowType = TypeVar("RowType", OrderRow, FillRow, LedgerRow, MarginCallRow)
Rows = tuple[list[RowType], str | None]


@get("/api/orders", opt=VIEWER, summary="Orders, newest first")
async def list_orders(
    desk: Desk,
    request: Request[Any, Any, Any],
    account: Account = None,
    symbol: Symbol = None,
    since: Time = None,
    until: Time = None,
    cursor: Cursor = None,
    limit: Limit = 100,
    form: Format = None,
) -> Response[OrderPage]:
    rows, following = await _read(desk, "orders", OrderRow, account, symbol, since, until, cursor, limit)
    return _answer(request, form, OrderPage(items=rows, next_cursor=following), rows, OrderRow, following)


@get("/api/fills", opt=VIEWER, summary="Fills, newest first")
async def list_fills(
    desk: Desk,
    request: Request[Any, Any, Any],
    account: Account = None,
    symbol: Symbol = None,
    since: Time = None,
    until: Time = None,
    cursor: Cursor = None,
    limit: Limit = 100,
    form: Format = None,
) -> Response[FillPage]:
    rows, following = await _read(desk, "fills", FillRow, account, symbol, since, until, cursor, limit)
    return _answer(request, form, FillPage(items=rows, next_cursor=following), rows, FillRow, following)


@get("/api/ledger", opt=VIEWER, summary="Movements of money for another reason than trades, newest first")
async def list_movements(
    desk: Desk,
    request: Request[Any, Any, Any],
    account: Account = None,
    symbol: Symbol = None,
    since: Time = None,
    until: Time = None,
    cursor: Cursor = None,
    limit: Limit = 100,
    form: Format = None,
) -> Response[LedgerPage]:
    rows, following = await _read(desk, "movements", LedgerRow, account, symbol, since, until, cursor, limit)
    return _answer(request, form, LedgerPage(items=rows, next_cursor=following), rows, LedgerRow, following)


@get("/api/margin-calls", opt=VIEWER, summary="Warnings of liquidation, newest first")
async def list_margin_calls(
    desk: Desk,
    request: Request[Any, Any, Any],
    account: Account = None,
    symbol: Symbol = None,
    since: Time = None,
    until: Time = None,
    cursor: Cursor = None,
    limit: Limit = 100,
    form: Format = None,
) -> Response[MarginCallPage]:
    rows, following = await _read(desk, "margin_calls", MarginCallRow, account, symbol, since, until, cursor, limit)
    return _answer(request, form, MarginCallPage(items=rows, next_cursor=following), rows, MarginCallRow, following)


@get("/api/audit-log", opt=ADMIN, summary="Deeds, oldest first, chained by hashes")
async def list_deeds(
    desk: Desk, after: Annotated[int, QueryParameter(ge=0, le=2**53, description="The last sequence seen.")] = 0, limit: Limit = 100
) -> AuditList:
    entries = await desk.audit.audit_entries(after=after, limit=limit)
    following = entries[-1].sequence if len(entries) == limit else None
    return AuditList(items=[audit_form(entry) for entry in entries], next_after=following)


async def _read(
    desk: WebDesk,
    table: str,
    kind: type[RowType],
    account: str | None,
    symbol: str | None,
    since: int | None,
    until: int | None,
    cursor: str | None,
    limit: int,
) -> Rows[RowType]:
    if since is not None and until is not None and since >= until:
        raise ApiError(400, "bad_time", "until must be after since")
    selection = Selection(
        account=None if account is None else AccountId(account),
        symbol=symbol,
        since=None if since is None else Millis(since),
        until=None if until is None else Millis(until),
        before=None if cursor is None else int(cursor),
        limit=limit,
    )
    page = await desk.history.page(table, selection)
    return read_rows(page.rows, kind), None if page.next_place is None else str(page.next_place)


def _answer(
    request: Request[Any, Any, Any],
    form: str | None,
    page: msgspec.Struct,
    rows: list[Any],
    kind: type[msgspec.Struct],
    following: str | None,
) -> Response[Any]:
    """As CSV where the caller says so; the place of the next page is then in a header."""
    wants_csv = form == "csv" or (form is None and request.headers.get("accept", "").startswith("text/csv"))
    if not wants_csv:
        return Response(page, media_type="application/json")
    headers = {} if following is None else {NEXT_CURSOR: following}
    return Response(write_csv(rows, kind), media_type=CSV, headers=headers)


HISTORY_ROUTES: Final = (list_orders, list_fills, list_movements, list_margin_calls, list_deeds)
