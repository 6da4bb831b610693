"""The registry's active accounts while `userstream run` runs them: opened at the start, looked after until the end.

An account whose key does not open is left out and told; the others do not notice.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Final

import structlog

from userstream.entry.bootstrap import AccountSettings, Way
from userstream.entry.desk import open_desk
from userstream.entry.key_owners import KeyOwners
from userstream.entry.listen_keys import KeepingHttp, ListenKeys
from userstream.entry.registry import AccountDesk, settings_of
from userstream.kernel.errors import SettingsError, UserStreamError
from userstream.kernel.ids import AccountId
from userstream.kernel.sealed import VaultError
from userstream.ports import Clock
from userstream.wire.registration import RegisteredAccount

if TYPE_CHECKING:
    from userstream.entry.bootstrap import Application
    from userstream.entry.configuration import Configuration

FIRST_LOOK_MS: Final = 15_000
LOOK_MS: Final = 60_000
RIGHTS_EVERY_MS: Final = 24 * 3600 * 1000
_log = structlog.stdlib.get_logger("userstream.registry")


class RegisteredAccounts:
    """Those that are run. `settings`: as if they stood in the configuration file."""

    def __init__(self, desk: AccountDesk | None, clock: Clock) -> None:
        """`desk`: None where the registry is not used."""
        self._desk, self._clock = desk, clock
        self._listen_keys: dict[str, ListenKeys] = {}
        self._watcher: asyncio.Task[None] | None = None
        self.settings: list[AccountSettings] = []
        self._owners = KeyOwners()

    async def read(self, configuration: Configuration) -> None:
        """Opens the key of every active account. Raises SettingsError for a name that the configuration file has as well, StoreError."""
        if self._desk is None:
            return
        named = {account.name for account in configuration.accounts}
        for configured in configuration.accounts:
            self._owners.claim(configured, os.environ)
        async for account in self._desk.accounts(active_only=True):
            if account.account in named:
                raise SettingsError(
                    f"account {account.account!r} is in the configuration file and in the registry: take it out of one of them"
                )
            await self._open(self._desk, account, configuration)
        if self.settings:
            await self._desk.registry.write_note(self._desk.note("vault.open", f"{len(self.settings)} accounts"))

    async def _open(self, desk: AccountDesk, account: RegisteredAccount, configuration: Configuration) -> None:
        try:
            credentials = desk.open_key(account)
        except VaultError as error:
            _log.error("an account is not run: its key does not open", action="key_refused", account=account.account, reason=str(error))
            await desk.registry.write_note(desk.note("vault.open", account.account, "refused", str(error)))
            return
        settings = settings_of(account, credentials, configuration.recovery, configuration.stream)
        try:
            self._owners.claim(settings, os.environ)
        except SettingsError as error:
            _log.error("an account is not run", action="account_refused", account=settings.name, reason=str(error))
            return
        self.settings.append(settings)
        if configuration.registry.registry.listen_keys:
            keys = self._listen_keys[account.account] = ListenKeys(account, desk.registry, desk.vault, self._clock)
            keys.recall()

    def way_of(self, name: str) -> Way | None:
        """What the calls of an account pass on their way; None for an account without kept listen keys."""
        keys = self._listen_keys.get(name)
        return None if keys is None else partial(KeepingHttp, keys=keys, clock=self._clock)

    def watch(self, application: Application) -> None:
        """From now on notes when each account was proven last, and once a day asks what its key may do."""
        if self.settings:
            self._watcher = self._clock.spawn(self._watch(application), "registered accounts")

    async def close(self) -> None:
        """Saves what is still to be saved."""
        if self._watcher is not None:
            self._watcher.cancel()
            await asyncio.wait([self._watcher])
        for keys in self._listen_keys.values():
            await keys.flush()

    async def _watch(self, application: Application) -> None:
        asked_at = self._clock.now()
        await self._clock.sleep(FIRST_LOOK_MS)
        while True:
            await self.note_proven(name for name, account in application.accounts.items() if account.health.is_healthy)
            await self._clock.sleep(LOOK_MS)
            await self.renew_keys()
            if self._clock.now() - asked_at >= RIGHTS_EVERY_MS:
                asked_at = self._clock.now()
                await self.check_rights()

    async def note_proven(self, names: Iterable[str]) -> None:
        """These accounts are proven now; those of the registry are noted as such."""
        own = {settings.name for settings in self.settings}
        for name in [name for name in names if name in own]:
            if self._desk is not None:
                try:
                    await self._desk.registry.save_proven(AccountId(name), self._clock.wall())
                except UserStreamError as error:
                    _log.warning("a proof is not noted", action="proof_not_noted", account=name, reason=str(error))

    async def renew_keys(self) -> None:
        """Takes up new keys of the vault, so that a rotation of its keys needs no restart."""
        if self._desk is None:
            return
        try:
            await asyncio.to_thread(self._desk.vault.renew)
        except UserStreamError as error:
            _log.warning("the vault's keys cannot be read again", action="keys_not_renewed", reason=str(error))

    async def check_rights(self) -> None:
        """Asks what each key may do; a key that may do more than before, or than it should, is told."""
        if self._desk is None:
            return
        for settings in self.settings:
            try:
                looked = await self._desk.check(AccountId(settings.name))
            except UserStreamError as error:
                _log.warning("a key was not looked at", action="key_unchecked", account=settings.name, reason=str(error))
                continue
            if looked.widened or looked.verdict.refusals:
                words = looked.refusals or f"the key may do more than before: {', '.join(looked.widened)}"
                _log.error("a key may do what it should not", action="key_widened", account=settings.name, reason=words)


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
