"""Routes of the accounts: what they are right now, their certificate, and their switch."""

from __future__ import annotations

from typing import Annotated, Any, Final

from litestar import Request, delete, get, post
from litestar.di import NamedDependency
from litestar.params import JSONBody, PathParameter, QueryParameter

from userstream.domain.access import Role
from userstream.entry.web.changes import AddedForm, NewAccountForm, SwitchedForm
from userstream.entry.web.desk import WebDesk
from userstream.entry.web.forms import (
    AccountForm,
    AccountList,
    BalanceList,
    CertificateForm,
    PositionList,
    StateForm,
    certificate_form,
    has_ended,
    owned_balance,
    owned_position,
    state_form,
)
from userstream.entry.web.guards import ROLE, known_caller, origin_of
from userstream.kernel.ids import Millis

Desk = NamedDependency[WebDesk]
LAST_TIME: Final = 253_402_300_799_999
Time = Annotated[int | None, QueryParameter(ge=0, le=LAST_TIME, description="Venue time, ms since 1970.")]
Name = Annotated[str, PathParameter(max_length=64, description="The account's name.")]
Account = Annotated[str | None, QueryParameter(max_length=64, description="Only this account.")]
Symbol = Annotated[str | None, QueryParameter(max_length=64, description="Only this symbol.")]
VIEWER: Final = {ROLE: Role.VIEWER}
OPERATOR: Final = {ROLE: Role.OPERATOR}
ADMIN: Final = {ROLE: Role.ADMIN}


@get("/api/accounts", opt=VIEWER, summary="All accounts: those that are to run, and those that the registry keeps switched off")
async def list_accounts(desk: Desk) -> AccountList:
    return await desk.listing()


@get("/api/accounts/{name:str}", opt=VIEWER, summary="One account")
async def show_account(desk: Desk, name: Name) -> AccountForm:
    return await desk.show(name)


@get("/api/accounts/{name:str}/state", opt=VIEWER, summary="Open orders, held positions and balances as they are known now")
async def show_state(desk: Desk, name: Name) -> StateForm:
    return await desk.state(name)


@get("/api/accounts/{name:str}/certificate", opt=VIEWER, summary="What is proven of the account's fills")
async def show_certificate(desk: Desk, name: Name, since: Time = None, until: Time = None) -> CertificateForm:
    times = (None if moment is None else Millis(moment) for moment in (since, until))
    return certificate_form(await desk.certificate(name, *times))


@post("/api/accounts/{name:str}/connect", opt=OPERATOR, status_code=200, summary="Start an account that is not connected")
async def connect_account(desk: Desk, name: Name, request: Request[Any, Any, Any]) -> AccountForm:
    return await desk.connect(name, known_caller(request), origin_of(request))


@post("/api/accounts/{name:str}/disconnect", opt=OPERATOR, status_code=200, summary="Stop an account; it is dark from then on")
async def disconnect_account(desk: Desk, name: Name, request: Request[Any, Any, Any]) -> AccountForm:
    return await desk.disconnect(name, known_caller(request), origin_of(request))


@post("/api/accounts", opt=ADMIN, status_code=201, summary="Add an account to the registry, with its key, and start it")
async def add_account(desk: Desk, data: JSONBody[NewAccountForm], request: Request[Any, Any, Any]) -> AddedForm:
    return await desk.changes(known_caller(request), origin_of(request)).add(data)


@post("/api/accounts/{name:str}/enable", opt=OPERATOR, status_code=200, summary="Let the service run an account of the registry")
async def enable_account(desk: Desk, name: Name, request: Request[Any, Any, Any]) -> SwitchedForm:
    return await desk.changes(known_caller(request), origin_of(request)).set_active(name, True)


@post("/api/accounts/{name:str}/disable", opt=OPERATOR, status_code=200, summary="Stop an account of the registry; it is kept")
async def disable_account(desk: Desk, name: Name, request: Request[Any, Any, Any]) -> SwitchedForm:
    return await desk.changes(known_caller(request), origin_of(request)).set_active(name, False)


@delete("/api/accounts/{name:str}", opt=ADMIN, status_code=200, summary="Remove an account and its key; its history stays")
async def remove_account(desk: Desk, name: Name, request: Request[Any, Any, Any]) -> SwitchedForm:
    return await desk.changes(known_caller(request), origin_of(request)).remove(name)


@get("/api/positions", opt=VIEWER, summary="Positions that are held; of all accounts that run, or of one")
async def list_positions(desk: Desk, account: Account = None, symbol: Symbol = None) -> PositionList:
    legs = [owned_position(state, form) for state in await _chosen(desk, account) for form in state.positions]
    return PositionList(items=[leg for leg in legs if symbol in (None, leg.symbol)])


@get("/api/balances", opt=VIEWER, summary="Balances; of all accounts that run, or of one")
async def list_balances(
    desk: Desk, account: Account = None, asset: Annotated[str | None, QueryParameter(max_length=64, description="Only this asset.")] = None
) -> BalanceList:
    wallets = [owned_balance(state, form) for state in await _chosen(desk, account) for form in state.balances]
    return BalanceList(items=[wallet for wallet in wallets if asset in (None, wallet.asset)])


async def _chosen(desk: WebDesk, account: str | None) -> list[StateForm]:
    if account is None:
        return [state_form(live) for live in desk.application.accounts.values() if not has_ended(live)]
    return [await desk.state(account, or_removed=True)]


ACCOUNT_ROUTES: Final = (
    list_accounts,
    show_account,
    show_state,
    show_certificate,
    connect_account,
    disconnect_account,
    add_account,
    enable_account,
    disable_account,
    remove_account,
    list_positions,
    list_balances,
)
