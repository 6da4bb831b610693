"""Opens the registry and its desk over the store and the vault of a configuration."""

from __future__ import annotations

import asyncio
import getpass
import os
import socket
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from userstream.entry.registry import AccountBook, AccountDesk, AuditedRegistry, Caller
from userstream.kernel.errors import SettingsError, StoreError
from userstream.kernel.sealed import VaultError, read_record

if TYPE_CHECKING:
    from userstream.adapters.vault import AesVault
    from userstream.entry.vault_settings import RegistryPart


@asynccontextmanager
async def open_registry(part: RegistryPart) -> AsyncIterator[AuditedRegistry]:
    """The registry alone, for what needs no key. Raises StoreError."""
    from userstream.adapters.sqlite_registry import SqliteRegistry

    async with await SqliteRegistry.open(Path(part.store)) as registry:
        yield registry


@asynccontextmanager
async def open_desk(part: RegistryPart) -> AsyncIterator[AccountDesk]:
    """The desk, with a way to the venues of its own; from here on nobody can take a picture of this process's memory. Raises SettingsError
    where there are no keys for the vault, StoreError."""
    from userstream.adapters.clock import SystemClock
    from userstream.adapters.core_dumps import forbid_core_dumps
    from userstream.adapters.http import AiohttpClient
    from userstream.entry.key_rights import RightsDesk

    forbid_core_dumps()
    vault = await _make_vault(part)
    async with open_registry(part) as registry:
        clock, http = SystemClock(), AiohttpClient()
        rights = RightsDesk(http, clock, os.environ)
        try:
            yield AccountDesk(registry, vault, clock, find_caller(), rights.ask, os.environ, rights)
        finally:
            await http.close()


async def _make_vault(part: RegistryPart) -> AesVault:
    """Raises SettingsError: where there is no ring, with the way to one, which is another when accounts need the ring that there was."""
    from userstream.adapters.key_ring import NoRing
    from userstream.entry.vault_settings import make_vault

    try:
        return await asyncio.to_thread(make_vault, part.vault, part.folder, os.environ)
    except NoRing as error:
        if needed := await _needed_keys(part):
            told = ", ".join(f"{count} {'account needs' if count == 1 else 'accounts need'} the key {key}" for key, count in needed)
            raise SettingsError(f"{error}; {told}: put your copy of the ring back") from None
        other = "" if part.vault.key_file else ", and [vault] in the configuration names another place for it (key_file, key_command)"
        raise SettingsError(f"{error}; userstream keys generate makes one{other}") from None


async def _needed_keys(part: RegistryPart) -> list[tuple[str, int]]:
    """How many accounts of the store need each key, as far as their records tell."""
    from userstream.adapters.clock import SystemClock

    if not _has_store(part):
        return []
    counts: Counter[str] = Counter()
    try:
        async with open_registry(part) as registry:
            async for account in AccountBook(registry, SystemClock(), find_caller()).accounts():
                counts.update({read_record(record).key_id for record in account.records})
    except (StoreError, VaultError):
        return []
    return sorted(counts.items())


def _has_store(part: RegistryPart) -> bool:
    return Path(part.store).is_file()


def find_caller() -> Caller:
    """Who calls, as the operating system knows it, and from which machine."""
    try:
        actor = getpass.getuser()
    except (OSError, KeyError, ImportError):
        actor = f"user {os.getuid()}" if hasattr(os, "getuid") else "unknown"
    return Caller(actor, socket.gethostname())
