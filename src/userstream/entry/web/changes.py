"""Accounts of the registry come, go and are switched over HTTP, at the same desk as from the command line; the manager hears of it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import msgspec

from userstream.entry.account_words import check_words
from userstream.entry.advice import for_programs
from userstream.entry.bootstrap import credentials_of
from userstream.entry.registry import KeyRefused, NewAccount
from userstream.entry.web.answers import ApiError
from userstream.kernel.errors import SettingsError, StoreError
from userstream.kernel.ids import AccountId, VenueName
from userstream.kernel.sealed import VaultError
from userstream.wire.registration import AccountOptions

if TYPE_CHECKING:
    from userstream.entry.manager import AccountManager
    from userstream.entry.registry import AccountDesk, Looked
    from userstream.wire.venue import Credentials

ADD_LIMIT_S: Final = 8.0
"""The venue may take twice as long to tell what a key may do: the caller hears of it while the request lasts."""


class NewAccountForm(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """An account that is to be added, with its key: as `userstream accounts add` takes it. allow_unsafe_key: take a key that can withdraw
    or transfer, or whose rights cannot be read; it is audited."""

    account: str
    venue: str
    api_key: str
    api_secret: str | None = None
    passphrase: str | None = None
    user: str | None = None
    label: str = ""
    rest_url: str | None = None
    ws_url: str | None = None
    ws_api_url: str | None = None
    symbols: tuple[str, ...] = ()
    isolated_symbol: str = ""
    session_logon: bool = False
    monitor_only: bool = False
    allow_unsafe_key: bool = False

    def __repr__(self) -> str:
        return f"NewAccountForm({self.account!r}, {self.venue!r})"


class AddedForm(msgspec.Struct, frozen=True, kw_only=True):
    """What became of it. warnings: what should be better about its key."""

    account: str
    venue: str
    warnings: list[str]


class SwitchedForm(msgspec.Struct, frozen=True, kw_only=True):
    """Whether the account is there, and to run."""

    account: str
    is_registered: bool
    is_active: bool


class AccountChanges:
    """What one caller changes. Raises ApiError for what cannot be, StoreError where the store cannot be used."""

    def __init__(self, desk: AccountDesk, manager: AccountManager, *, limit_s: float = ADD_LIMIT_S) -> None:
        """`desk`: notes its deeds as the caller's. `limit_s`: how long the key of a new account may be looked at."""
        self._desk, self._manager, self._limit_s = desk, manager, limit_s

    async def add(self, form: NewAccountForm) -> AddedForm:
        """Adds an account and starts it. Nothing of the key is in any answer."""
        try:
            credentials = credentials_of(form.api_key, form.api_secret, form.passphrase)
            wish = wish_of(form, self._manager.user)
            looked = await self._register(wish, credentials, allow_unsafe=form.allow_unsafe_key)
        except KeyRefused as error:
            raise ApiError(422, "key_refused", for_programs(f"{error.reason}. {error.next_step}")) from None
        except SettingsError as error:
            raise ApiError(400, "refused", for_programs(str(error))) from None
        except VaultError:
            raise ApiError(503, "vault_trouble", "the vault cannot seal the key; the log of the service says why") from None
        await self._take_up()
        return AddedForm(account=form.account, venue=form.venue, warnings=[*looked.verdict.refusals, *looked.verdict.warnings])

    async def _register(self, wish: NewAccount, credentials: Credentials, *, allow_unsafe: bool) -> Looked:
        try:
            async with asyncio.timeout(self._limit_s):
                return await self._desk.add(wish, credentials, allow_unsafe=allow_unsafe, beside=self._manager.configured)
        except TimeoutError:
            await self._note_given_up(wish.account)
            raise ApiError(503, "too_slow", "the venue did not say in time what the key may do; try again later") from None
        except asyncio.CancelledError:
            await self._note_given_up(wish.account)
            raise

    async def _note_given_up(self, name: AccountId) -> None:
        """What was kept has a note already."""
        if await self._desk.registry.get(name) is None:
            await self._desk.registry.write_note(self._desk.note("account.add", name, "refused", "it took too long and was given up"))

    async def set_active(self, name: str, active: bool) -> SwitchedForm:
        """Whether the service runs it."""
        await self._require(name)
        await self._desk.set_active(AccountId(name), active)
        await self._take_up()
        return SwitchedForm(account=name, is_registered=True, is_active=active)

    async def remove(self, name: str) -> SwitchedForm:
        """Stops it, and its key is gone; its history stays."""
        await self._require(name)
        await self._desk.remove(AccountId(name))
        await self._take_up()
        return SwitchedForm(account=name, is_registered=False, is_active=False)

    async def _require(self, name: str) -> None:
        if await self._desk.registry.get(AccountId(name)) is not None:
            return
        if any(settings.name == name for settings in self._manager.configured):
            raise ApiError(409, "of_the_file", f"the account {name!r} stands in the configuration file: it is changed there")
        raise ApiError(404, "unknown_account", f"there is no account {name!r} in the registry")

    async def _take_up(self) -> None:
        """The change is kept already: where it cannot be carried out now, the manager does so later."""
        try:
            await self._manager.take_up()
        except StoreError:
            return


def wish_of(form: NewAccountForm, user: str) -> NewAccount:
    """Everything but the key. `user`: where the form names none. Raises SettingsError for words that are not one short line."""
    user = form.user or user
    check_words(label=form.label, user=user)
    options = AccountOptions(
        rest_url=form.rest_url,
        ws_url=form.ws_url,
        ws_api_url=form.ws_api_url,
        symbols=form.symbols,
        isolated_symbol=form.isolated_symbol,
        session_logon=form.session_logon,
        monitor_only=form.monitor_only,
    )
    return NewAccount(account=AccountId(form.account), user=user, venue=VenueName(form.venue), label=form.label, options=options)
