"""The registry's active accounts while `userstream run` runs them: opened when they come, looked after until they go.

An account whose key does not open is left out and told; the others do not notice.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec
import structlog

from userstream.entry.bootstrap import AccountSettings, Way
from userstream.entry.desk import open_desk
from userstream.entry.key_owners import KeyOwners
from userstream.entry.key_rights import RightsCalendar, RightsDesk
from userstream.entry.listen_keys import KeepingHttp, ListenKeys
from userstream.entry.registry import AccountDesk, Looked, settings_of
from userstream.entry.vault_settings import RegistrySection
from userstream.kernel.errors import SettingsError, UserStreamError
from userstream.kernel.ids import AccountId
from userstream.kernel.sealed import VaultError
from userstream.ports import Clock
from userstream.wire.registration import RegisteredAccount, SealedKey
from userstream.wire.venue import Credentials

if TYPE_CHECKING:
    from userstream.entry.bootstrap import Application
    from userstream.entry.configuration import Configuration

FIRST_LOOK_MS: Final = 15_000
"""The accounts open first; only then are they looked at, and their keys asked about."""
LOOK_MS: Final = 60_000
NOTHING_READ: Final = -1

_log = structlog.stdlib.get_logger("userstream.registry")


class RefusedAccount(NamedTuple):
    """An account that is to run and is not opened: why, for people; `form`: what may be mended in its row."""

    venue: str
    reason: str
    form: tuple[str, SealedKey]


class _Opened(NamedTuple):
    """An account whose key is open. `revision`: as the row was then."""

    settings: AccountSettings
    revision: str
    listen_keys: ListenKeys | None


class RegisteredAccounts:
    """Those that are to run. `settings`: as if they stood in the configuration file; `refused`: those that cannot run as they are.
    `tell_rights`: hears what each look at a key found: why it would not be added today, and what it may do more than before."""

    def __init__(self, desk: AccountDesk | None, clock: Clock) -> None:
        """`desk`: None where the registry is not used."""
        self.desk, self._clock = desk, clock
        self._opened: dict[str, _Opened] = {}
        self.refused: dict[str, RefusedAccount] = {}
        self.tell_rights: Callable[[AccountId, str, str], None] | None = None
        self._parted: list[ListenKeys] = []
        self._head = NOTHING_READ
        self._ring: tuple[str, ...] = ()
        self._watcher: asyncio.Task[None] | None = None
        self._configuration: Configuration | None = None
        self._owners = KeyOwners()
        self._calendar = RightsCalendar()

    @property
    def settings(self) -> list[AccountSettings]:
        """Of all that are to run, by name."""
        return [self._opened[name].settings for name in sorted(self._opened)]

    @property
    def user(self) -> str:
        """For whom accounts are added where nobody is named."""
        return RegistrySection().user if self._configuration is None else self._configuration.registry.registry.user

    def revision_of(self, name: str) -> str:
        """Another one means that the account's key or its options were changed; empty for an account that is not of the registry."""
        return self._opened[name].revision if name in self._opened else ""

    async def read(self, configuration: Configuration) -> None:
        """Opens the key of every active account. Raises SettingsError for a name that the configuration file has as well, StoreError."""
        self._configuration = configuration
        if self.desk is None:
            return
        for configured in configuration.accounts:
            self._owners.claim(configured, os.environ)
        named = {account.name for account in configuration.accounts}
        async for account in self.desk.accounts(active_only=True):
            if account.account in named:
                raise SettingsError(_of_both(account.account))
        await self.refresh()

    async def has_changed(self) -> bool:
        """Whether somebody changed an account since it was read: every such deed is noted. Raises StoreError."""
        return self.desk is not None and (await self.desk.registry.audit_head()).sequence != self._head

    async def refresh(self) -> None:
        """Takes up what the registry says now: of rows that changed, and of those alone, the keys are opened. Raises StoreError: then all
        is as it was."""
        if self.desk is None:
            return
        parted, self._parted = self._parted, []
        for keys in parted:
            await keys.flush()
        head = (await self.desk.registry.audit_head()).sequence
        rows = {str(account.account): account async for account in self.desk.accounts(active_only=True)}
        found = await self._open_keys(self.desk, rows)
        ring = self.desk.vault.keys
        await _note_opened(self.desk, found)
        # nothing is awaited from here on: whoever looks sees all of it, or nothing
        for name in self._changed(rows):
            self._part_with(name)
        self.refused = {name: refused for name, refused in self.refused.items() if name in rows}
        for name, key in found.items():
            self._settle(self.desk, rows[name], key)
        looked = {name: rows[name].rights_time for name in self._opened}
        self._calendar.take_up(looked, self._clock.now(), self._clock.wall())
        self._head, self._ring = head, ring

    async def _open_keys(self, desk: AccountDesk, rows: Mapping[str, RegisteredAccount]) -> dict[str, Credentials | VaultError]:
        """By name. Where a key of the vault is not known, it may have come a moment ago: it is asked for once, not for each account."""
        found = {name: _open_key(desk, rows[name]) for name in self._fresh(desk, rows)}
        if any(isinstance(key, VaultError) for key in found.values()):
            await self.renew_keys()
            shut = [name for name in self._fresh(desk, rows) if not isinstance(found.get(name), Credentials)]
            found |= {name: _open_key(desk, rows[name]) for name in shut}
        return found

    def _changed(self, rows: Mapping[str, RegisteredAccount]) -> set[str]:
        """Those that were opened and are not to run any more as they were."""
        return {name for name, opened in self._opened.items() if name not in rows or _revision(rows[name]) != opened.revision}

    def _fresh(self, desk: AccountDesk, rows: Mapping[str, RegisteredAccount]) -> list[str]:
        """Those whose key is to be opened. One that was refused is looked at again when its row changed, when another ring may open it, or
        when somebody left free what it may have been refused for."""
        changed = self._changed(rows)
        tries_again = bool(changed) or desk.vault.keys != self._ring
        closed = [name for name in rows if name not in self._opened or name in changed]
        return [name for name in closed if tries_again or name not in self.refused or self.refused[name].form != _form(rows[name])]

    def _part_with(self, name: str) -> None:
        opened = self._opened.pop(name)
        self._owners.release(name)
        if opened.listen_keys is not None:
            self._parted.append(opened.listen_keys)

    def _settle(self, desk: AccountDesk, account: RegisteredAccount, key: Credentials | VaultError) -> None:
        """Whether the account is to run. One that is not is told once, and looked at again when its row changes."""
        assert self._configuration is not None
        configuration, name = self._configuration, str(account.account)
        if isinstance(key, VaultError):
            self.refused[name] = RefusedAccount(account.venue, str(key), _form(account))
            _log.error("an account is not run: its key does not open", action="key_refused", account=name, reason=str(key))
            return
        settings = settings_of(account, key, configuration.recovery, configuration.stream)
        try:
            self._check_name(name)
            self._owners.claim(settings, os.environ)
        except SettingsError as error:
            self.refused[name] = RefusedAccount(account.venue, str(error), _form(account))
            _log.error("an account is not run", action="account_refused", account=name, reason=str(error))
            return
        keys = None
        if configuration.registry.registry.listen_keys:
            keys = ListenKeys(account, desk.registry, desk.vault, self._clock)
            keys.recall()
        self._opened[name] = _Opened(settings, _revision(account), keys)
        self.refused.pop(name, None)

    def _check_name(self, name: str) -> None:
        if self._configuration is not None and any(account.name == name for account in self._configuration.accounts):
            raise SettingsError(_of_both(name))

    def way_of(self, name: str) -> Way | None:
        """What the calls of an account pass on their way; None for an account without kept listen keys."""
        keys = self._opened[name].listen_keys if name in self._opened else None
        return None if keys is None else partial(KeepingHttp, keys=keys, clock=self._clock)

    def watch(self, application: Application, *, asks_rights: bool = True) -> None:
        """From now on notes when each account was proven last, and once a day asks what its key may do, through the gates of the
        application, as whoever adds an account does from now on. `asks_rights`: False where a venue is asked nothing of itself."""
        if self.desk is not None:
            rights = RightsDesk(application.http, self._clock, os.environ, application.take_gate)
            self.desk.ask_with(rights.ask, rights)
            self._watcher = self._clock.spawn(self._watch(application, asks_rights=asks_rights), "registered accounts")

    async def stop_watching(self) -> None:
        """Before the application ends. May be called twice."""
        if self._watcher is not None:
            self._watcher.cancel()
            await asyncio.wait([self._watcher])

    async def close(self) -> None:
        """Saves what is still to be saved."""
        await self.stop_watching()
        for keys in (*self._parted, *(opened.listen_keys for opened in self._opened.values())):
            if keys is not None:
                await keys.flush()

    async def _watch(self, application: Application, *, asks_rights: bool) -> None:
        await self._clock.sleep(FIRST_LOOK_MS)
        while True:
            await self.note_proven(name for name, account in application.accounts.items() if account.health.is_healthy)
            if asks_rights:
                await self.check_rights()
            await self._clock.sleep(LOOK_MS)
            await self.renew_keys()

    async def note_proven(self, names: Iterable[str]) -> None:
        """These accounts are proven now; those of the registry are noted as such."""
        for name in [name for name in names if name in self._opened]:
            if self.desk is not None:
                try:
                    await self.desk.registry.save_proven(AccountId(name), self._clock.wall())
                except UserStreamError as error:
                    _log.warning("a proof is not noted", action="proof_not_noted", account=name, reason=str(error))

    async def renew_keys(self) -> None:
        """Takes up new keys of the vault, so that a rotation of its keys needs no restart."""
        if self.desk is None:
            return
        try:
            await asyncio.to_thread(self.desk.vault.renew)
        except UserStreamError as error:
            _log.warning("the vault's keys cannot be read again", action="keys_not_renewed", reason=str(error))

    async def check_rights(self) -> None:
        """Asks what those keys may do whose turn it is; a key that may do more than before, or than it should, is told. Ends where the
        venue gives no answer: the rest is asked later."""
        for name in self._calendar.due(self._clock.now()):
            looked = await self._check_rights_of(name)
            if looked is not None and looked.is_stale:
                continue  # it stays due: by then the new key is looked at
            if looked is not None and looked.wait_ms is not None:
                self._calendar.note_silence(name, self._clock.now(), looked.wait_ms)
                return
            self._calendar.note_asked(name, self._clock.now())

    async def _check_rights_of(self, name: str) -> Looked | None:
        """What was found, and told; None where the key could not be looked at."""
        if self.desk is None:
            return None
        try:
            looked = await self.desk.check(AccountId(name))
        except UserStreamError as error:
            _log.warning("a key was not looked at", action="key_unchecked", account=name, reason=str(error))
            return None
        if looked.is_stale:
            _log.info("a key was replaced while it was looked at", action="key_replaced", account=name)
            return looked
        if looked.rights is None:
            _log.warning("what a key may do is not known", action="key_unchecked", account=name, reason=looked.trouble)
            return looked
        widened = f"the key may do more than before: {', '.join(looked.widened)}" if looked.widened else ""
        if words := looked.refusals or widened:
            _log.error("a key may do what it should not", action="key_widened", account=name, reason=words)
        if self.tell_rights is not None:
            self.tell_rights(AccountId(name), looked.refusals, widened)
        return looked


def _open_key(desk: AccountDesk, account: RegisteredAccount) -> Credentials | VaultError:
    try:
        return desk.open_key(account)
    except VaultError as error:
        return error


async def _note_opened(desk: AccountDesk, found: Mapping[str, Credentials | VaultError]) -> None:
    """Raises StoreError."""
    shut = {name: str(key) for name, key in found.items() if isinstance(key, VaultError)}
    for name, reason in shut.items():
        await desk.registry.write_note(desk.note("vault.open", name, "refused", reason))
    if opened := len(found) - len(shut):
        await desk.registry.write_note(desk.note("vault.open", f"{opened} accounts"))


def _revision(account: RegisteredAccount) -> str:
    """What its connection depends on; not what is only noted of it, nor how its records are wrapped."""
    options = msgspec.json.encode(account.options).decode()
    return f"{account.venue} {account.user} {account.record_version} {options}"


def _form(account: RegisteredAccount) -> tuple[str, SealedKey]:
    """All that may be mended in an account that was refused."""
    return _revision(account), account.key


def _of_both(name: str) -> str:
    return f"account {name!r} is in the configuration file and in the registry: take it out of one of them"


@asynccontextmanager
async def open_registered(configuration: Configuration) -> AsyncIterator[RegisteredAccounts]:
    """The registry's accounts of a configuration; none where it has no table [registry]. Raises SettingsError, StoreError."""
    from userstream.adapters.clock import SystemClock

    async with AsyncExitStack() as stack:
        desk = await stack.enter_async_context(open_desk(configuration.registry)) if configuration.registry.is_run else None
        registered = RegisteredAccounts(desk, SystemClock())
        stack.push_async_callback(registered.close)
        await registered.read(configuration)
        yield registered
