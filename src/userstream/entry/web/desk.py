"""What the routes work with: the application, who may ask, the history, and the switch of the accounts. Every deed is noted."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final

import structlog

from userstream.domain.audit import AuditNote
from userstream.domain.certificate import Certificate, certify
from userstream.entry.bootstrap import AccountSettings, Application
from userstream.entry.manager import NO_CONNECTIONS, AccountManager
from userstream.entry.registered import RefusedAccount
from userstream.entry.registry import Caller, Roster, RosterLine
from userstream.entry.times import show_time
from userstream.entry.web.access import Access, Principal
from userstream.entry.web.answers import ApiError
from userstream.entry.web.changes import AccountChanges
from userstream.entry.web.forms import (
    AccountForm,
    AccountList,
    ServiceHealth,
    StateForm,
    account_form,
    dark_form,
    has_ended,
    last_state_form,
    state_form,
)
from userstream.entry.web.last_known import read_last_known
from userstream.kernel.errors import SettingsError, StoreError, UserStreamError
from userstream.kernel.ids import AccountId, Millis, VenueName
from userstream.ports import AuditLog, HistoryReader, Selection
from userstream.runtime.live import LiveAccount
from userstream.wire.registration import RegisteredAccount

HISTORY_TABLES: Final = ("orders", "fills", "movements", "margin_calls")
StartAccount = Callable[[AccountSettings], Awaitable[LiveAccount]]
_log = structlog.stdlib.get_logger("userstream.http")


def unknown_account(name: str) -> ApiError:
    """For an account that nobody knows."""
    return ApiError(404, "unknown_account", f"there is no account {name!r}")


class WebDesk:
    """One for a server. `wanted`: every account that the service is to run, by name; `start`: how one is started; `manager`: who decides
    which accounts run, where somebody does."""

    def __init__(
        self,
        application: Application,
        wanted: Mapping[str, AccountSettings],
        start: StartAccount,
        history: HistoryReader,
        audit: AuditLog,
        access: Access,
        manager: AccountManager | None = None,
    ) -> None:
        self.application, self.wanted, self.history, self.audit, self.access = application, wanted, history, audit, access
        self.clock = application.clock
        self.is_ready = False
        self._start, self._manager = start, manager
        self._roster = None if manager is None or manager.desk is None else Roster(manager.desk)
        self._switching = asyncio.Lock()

    # ---- accounts

    def names(self) -> list[str]:
        """Of all accounts that run or are to run."""
        return sorted({*self.wanted, *self.application.accounts, *self._refused})

    @property
    def _refused(self) -> Mapping[str, RefusedAccount]:
        """Accounts that are to run and cannot be opened: they are dark, too."""
        return {} if self._manager is None else self._manager.refused

    async def state(self, name: str, *, or_removed: bool = False) -> StateForm:
        """An account as it is now, or as it was known last where it does not run. Raises as `venue_of`."""
        account = self.application.accounts.get(name)
        if account is not None:
            return state_form(account)
        venue = await self.venue_of(name, or_removed=or_removed)
        return last_state_form(await read_last_known(self.application.journal, self.clock, AccountId(name), VenueName(venue)))

    async def venue_of(self, name: str, *, or_removed: bool = False) -> str:
        """The venue of an account that is to run or that the registry keeps switched off; `or_removed`: or of which the store holds
        anything. Raises ApiError 404 for any other, StoreError."""
        if self._is_known(name):
            return self._venue_of_known(name)
        if (registered := await self._registered(name)) is not None:
            return registered.venue
        for table in HISTORY_TABLES if or_removed else ():
            for row in (await self.history.page(table, Selection(account=AccountId(name), limit=1))).rows:
                return str(row["venue"])
        raise unknown_account(name)

    async def _registered(self, name: str) -> RegisteredAccount | None:
        desk = None if self._manager is None else self._manager.desk
        return None if desk is None else await desk.registry.get(AccountId(name))

    async def _require_enabled(self, name: str) -> None:
        """Raises ApiError 409 for an account that the registry keeps switched off, 404 for one that nobody knows."""
        if not self._is_known(name) and await self._registered(name) is not None:
            raise ApiError(409, "account_disabled", f"the registry keeps {name!r} switched off: enable it first")
        self.require_name(name)

    def _venue_of_known(self, name: str) -> str:
        if (account := self.application.accounts.get(name)) is not None:
            return account.venue
        return self.wanted[name].venue if name in self.wanted else self._refused[name].venue

    def require_name(self, name: str) -> None:
        """Raises ApiError 404 for an account that this service does not know."""
        if not self._is_known(name):
            raise unknown_account(name)

    def _is_known(self, name: str) -> bool:
        return name in self.wanted or name in self.application.accounts or name in self._refused

    def form(self, name: str) -> AccountForm:
        """An account, whether it runs or not. Raises ApiError 404."""
        account = self.application.accounts.get(name)
        if account is not None:
            return account_form(account)
        self.require_name(name)
        return dark_form(name, self._venue_of_known(name))

    async def show(self, name: str) -> AccountForm:
        """The same, also of an account that the registry keeps switched off. Raises ApiError 404, StoreError."""
        if not self._is_known(name) and (registered := await self._registered(name)) is not None:
            return dark_form(name, registered.venue, is_enabled=registered.active)
        return self.form(name)

    async def listing(self) -> AccountList:
        """All that run or are to run, and those that the registry keeps switched off, by name. Where it cannot be read now, the former
        alone, and so it is told."""
        lines, is_whole = await self._read_roster()
        forms = {str(line.account): dark_form(line.account, line.venue, is_enabled=line.is_active) for line in lines}
        forms.update({name: self.form(name) for name in self.names()})
        return AccountList(items=[forms[name] for name in sorted(forms)], is_whole=is_whole)

    async def _read_roster(self) -> tuple[Sequence[RosterLine], bool]:
        """Who is in the registry, and whether it could be read."""
        try:
            return (() if self._roster is None else await self._roster.read()), True
        except StoreError:
            return (), False  # the manager's log says why, once

    async def connect(self, name: str, caller: Principal, origin: str) -> AccountForm:
        """Starts an account that is to run and does not, also one that was given up; one that runs stays as it is. Raises ApiError."""
        async with self._switching:
            await self._require_enabled(name)
            if name in self._refused:
                raise ApiError(409, "key_refused", "the account cannot be opened; /health says why")
            if (account := self.application.accounts.get(name)) is None or has_ended(account):
                await self._note_deed("account.connect", name, caller, origin, self._begin(name))
            return self.form(name)

    async def _begin(self, name: str) -> None:
        if self._manager is None and name in self.application.accounts:
            await self.application.remove(name)
        await self._start(self.wanted[name])

    async def disconnect(self, name: str, caller: Principal, origin: str) -> AccountForm:
        """Stops an account, or keeps it from being started; the others do not notice. It is dark from now on, and so not healthy. Raises
        ApiError."""
        async with self._switching:
            await self._require_enabled(name)
            if self._manager is not None or name in self.application.accounts:
                await self._note_deed("account.disconnect", name, caller, origin, self._stop(name))
            return self.form(name)

    def _stop(self, name: str) -> Awaitable[None]:
        return self.application.remove(name) if self._manager is None else self._manager.disconnect(name)

    def changes(self, caller: Principal, origin: str) -> AccountChanges:
        """What this caller changes of the registry is noted as theirs. Raises ApiError 409 where the service runs no registry."""
        if self._manager is None or self._manager.desk is None:
            raise ApiError(
                409, "no_registry", "this service runs no registry of accounts; the table [registry] of its configuration opens one"
            )
        return AccountChanges(self._manager.desk.on_behalf_of(Caller(caller.actor, origin)), self._manager)

    async def _note_deed(self, action: str, name: str, caller: Principal, origin: str, deed: Awaitable[object]) -> None:
        try:
            await deed
        except UserStreamError as error:
            _log.warning("an account could not be switched", action=action, account=name, reason=str(error))
            await self.note(action, name, caller, origin, result="refused", detail=type(error).__name__)
            status, code = (400, "refused") if isinstance(error, SettingsError) else (503, "failed")
            raise ApiError(status, code, "the account could not be switched; the log says why") from None
        await self.note(action, name, caller, origin)

    async def note(self, action: str, subject: str, caller: Principal, origin: str, *, result: str = "done", detail: str = "") -> None:
        """Writes into the audit log. Raises StoreError."""
        time = self.clock.wall()
        await self.audit.write_note(
            AuditNote(time=time, actor=caller.actor, origin=origin, action=action, subject=subject, result=result, detail=detail)
        )

    async def certificate(self, name: str, since: Millis | None, until: Millis | None) -> Certificate:
        """Raises ApiError for times that are none, and StoreError."""
        account = self.application.accounts.get(name)
        try:
            if account is not None:
                return await account.certificate(since, until)
            await self.venue_of(name)
            if self.application.evidence is None:
                raise ApiError(409, "not_connected", "without a store the certificate of an account ends with its connection")
            return certify(await self.application.evidence.gather(AccountId(name)), since, until)
        except ValueError:
            told = f"since = {since}, until = {until}: until must be after since, and since within what is known"
            raise ApiError(400, "bad_time", told) from None

    # ---- the whole

    def health(self, *, with_details: bool) -> ServiceHealth:
        """ok only while every account that is to run is healthy, one that was disconnected included, and the tables follow the journal. A
        service that was started without connections is never ok."""
        unhealthy = {name: reason for name in self.names() if (reason := self._why_unhealthy(name))}
        trouble, connects = self._store_trouble(), self._manager is None or self._manager.connects
        status = "failing" if unhealthy or trouble or not connects else "ok"
        if not with_details:
            return ServiceHealth(status=status)
        told = unhealthy | ({"(store)": trouble} if trouble else {}) | ({} if connects else {"(connections)": NO_CONNECTIONS})
        return ServiceHealth(status=status, accounts=len(self.names()), unhealthy=told)

    def _why_unhealthy(self, name: str) -> str:
        account = self.application.accounts.get(name)
        if account is None:
            why = "" if self._manager is None else self._manager.why_dark(name)
            why = self._refused[name].reason if name in self._refused else why
            return f"not connected: {why}" if why else "not connected"
        health = account.health
        if health.is_healthy:
            return ""
        if health.gap_since is not None:
            why = f"; {health.reason}" if health.reason else ""
            return f"{health.state}: events since {show_time(health.gap_since)} UTC may be missing{why}"
        if health.mismatches:
            return f"{health.state}: {health.mismatches} mismatches"
        return health.store_trouble or health.reason or f"{health.state}: not proven"

    def _store_trouble(self) -> str:
        pump = self.application.pump
        trouble = self.application.journal.trouble or (pump.trouble if pump is not None else None)
        return "" if trouble is None else str(trouble)
